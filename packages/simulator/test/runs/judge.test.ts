import { beforeAll, describe, expect, test } from "vitest";

import { LockWorkload } from "../../src/clients/lock-workload.ts";
import { LockJudge } from "../../src/judge/lock-judge.ts";
import { defaultOptions } from "../../src/options.ts";
import { startNode } from "../../src/world/program.ts";
import { Trace } from "../../src/world/trace.ts";
import { World } from "../../src/world/world.ts";

/** A clean run without faults; each test spoils a fresh copy of what its clients saw. */
let workload: LockWorkload;
let world: World;

function judge(): string | null {
  return new LockJudge(world.watcher.golden, workload.history, workload.reads).check()?.invariant ?? null;
}

/** The element `find` picks; the run is made so that there is one. */
function one<T>(items: readonly T[], find: (item: T) => boolean): T {
  const found = items.find(find);
  if (found === undefined) throw new Error("the run has nothing like that");
  return found;
}

beforeAll(() => {
  world = new World({ ...defaultOptions(6), plan: [], operationsPerClient: 40 }, new Trace(0, null), startNode);
  workload = new LockWorkload(world);
  for (const machine of world.machines) if (!machine.spare) machine.start();
  workload.start();
  world.runUntil(25_000);
  workload.wind();
  world.runUntil(60_000, () => workload.settled());
});

describe("the judge of lock histories", () => {
  test("finds nothing in a run without faults", () => {
    expect(world.violation).toBeNull();
    expect(workload.answered()).toBeGreaterThan(100);
    expect(judge()).toBeNull();
  });

  test("finds an answer that the log did not give", () => {
    const operation = one(workload.history.operations, ({ result }) => result?.type === "granted");
    const { result } = operation;
    operation.result = { type: "cancelled" };
    expect(judge()).toBe("answer-stable");
    operation.result = result;
  });

  test("finds an answer that came before the command was in the log", () => {
    const operation = one(
      workload.history.operations,
      ({ result, ret, call }) => result?.type === "released" && ret !== null && ret > call,
    );
    const { ret } = operation;
    operation.ret = operation.call;
    expect(judge()).toBe("witness-real-time");
    operation.ret = ret;
  });

  test("finds a command in the log that no client sent", () => {
    const at = workload.history.operations.findIndex(({ command, result }) => command.type === "acquire" && result?.type === "granted");
    const [operation] = workload.history.operations.splice(at, 1);
    expect(judge()).toBe("no-phantom");
    if (operation !== undefined) workload.history.operations.splice(at, 0, operation);
  });

  test("finds an effect of a command that was refused", () => {
    const operation = one(workload.history.operations, ({ result }) => result?.type === "granted");
    const { result } = operation;
    operation.result = null;
    operation.refused = true;
    expect(judge()).toBe("refused-has-no-effect");
    operation.result = result;
    operation.refused = false;
  });

  test("finds two clients that rely on one lock", () => {
    const exclusive = workload.history.holds.filter(({ mode, believed }) => mode === "exclusive" && believed.length > 0);
    // One that was released: an expiry would be judged first, as a broken lease.
    const released = exclusive.filter((hold) =>
      workload.history.operations.some(({ command }) => command.type === "release" && command.fence === hold.fence),
    );
    const earlier = one(released, (hold) =>
      exclusive.some((other) => other.name === hold.name && (other.believed[0]?.from ?? 0) > (hold.believed[0]?.from ?? Infinity)),
    );
    const { endedAt } = earlier;
    const last = one(earlier.believed, () => true);
    const { until } = last;
    earlier.endedAt = null;
    last.until = Number.POSITIVE_INFINITY;
    expect(judge()).toBe("believed-mutual-exclusion");
    earlier.endedAt = endedAt;
    last.until = until;
  });

  test("finds a read that misses what was answered before", () => {
    const read = one(workload.reads.reads, ({ lastFence, call }) => lastFence > 3 && call > 15_000);
    const at = workload.reads.reads.indexOf(read);
    workload.reads.reads[at] = { ...read, lastFence: 1 };
    expect(judge()).toBe("linearizable-read");
    workload.reads.reads[at] = read;
  });

  test("finds a read that shows a lock released long before", () => {
    const early = one(
      workload.history.operations,
      ({ command, result, ret }) =>
        command.type === "release" && result?.type === "released" && result.remaining === 0 && (ret ?? 1e9) < 12_000,
    );
    const name = early.command.type === "release" ? early.command.name : "";
    const fence = early.result?.type === "released" ? early.result.fence : 0;
    const read = one(workload.reads.reads, ({ call }) => call > 18_000);
    const at = workload.reads.reads.indexOf(read);
    workload.reads.reads[at] = { ...read, name, fences: [fence] };
    expect(judge()).toBe("linearizable-read");
    workload.reads.reads[at] = read;
  });
});
