import type { Begun } from "@trivet/wire";
import { expect, test } from "vitest";
import { guard } from "../raft/guard.ts";
import { keyOf, present, tables } from "../../src/queues/keys.ts";
import { Bench, queue } from "./support/bench.ts";

const gone = (b: Bench, begun: Begun | null = null): unknown => b.do({ type: "consumer-gone", queue, consumer: "c", begun });
const begun = (messages: number, ...partitions: number[]): Begun => ({ messages, partitions });

/** Of its first message: what the consumer holds, and the version of what the group knows of it. */
const stored = (b: Bench): readonly (Uint8Array | undefined)[] => [
  b.view.get(keyOf(tables.consumer, queue, "c", 0, 1, 1))?.slice(),
  b.view.get(keyOf(tables.delivery, queue, 0, 1, 1))?.slice(0, 1),
];

test("a settled message is gone, and settling it again says so", () => {
  const b = new Bench();
  b.produce({});
  expect(b.take()).toEqual([1]);
  expect([...b.leases]).toEqual([["0/g/1#1", 30_000]]);
  expect(b.settle("ack", 1)).toBe("settled");
  expect(b.settle("ack", 1)).toBe("unknown");
  expect(b.leases.size).toBe(0);
  expect(b.take()).toEqual([]);
  b.check();
});

guard("queue-stale-receipt-settles", "a stale hand-out settles nothing, and is told so", () => {
  const b = new Bench();
  b.produce({});
  b.take();
  expect(b.expire(1)).toEqual({ type: "counted", count: 1 });
  expect(b.settle("ack", 1)).toBe("stale");
  expect(b.consume()).toMatchObject([{ sequence: 1, acquired: 2, deliveries: 0 }]);
  expect(b.settle("ack", 1, 1)).toBe("stale");
  expect(b.settle("ack", 1, 2)).toBe("settled");
  b.check();
});

guard("queue-acquired-not-raised", "every hand-out has a number of its own", () => {
  const b = new Bench();
  b.produce({});
  for (const acquired of [1, 2, 3]) {
    expect(b.consume()).toMatchObject([{ sequence: 1, acquired }]);
    b.settle("release", 1, acquired);
  }
});

guard("queue-expiry-of-another-hand-out", "the timer of an earlier hand-out does not end a later one", () => {
  const b = new Bench();
  b.produce({});
  b.take();
  b.settle("release", 1);
  b.take();
  expect(b.expire(1, 1)).toEqual({ type: "counted", count: 0 });
  expect(b.settle("ack", 1, 2)).toBe("settled");
});

guard("queue-expiry-after-extension", "the end of a lease that was on its way does not undo its extension", () => {
  const b = new Bench();
  b.produce({});
  b.take();
  expect(b.settle("extend", 1)).toBe("settled");
  expect(b.expire(1)).toEqual({ type: "counted", count: 0 });
  expect(b.settle("extend", 1)).toBe("settled");
  expect(b.expire(1, 1, "g", 2)).toEqual({ type: "counted", count: 1 });
  expect(b.take()).toEqual([1]);
});

guard("queue-lease-timer-not-ended", "the leader's timer ends with the lease, and begins anew when it is extended", () => {
  const b = new Bench();
  b.produce({}, {});
  b.take(2, { visibilityMs: 500 });
  expect([...b.leases.values()]).toEqual([500, 500]);
  expect(b.settle("extend", 1, 1, { delayMs: 900 })).toBe("settled");
  expect(b.leases.get("0/g/1#1")).toBe(900);
  b.settle("nack", 1);
  expect([...b.leases.keys()]).toEqual(["0/g/2#1"]);
  b.check();
});

test("a new leader finds all leases, some at a time", () => {
  const b = new Bench();
  b.produce({}, {}, { key: "a" }, { key: "a" }, {});
  b.take(100, { visibilityMs: 700 });
  b.settle("extend", 3, 1, { delayMs: 900 });
  b.reopen();
  const found: (readonly [number, number])[] = [];
  let from: Uint8Array | null = null;
  do {
    const page = b.shard.leases(from, 2);
    expect(page.leases.length <= 2).toBe(true);
    found.push(...page.leases.map(({ id, leaseMs }): readonly [number, number] => [id.sequence, leaseMs]));
    from = page.next;
  } while (from !== null);
  expect(found).toEqual([
    [1, 700],
    [2, 700],
    [3, 900],
    [5, 700],
  ]);
});

