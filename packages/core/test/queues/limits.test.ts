import { expect, test } from "vitest";
import { keyOf, keysEnd, tables } from "../../src/queues/keys.ts";
import { guard } from "../raft/guard.ts";
import { Bench, definition, queue } from "./support/bench.ts";

guard("queue-length-unbounded", "a full queue refuses all of a batch, and drops nothing", () => {
  const b = new Bench({ maxMessages: 3, maxBytes: 8 });
  b.produce({}, {});
  expect(b.tryProduce({}, {}, {})).toEqual({ type: "queue-full", limit: "messages", max: 3 });
  expect(b.tryProduce({}, {})).toEqual({ type: "queue-full", limit: "bytes", max: 8 });
  expect(b.take()).toEqual([1, 2]);
  b.settle("ack", 1);
  expect(b.produce({})).toEqual([3]);
  b.check();
});

guard("queue-redrive-over-length", "a redrive stops where the queue is full, and is refused where not even the first fits", () => {
  const b = new Bench({ maxMessages: 3, maxBytes: 20 });
  const body = new Uint8Array(6);
  b.produce({ body }, { body }, { body });
  for (const sequence of b.take()) b.settle("dead", sequence);
  b.produce({ body });
  const redrive = (...sequences: readonly number[]): unknown =>
    b.do({ type: "redrive", queue, partition: 0, sequences, limit: 10, bounded: true });
  expect(redrive()).toEqual({ type: "counted", count: 2 });
  expect(redrive()).toEqual({ type: "queue-full", limit: "messages", max: 3 });
  expect(redrive(3)).toEqual({ type: "queue-full", limit: "messages", max: 3 });
  expect(b.view.count(tables.dead)).toBe(1);
  expect(b.take()).toEqual([4, 5, 6]);
  b.settle("ack", 4);
  b.settle("ack", 5);
  b.produce({ body: new Uint8Array(9) });
  expect(redrive()).toEqual({ type: "queue-full", limit: "bytes", max: 20 });
  b.settle("ack", 6);
  expect(redrive(3)).toEqual({ type: "counted", count: 1 });
  expect(redrive()).toEqual({ type: "counted", count: 0 });
  b.check();
});

test("a redrive of before knew no bound, and its log means what it meant", () => {
  const b = new Bench({ maxMessages: 1 });
  b.produce({});
  for (const sequence of b.take()) b.settle("dead", sequence);
  b.produce({});
  expect(b.do({ type: "redrive", queue, partition: 0, sequences: [], limit: 10, bounded: false })).toEqual({ type: "counted", count: 1 });
});

guard("queue-dedupe-ignored", "a second message with a dedupe id is not produced again, not even to a full queue", () => {
  const b = new Bench({ maxMessages: 2 });
  expect(b.tryProduce({}, { dedupId: "x" }, { dedupId: "y" }, { dedupId: "x" })).toEqual({
    type: "produced",
    partition: 0,
    messages: [
      { sequence: 1, duplicate: false },
      { sequence: 2, duplicate: false },
      { sequence: 1, duplicate: true },
    ],
  });
  expect(b.produce({ dedupId: "y" })).toEqual([2]);
  expect(b.take()).toEqual([1, 2]);
  b.check();
});

guard("queue-dedupe-for-ever", "a dedupe id is remembered for its window, and no longer", () => {
  const b = new Bench({ dedupeWindowMs: 1000 }, { deadlinesPerEntry: 1 });
  b.produce({ dedupId: "a" }, { dedupId: "x" });
  b.now += 999;
  expect(b.produce({ dedupId: "x" })).toEqual([2]);
  b.now += 1;
  expect(b.produce({ dedupId: "x" })).toEqual([3]);
});

test("dedupe ids go when their window is over, and not with an earlier one's", () => {
  const b = new Bench({ dedupeWindowMs: 1000 });
  b.produce({ dedupId: "x" }, { dedupId: "y" });
  b.pass(1000);
  expect(b.view.count(tables.dedupe)).toBe(0);
  expect(b.produce({ dedupId: "x" })).toEqual([3]);
  b.pass(999);
  expect(b.view.count(tables.dedupe)).toBe(1);
});

guard("queue-never-expires", "a message past its time to live is removed", () => {
  const b = new Bench({ ttlMs: 5000 });
  b.produce({ ttlMs: 100 }, {}, { ttlMs: 100, delayMs: 100 });
  b.pass(100);
  b.check();
  expect(b.view.count(tables.message)).toBe(2);
  b.pass(99);
  expect(b.take()).toEqual([2, 3]);
  b.check();
});

guard("queue-expired-handed-out", "a message past its time to live is not handed out, even while it is still there", () => {
  const b = new Bench({}, { deadlinesPerEntry: 1 });
  b.produce({ ttlMs: 100 }, { ttlMs: 100 }, { ttlMs: 100 }, {}, { ttlMs: 99 }, { ttlMs: 99 });
  expect(b.take(2)).toEqual([1, 2]);
  b.now += 100;
  b.settle("release", 2);
  expect(b.take()).toEqual([4]);
  b.check();
});

test("what a consumer has in hand does not expire under it", () => {
  const b = new Bench();
  b.produce({ ttlMs: 100 });
  b.take();
  b.pass(100);
  expect(b.settle("extend", 1)).toBe("settled");
  b.settle("release", 1);
  b.pass(1000);
  expect(b.view.count(tables.message)).toBe(0);
  b.check();
});

