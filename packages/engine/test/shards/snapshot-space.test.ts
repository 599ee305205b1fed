import { groupId, logIndex } from "@trivet/core";
import { expect, test } from "vitest";
import { guard } from "../hosts/guard.ts";
import { entries, applyRequest, MachineRig, WorkerRig } from "./store-rig.ts";
import { message, Shards } from "./support.ts";

test("a leader whose disk is full for a moment does not stop the replica that it brings up to date (rule W5)", () => {
  const shards = new Shards(3, { retainBytes: 4 * 1024, walSegmentBytes: 256 * 1024, walRoomBytes: 0 });
  const { cluster } = shards;
  shards.untilLed();
  shards.define("orders");
  shards.produce("n1", "a");
  const leader = shards.leaders()[shards.queue % 4] ?? "";
  const absent = ["n1", "n2", "n3"].find((node) => node !== leader) ?? "";
  const { host, storeProblems, view } = cluster.member(leader);
  let stopped = false;
  const again = (): void => void view.schedule(50, next);
  const next = (): void => {
    if (stopped) return;
    const messages = [message("x".repeat(4 * 1024))];
    const command = { type: "produce", queue: shards.queue, partition: 0, version: 1, messages, ifFence: null } as const;
    host.queueStorage.submit({ queue: shards.queue, partition: 0 }, command, { timeoutMs: 5_000 }, again);
  };
  next();
  cluster.run(1_000);
  cluster.kill(absent);
  cluster.run(20_000);
  const replica = host.shards?.replica(groupId(1 + (shards.queue % 4)))?.group;
  const taken = replica?.snapshots.takenCount ?? 0;
  storeProblems.full = true;
  cluster.restart(absent);
  cluster.until("the leader has written a snapshot", () => (replica?.snapshots.takenCount ?? 0) > taken, 60_000);
  storeProblems.full = false;
  cluster.run(20_000);
  stopped = true;
  expect([cluster.member(absent).host.phase, cluster.member(absent).failure]).toEqual(["running", null]);
});

test("a snapshot begun while the store has no space has everything, and leaves no cut open", () => {
  const bench = new MachineRig();
  const { problems } = bench.rig;
  bench.apply(1, 20);
  bench.settle();
  problems.full = true;
  const snapshot = bench.machine.beginSnapshot(logIndex(20));
  const chunks: (number | null)[] = [];
  const next = (): void => snapshot.next(64 * 1024, (chunk) => chunks.push(chunk?.length ?? null));
  next();
  bench.settle();
  expect(chunks).toEqual([expect.any(Number)]);
  next();
  bench.settle();
  problems.full = false;
  bench.retry();
  expect(chunks).toEqual([expect.any(Number), null]);
  expect(problems.openCuts.size).toBe(0);
});

test("a snapshot begun behind a batch that found no space is cut behind that batch (rule W5)", () => {
  const bench = new MachineRig(1);
  const events: string[] = [];
  const apply = (from: number, to: number): void => bench.apply(from, to, () => events.push(`applied ${to}`));
  apply(1, 20);
  bench.settle();
  bench.rig.problems.full = true;
  apply(21, 30);
  bench.settle();
  bench.rig.problems.full = false;
  const snapshot = bench.machine.beginSnapshot(logIndex(30));
  snapshot.next(64 * 1024, () => events.push("chunk"));
  bench.settle();
  apply(31, 40);
  bench.settle();
  bench.retry();
  expect(events).toEqual(["applied 20", "applied 30", "chunk", "applied 40"]);
  snapshot.abort();
  bench.settle();
  expect(bench.rig.problems.openCuts.size).toBe(0);
});

test("a snapshot given up while it waits for space leaves no cut open", () => {
  const bench = new MachineRig(1);
  bench.apply(1, 2);
  bench.settle();
  bench.rig.problems.full = true;
  bench.apply(3, 4);
  const snapshot = bench.machine.beginSnapshot(logIndex(4));
  bench.settle();
  snapshot.abort();
  bench.rig.problems.full = false;
  bench.retry();
  expect(bench.rig.problems.openCuts.size).toBe(0);
});

guard("shard-retry-overtaken", "what was sent behind a request without space still stands before what is asked later (rule W5)", () => {
  const bench = new MachineRig(1);
  const events: string[] = [];
  bench.apply(1, 2);
  bench.settle();
  bench.rig.problems.full = true;
  bench.holding = true;
  bench.apply(3, 4, () => events.push("applied 4"));
  bench.machine.beginSnapshot(logIndex(4)).next(64 * 1024, () => events.push("chunk"));
  bench.sent.shift()?.();
  bench.settle();
  bench.rig.problems.full = false;
  // The time comes for the batch before the cut behind it is answered.
  for (const run of bench.later.splice(0)) run();
  bench.apply(5, 6, () => events.push("applied 6"));
  bench.holding = false;
  for (const send of bench.sent.splice(0)) send();
  bench.settle();
  bench.retry();
  expect(events).toEqual(["applied 4", "chunk", "applied 6"]);
});

guard(
  "shard-cut-after-later",
  "a snapshot begun between two batches that find no space, twice, has the first of them only (rule W5)",
  () => {
    const bench = new MachineRig(1);
    const { problems } = bench.rig;
    bench.apply(1, 20);
    bench.settle();
    problems.full = true;
    bench.apply(21, 30);
    bench.settle();
    const chunks: Uint8Array[] = [];
    bench.machine.beginSnapshot(logIndex(30)).next(1_000_000, (chunk) => void (chunk !== null && chunks.push(chunk)));
    bench.apply(31, 40);
    // Now the worker knows of both.
    bench.retryOnce();
    problems.full = false;
    bench.retry();
    const other = WorkerRig.opened();
    const load = other.load(30);
    for (const chunk of chunks) other.ask({ type: "load-chunk", group: 1, load, chunk });
    expect(other.ask({ type: "load-end", group: 1, load })).toMatchObject({ type: "opened", mark: { index: 30 } });
  },
);

guard("shard-cut-while-owing", "a worker makes no cut of a state that lacks entries it was given (rule W5)", () => {
  const rig = WorkerRig.opened(1);
  rig.ask(applyRequest(entries(1, 2)));
  rig.problems.full = true;
  rig.ask(applyRequest(entries(3, 4)));
  rig.problems.full = false;
  expect(rig.ask({ type: "cut", group: 1, cut: 1, index: 4 })).toMatchObject({ type: "failed", cause: "no-space" });
  expect(rig.ask({ type: "flush", group: 1 })).toMatchObject({ type: "failed", cause: "no-space" });
  expect(rig.ask({ type: "hash", group: 1 })).toEqual({ type: "hashed", hash: null });
  rig.ask(applyRequest(entries(3, 4)));
  expect(rig.ask({ type: "cut", group: 1, cut: 1, index: 4 })).toEqual({ type: "done" });
});

guard(
  "shard-unknown-cut-is-over",
  "a cut that is not there has no end: nobody takes what was read of it for a whole state (rule W5)",
  () => {
    const rig = WorkerRig.opened();
    rig.ask(applyRequest(entries(1, 3)));
    expect(rig.ask({ type: "cut-next", group: 1, cut: 7, maxBytes: 1_000 })).toMatchObject({ type: "failed", cause: "other" });
  },
);