guard("queue-deliveries-uncapped", "a message that failed too often is a dead letter with its history", () => {
  const b = new Bench({ maxDeliveries: 2 });
  b.produce({ key: "a" }, { key: "a" });
  b.take();
  b.settle("nack", 1);
  b.take();
  b.settle("nack", 1, 2);
  expect(b.take()).toEqual([2]);
  expect(b.settle("ack", 1, 2)).toBe("unknown");
  expect(b.do({ type: "redrive", queue, partition: 0, sequences: [], limit: 10, bounded: true })).toEqual({ type: "counted", count: 1 });
  b.settle("ack", 2);
  expect(b.consume()).toMatchObject([{ sequence: 3, acquired: 1, deliveries: 0, key: "a" }]);
  b.check();
});

guard("queue-acquired-uncapped", "hand-outs that lead to nothing are capped, too", () => {
  const b = new Bench({ maxAcquired: 2 });
  b.produce({}, {});
  b.take();
  b.expire(1);
  b.expire(2);
  expect(b.take()).toEqual([1, 2]);
  b.expire(1, 2);
  expect(b.do({ type: "purge-queue", queue, partition: 0, dead: true })).toEqual({ type: "counted", count: 1 });
  // The limit is lower when the next one is to be handed out.
  b.settle("release", 2, 2);
  b.configure({ maxAcquired: 1 });
  expect(b.take()).toEqual([]);
  expect(b.do({ type: "purge-queue", queue, partition: 0, dead: true })).toEqual({ type: "counted", count: 1 });
  b.check();
});

guard("queue-release-counted", "a graceful shutdown makes no dead letter, however often there is one", () => {
  const b = new Bench({ maxDeliveries: 1, maxAcquired: 2 });
  b.produce({ key: "a" }, { key: "a" });
  for (const acquired of [1, 2, 3, 4, 5]) {
    expect(b.consume({ maxMessages: 2 })).toMatchObject([{ sequence: 1, acquired, deliveries: 0 }]);
    b.settle("release", 1, acquired);
  }
  expect(b.do({ type: "purge-queue", queue, partition: 0, dead: true })).toEqual({ type: "counted", count: 0 });
  // What leads to nothing is limited all the same, and counted by itself.
  b.take();
  b.expire(1, 6);
  b.take();
  b.expire(1, 7);
  expect(b.take()).toEqual([2]);
  b.check();
});

guard("queue-rules-before-adopted", "until the shard is told of new rules it stores what it always did", () => {
  const before = new Bench({ maxAcquired: 2 }, {}, 0);
  before.produce({});
  before.take();
  expect(stored(before)).toEqual([present, Uint8Array.of(1)]);
  before.settle("release", 1);
  before.take();
  expect(stored(before)).toEqual([present, Uint8Array.of(1)]);
  expect(before.do({ type: "adopt-rules", rules: 1 })).toMatchObject({ type: "malformed" });
  expect(before.do({ type: "adopt-rules", rules: 1 }, "leader")).toEqual({ type: "counted", count: 1 });
  expect(before.do({ type: "adopt-rules", rules: 1 }, "leader")).toEqual({ type: "counted", count: 0 });
  before.reopen();
  expect(before.shard.rules).toBe(1);
  before.settle("release", 1, 2);
  // From here on only.
  expect(before.take()).toEqual([1]);
  const after = new Bench({ maxAcquired: 2 });
  after.produce({});
  after.take();
  after.settle("release", 1);
  after.take();
  expect(stored(after)).toEqual([Uint8Array.of(1, 2), Uint8Array.of(2)]);
});

guard("queue-timeout-is-a-failure", "a lease that ran out is no failure of the message", () => {
  const b = new Bench({ maxDeliveries: 1 });
  b.produce({});
  b.take();
  b.expire(1);
  expect(b.consume()).toMatchObject([{ sequence: 1, deliveries: 0 }]);
});

guard("queue-lost-consumer-not-counted", "what a lost consumer holds is handed out again at once, and counts as a failure", () => {
  const b = new Bench({ maxDeliveries: 2 });
  b.produce({}, {}, {});
  b.take(2);
  b.take(1, { consumer: "other" });
  expect(gone(b)).toEqual({ type: "counted", count: 2 });
  expect([...b.leases.keys()]).toEqual(["0/g/3#1"]);
  expect(b.consume({ maxMessages: 3 })).toMatchObject([
    { sequence: 1, deliveries: 1 },
    { sequence: 2, deliveries: 1 },
  ]);
  gone(b);
  expect(b.take()).toEqual([]);
  b.check();
});