guard("queue-leases-unbounded", "leases of a group are bounded", () => {
  const b = new Bench({ maxLeased: 2 });
  b.produce({}, {}, {});
  expect(b.tryConsume({ maxMessages: 3 })).toMatchObject({ messages: [{ sequence: 1 }, { sequence: 2 }], more: false });
  b.settle("ack", 1);
  expect(b.take()).toEqual([3]);
});

guard("queue-rate-ignored", "hand-outs are limited by the second", () => {
  const b = new Bench({ ratePerSecond: 2 });
  b.pass(1000);
  b.produce({}, {}, {}, {}, {});
  b.pass(1000);
  expect(b.tryConsume({ maxMessages: 9 })).toMatchObject({ messages: [{ sequence: 1 }, { sequence: 2 }], more: true });
  b.pass(499);
  expect(b.take()).toEqual([]);
  b.pass(1);
  expect(b.take()).toEqual([3]);
  b.pass(100_000);
  expect(b.take()).toEqual([4, 5]);
});

guard("queue-hand-out-bytes-unbounded", "a hand-out is bounded in bytes, but never empty for it", () => {
  const b = new Bench();
  const body = new Uint8Array(1000);
  b.produce({ body }, { body }, { body });
  expect(b.tryConsume({ maxMessages: 9, maxBytes: 10 })).toMatchObject({ messages: [{ sequence: 1 }], more: true });
  expect(b.take(9, { maxBytes: 2500 })).toEqual([2, 3]);
});

guard("queue-pause-ignored", "a paused queue is produced to, but not consumed from", () => {
  const b = new Bench({ paused: true });
  b.produce({});
  expect(b.take()).toEqual([]);
  b.configure();
  expect(b.take()).toEqual([1]);
});

guard("queue-purge-leaves-delayed", "a purge removes everything but what is leased", () => {
  const b = new Bench({}, { messagesPerCommand: 3 });
  b.produce({}, { key: "a" }, { key: "a" }, { delayMs: 100 }, { priority: 2, key: "a" }, { ttlMs: 70 });
  b.take(1);
  b.take(2, { group: "h" });
  b.settle("release", 2, 1, { group: "h" });
  const purge = (): unknown => b.do({ type: "purge-queue", queue, partition: 0, dead: false });
  expect(purge()).toEqual({ type: "counted", count: 3 });
  b.check();
  expect(purge()).toEqual({ type: "counted", count: 2 });
  b.check();
  expect(purge()).toEqual({ type: "counted", count: 0 });
  expect(b.view.count(tables.calendar)).toBe(0);
  expect(b.settle("ack", 1)).toBe("settled");
  b.settle("ack", 1, 1, { group: "h" });
  expect(b.view.count(tables.message)).toBe(0);
  b.check();
});

guard("queue-older-definition-used", "a produce that knows a newer definition waits for it", () => {
  const b = new Bench();
  expect(b.tryProduce({ version: 2 }, {})).toEqual({ type: "not-configured", queue, version: 1 });
  b.configure();
  expect(b.tryProduce({ version: 2 }, {})).toMatchObject({ type: "produced" });
});

guard("queue-older-definition-taken", "an older definition changes nothing", () => {
  const b = new Bench({ maxMessages: 1 });
  b.configure({ maxMessages: 1 });
  expect(b.do({ type: "configure-queue", queue, definition: { ...definition, version: 1 } }, "leader")).toEqual({
    type: "counted",
    count: 0,
  });
  expect(b.tryProduce({}, {}, {})).toMatchObject({ type: "queue-full" });
});

guard("queue-leader-command-by-caller", "what is the leader's to say no caller may", () => {
  const b = new Bench();
  b.produce({});
  b.take();
  const receipt = { partition: 0, sequence: 1, acquired: 1, incarnation: 1 };
  expect(b.do({ type: "expire-leases", leases: [{ queue, group: "g", receipt, extended: 0 }] })).toMatchObject({ type: "malformed" });
  expect(b.do({ type: "drop-queue", queue, version: 9 })).toMatchObject({ type: "malformed" });
  expect(b.settle("ack", 1)).toBe("settled");
});

guard("queue-partition-unchecked", "a partition that the queue does not have is malformed, and nothing changes", () => {
  const b = new Bench();
  b.now = b.shard.now;
  const before = b.view.dump();
  expect(b.tryProduce({ partition: 2 }, {})).toMatchObject({ type: "malformed" });
  expect(b.tryConsume({ partition: 2 })).toMatchObject({ type: "malformed" });
  expect(b.tryProduce({}, { priority: 4 })).toMatchObject({ type: "malformed" });
  expect(b.view.dump()).toBe(before);
});

test("keys order as what they name does", () => {
  const numbers = [0, 1, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 5, Number.MAX_SAFE_INTEGER];
  const keys = numbers.map((number) => keyOf(tables.message, 3, number));
  expect(keys.toReversed().sort((a, b) => Buffer.compare(a, b))).toEqual(keys);
  const prefix = keyOf(tables.head, 1, "a");
  const inside = (key: Uint8Array): boolean => Buffer.compare(key, prefix) >= 0 && Buffer.compare(key, keysEnd(prefix)) < 0;
  expect([inside(keyOf(tables.head, 1, "a", 9)), inside(keyOf(tables.head, 1, "aa")), inside(keyOf(tables.head, 1, "b"))]).toEqual([
    true,
    false,
    false,
  ]);
  expect(Buffer.compare(keyOf(tables.head, 255), keysEnd(keyOf(tables.head, 255)))).toBe(-1);
});
