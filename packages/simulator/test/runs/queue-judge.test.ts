import { beforeAll, describe, expect, test } from "vitest";

import { LockHistory } from "../../src/clients/lock-history.ts";
import type { QueueOperation } from "../../src/clients/queue-history.ts";
import { QueueWorkload } from "../../src/clients/queue-workload.ts";
import { QueueJudge } from "../../src/judge/queue-judge.ts";
import { defaultOptions } from "../../src/options.ts";
import { startNode } from "../../src/world/program.ts";
import { Trace } from "../../src/world/trace.ts";
import { World } from "../../src/world/world.ts";

/** A clean run without faults, drained; each test spoils a copy of what its clients saw. */
let workload: QueueWorkload;
let world: World;

function judge(): string | null {
  return (
    new QueueJudge(
      world.shards.map(({ golden }) => golden),
      workload.history,
      workload.queues,
    ).check()?.invariant ?? null
  );
}

/** The element `find` picks; the run is made so that there is one. */
function one<T>(items: readonly T[], find: (item: T) => boolean): T {
  const found = items.find(find);
  if (found === undefined) throw new Error("the run has nothing like that");
  return found;
}

beforeAll(() => {
  world = new World(
    { ...defaultOptions(6), nodes: 3, spares: 0, shards: 2, streamProducers: 1, fencedClients: 0, plan: [], operationsPerClient: 25 },
    new Trace(0, null),
    startNode,
  );
  workload = new QueueWorkload(world, new LockHistory());
  for (const machine of world.machines) machine.start();
  workload.start();
  world.runUntil(18_000);
  workload.wind();
  world.runUntil(60_000, () => workload.settled());
}, 60_000);

describe("the judge of queue histories", () => {
  test("finds nothing in a run without faults", () => {
    expect(world.violation).toBeNull();
    expect(workload.settled()).toBe(true);
    expect(workload.answered()).toBeGreaterThan(100);
    expect(judge()).toBeNull();
  });

  test("finds two produces of one program that were stored in another order than that of sending", () => {
    const { operations } = workload.history;
    const stored = operations.filter(({ inOrder, result }) => inOrder && result?.type === "produced");
    expect(stored.length).toBeGreaterThan(20);
    const first = one(stored, () => true);
    const second = one(
      stored,
      (other) =>
        other !== first && [other.client, other.queue, other.partition].join() === [first.client, first.queue, first.partition].join(),
    );
    const [at, later] = [operations.indexOf(first), operations.indexOf(second)];
    const swap = (): void =>
      void ([operations[at], operations[later]] = [operations[later] as QueueOperation, operations[at] as QueueOperation]);
    swap();
    expect(judge()).toBe("queue-send-order");
    swap();
    expect(judge()).toBeNull();
  });

  test("finds a message that was acknowledged and that nobody of one group got", () => {
    const { received } = workload.history;
    const strict = one(workload.queues, (queue) => queue.strict).queue;
    const gone = one(received, ({ group, queue, value }) => queue === strict && group === "g1" && value.startsWith("q"));
    const kept = received.filter(({ group, partition, queue, value }) =>
      [group === gone.group, partition === gone.partition, queue === gone.queue, value === gone.value].includes(false),
    );
    const all = received.splice(0, received.length, ...kept);
    expect(judge()).toBe("queue-lost");
    received.splice(0, received.length, ...all);
  });

  test("finds a message that nobody produced", () => {
    const { received } = workload.history;
    const like = one(received, () => true);
    received.push({ ...like, value: "q9-999" });
    expect(judge()).toBe("queue-unexpected");
    received.pop();
  });

  test("finds an answer that the log did not give", () => {
    const operation = one(workload.history.operations, ({ result }) => result?.type === "produced");
    const { result } = operation;
    operation.result = { type: "queue-full", limit: "messages", max: 1 };
    expect(judge()).toBe("queue-answer-stable");
    operation.result = result;
  });

  test("finds an answer that came before its command was in the log", () => {
    const operation = one(workload.history.operations, ({ result }) => result?.type === "settled");
    const { ret } = operation;
    operation.ret = operation.call;
    expect(judge()).toBe("queue-real-time");
    operation.ret = ret;
  });

  test("finds an effect of a command that was refused", () => {
    const operation = one(workload.history.operations, ({ caller, result }) => caller !== null && result?.type === "produced");
    const { result } = operation;
    operation.result = null;
    operation.refused = true;
    expect(judge()).toBe("queue-refused-has-no-effect");
    operation.result = result;
    operation.refused = false;
  });

  test("finds commands in the log that no client sent", () => {
    const { operations } = workload.history;
    const all = operations.splice(0, operations.length, ...operations.filter(({ command }) => command.type !== "consume"));
    expect(judge()).toBe("queue-no-phantom");
    operations.splice(0, operations.length, ...all);
  });

  test("finds a hand-out after an acknowledgement was answered", () => {
    const handedOut = workload.history.received;
    const operation = one(workload.history.operations, ({ command, result }) => {
      if (command.type !== "settle" || command.settlement !== "ack" || result?.type !== "settled") return false;
      const [receipt] = command.receipts;
      return (
        result.outcomes[0] === "stale" &&
        handedOut.some(({ sequence, acquired }) => sequence === receipt?.sequence && acquired > receipt.acquired)
      );
    });
    const { result } = operation;
    operation.result = {
      type: "settled",
      outcomes: operation.command.type === "settle" ? operation.command.receipts.map(() => "settled" as const) : [],
    };
    expect(["queue-ack-final", "queue-answer-stable"]).toContain(judge());
    operation.result = result;
  });
});