guard("queue-unbegun-counted", "what a lost consumer had not begun is given back unharmed, however often", () => {
  const b = new Bench({ maxDeliveries: 3, maxAcquired: 3 });
  b.produce({}, { key: "a" }, { key: "a" }, {});
  for (const deliveries of [0, 1, 2]) {
    expect(b.consume({ maxMessages: 9 })).toMatchObject([
      { sequence: 1, deliveries },
      { sequence: 2, deliveries: 0 },
      { sequence: 4, deliveries: 0 },
    ]);
    expect(gone(b, begun(1, 0))).toEqual({ type: "counted", count: 3 });
    b.check();
  }
  expect(b.consume({ maxMessages: 9 })).toMatchObject([
    { sequence: 2, acquired: 4, deliveries: 0 },
    { sequence: 4, acquired: 4, deliveries: 0 },
  ]);
  // Nothing was begun.
  gone(b, begun(1));
  gone(b, begun(0, 0));
  expect(b.consume({ maxMessages: 9 })).toMatchObject([{ sequence: 2, deliveries: 0 }, { sequence: 4 }]);
  b.check();
});

guard("queue-begun-by-place", "begun is what was handed out first, wherever it stands", () => {
  const b = new Bench();
  b.produce({}, {});
  expect(b.take(1)).toEqual([1]);
  b.settle("nack", 1, 1, { delayMs: 1 });
  expect(b.take(1)).toEqual([2]);
  b.pass(1);
  expect(b.take(1)).toEqual([1]);
  gone(b, begun(1, 0));
  expect(b.consume({ maxMessages: 2 })).toMatchObject([
    { sequence: 1, deliveries: 1 },
    { sequence: 2, deliveries: 1 },
  ]);
});

guard("queue-begun-elsewhere", "what was begun in one partition charges nothing in another", () => {
  const b = new Bench();
  b.produce({});
  b.tryProduce({ partition: 1 }, {});
  b.take();
  b.take(1, { partition: 1 });
  expect(gone(b, begun(1, 1))).toEqual({ type: "counted", count: 2 });
  expect(b.consume()).toMatchObject([{ deliveries: 0 }]);
  expect(b.consume({ partition: 1 })).toMatchObject([{ deliveries: 1 }]);
});

guard("queue-begun-of-a-part", "of more than one command looks at the oldest are found all the same", () => {
  const b = new Bench({}, { messagesPerCommand: 2 });
  b.produce({}, {}, {}, {}, {});
  b.take(1);
  b.settle("nack", 1, 1, { delayMs: 1 });
  b.take(4);
  b.pass(1);
  b.take(1);
  let rounds = 0;
  while ((gone(b, begun(1, 0)) as { readonly count: number }).count > 0) rounds++;
  expect(rounds).toBe(5);
  expect(b.consume({ maxMessages: 9 }).map(({ deliveries }) => deliveries)).toEqual([1, 1, 0, 0, 0]);
  // More of them than one command looks at.
  expect(gone(b, begun(4, 0))).toEqual({ type: "counted", count: 2 });
  expect(b.leases.size).toBe(3);
  b.check();
});

guard("queue-dead-letter-lost", "a dead letter is there until it is redriven or purged", () => {
  const b = new Bench();
  b.produce({ headers: [["a", "b"]] }, {}, {});
  b.take();
  for (const sequence of [1, 2, 3]) b.settle("dead", sequence);
  b.check();
  expect(b.do({ type: "redrive", queue, partition: 0, sequences: [2, 9], limit: 0, bounded: true })).toEqual({ type: "counted", count: 1 });
  expect(b.take()).toEqual([4]);
  expect(b.do({ type: "redrive", queue, partition: 0, sequences: [], limit: 1, bounded: true })).toEqual({ type: "counted", count: 1 });
  expect(b.consume()).toMatchObject([{ sequence: 5, headers: [["a", "b"]] }]);
  expect(b.do({ type: "purge-queue", queue, partition: 0, dead: true })).toEqual({ type: "counted", count: 1 });
  b.check();
});

test("what is settled with its hand-out has no lease", () => {
  const b = new Bench();
  b.produce({ key: "a" }, { key: "a" }, {});
  expect(b.take(3, { autoAck: true })).toEqual([1, 2, 3]);
  expect(b.leases.size).toBe(0);
  b.check();
  b.produce({ key: "a" }, { key: "a" });
  b.take();
  b.settle("nack", 4);
  expect(b.consume({ autoAck: true, maxMessages: 9 })).toMatchObject([
    { sequence: 4, acquired: 2, deliveries: 1 },
    { sequence: 5, acquired: 1 },
  ]);
  b.check();
});

test("an unknown group is told", () => {
  const b = new Bench();
  b.produce({});
  const receipts = [{ partition: 0, sequence: 1, acquired: 1, incarnation: 1 }];
  const answer = b.do({ type: "settle", queue, group: "nobody", settlement: "ack", delayMs: -1, reason: "", receipts });
  expect(answer).toEqual({ type: "no-group", group: "nobody" });
});
