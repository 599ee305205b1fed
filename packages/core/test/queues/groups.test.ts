import { settlements } from "@trivet/wire";
import { expect, test } from "vitest";
import { guard } from "../raft/guard.ts";
import { Bench, queue } from "./support/bench.ts";

const create = (b: Bench, group: string, type: "earliest" | "latest"): unknown =>
  b.do({ type: "create-group", queue, partition: 0, group, start: { type } });

guard("queue-body-gone-with-first-group", "a body is kept until every group has settled it", () => {
  const b = new Bench();
  b.produce({}, {});
  expect(b.take()).toEqual([1, 2]);
  expect(b.take(2, { group: "h" })).toEqual([1, 2]);
  b.settle("ack", 1);
  b.check();
  expect(b.settle("nack", 1, 1, { group: "h" })).toBe("settled");
  expect(b.consume({ group: "h" })[0]?.body).toEqual(new Uint8Array([1, 2, 3]));
  b.settle("ack", 1, 2, { group: "h" });
  b.check();
});

guard("queue-latest-is-earliest", "a group that begins with the latest sees what becomes ready after it", () => {
  const b = new Bench();
  b.produce({}, { delayMs: 100 });
  expect(create(b, "h", "latest")).toEqual({ type: "counted", count: 1 });
  expect(create(b, "h", "earliest")).toEqual({ type: "counted", count: 0 });
  b.produce({});
  b.pass(100);
  expect(b.take(9, { group: "h" })).toEqual([3, 2]);
  expect(b.take()).toEqual([1, 3, 2]);
  b.check();
});

guard("queue-groups-unbounded", "groups of a partition are bounded", () => {
  const b = new Bench({}, { groupsPerPartition: 2 });
  create(b, "a", "earliest");
  create(b, "b", "earliest");
  expect(b.tryConsume({ group: "c" })).toEqual({ type: "no-group", group: "c" });
  expect(b.tryConsume({ group: "b" })).toMatchObject({ type: "handed-out" });
});

guard("queue-redrive-to-all", "a dead letter goes back to the group it died in", () => {
  const b = new Bench();
  b.produce({});
  b.take();
  b.take(1, { group: "h" });
  b.settle("dead", 1);
  b.settle("ack", 1, 1, { group: "h" });
  b.do({ type: "redrive", queue, partition: 0, sequences: [1], limit: 0, bounded: true });
  b.check();
  expect(b.take(9, { group: "h" })).toEqual([]);
  expect(b.take()).toEqual([2]);
  b.settle("ack", 2);
  b.check();
});

guard("queue-target-ignored", "what is for one group is not handed to another", () => {
  const b = new Bench();
  b.produce({});
  b.take();
  b.take(1, { group: "h" });
  b.settle("dead", 1);
  b.do({ type: "redrive", queue, partition: 0, sequences: [], limit: 9, bounded: true });
  expect(b.take(9, { group: "h" })).toEqual([]);
});

guard("queue-never-cleared", "a deleted group leaves nothing behind, in bounded steps", () => {
  const b = new Bench({}, { clearedPerEntry: 2 });
  b.produce({ key: "a" }, { key: "a" }, {}, {}, {}, {}, { priority: 1 });
  expect(b.take(2)).toEqual([1, 3]);
  b.take(9, { group: "h" });
  b.settle("nack", 3, 1, { delayMs: 50 });
  b.settle("ack", 1, 1, { group: "h" });
  expect(b.leases.size).toBe(6);
  expect(b.do({ type: "delete-group", queue, partition: 0, group: "g" })).toEqual({ type: "counted", count: 1 });
  expect(b.do({ type: "delete-group", queue, partition: 0, group: "g" })).toEqual({ type: "no-group", group: "g" });
  b.pass(1, 10);
  b.check();
  expect([...b.leases.keys()].every((name) => name.startsWith("0/h/"))).toBe(true);
  // Message 1 was only g's to settle.
  expect(b.do({ type: "purge-queue", queue, partition: 0, dead: false })).toEqual({ type: "counted", count: 1 });
  expect(b.take(9, { start: { type: "earliest" } })).toEqual([3, 4, 5, 6, 7]);
  b.check();
});

guard("queue-former-group-settles", "a group made again under its name knows nothing of what the one before had in hand", () => {
  const b = new Bench();
  b.produce({}, {});
  const [former] = b.consume();
  b.do({ type: "delete-group", queue, partition: 0, group: "g" });
  const [latter] = b.consume();
  expect([former?.sequence, former?.acquired, former?.incarnation]).toEqual([1, 1, 1]);
  expect([latter?.sequence, latter?.acquired, latter?.incarnation]).toEqual([1, 1, 2]);
  const receipts = [{ partition: 0, sequence: 1, acquired: 1, incarnation: 1 }];
  for (const settlement of settlements) expect(b.settle(settlement, 1, 1, { receipts })).toBe("unknown");
  const [receipt] = receipts;
  if (receipt === undefined) throw new Error("there is one");
  const leases = [{ queue, group: "g", receipt, extended: 0 }];
  expect(b.do({ type: "expire-leases", leases }, "leader")).toEqual({ type: "counted", count: 0 });
  b.pass(1, 3);
  expect([...b.leases.keys()]).toEqual(["0/g/1#1"]);
  expect(b.settle("ack", 1)).toBe("settled");
  b.check();
});

test("what does not say its incarnation, as in logs of before, is of the group that has the name", () => {
  const b = new Bench();
  b.produce({});
  b.take();
  const receipts = [{ partition: 0, sequence: 1, acquired: 1, incarnation: 0 }];
  expect(b.settle("ack", 1, 1, { receipts })).toBe("settled");
});

test("a dropped queue leaves nothing but the mark that it was", () => {
  const b = new Bench({}, { clearedPerEntry: 3 });
  b.produce({ key: "a", dedupId: "x" }, { key: "a", priority: 2 }, { ttlMs: 50 }, { delayMs: 70 }, {});
  b.take(3);
  b.settle("dead", 3);
  b.settle("nack", 5, 1, { delayMs: 10 });
  expect(b.do({ type: "drop-queue", queue, version: 1 }, "leader")).toEqual({ type: "counted", count: 1 });
  expect(b.tryConsume()).toEqual({ type: "not-configured", queue, version: 0 });
  b.pass(100_000, 40);
  expect(b.leases.size).toBe(0);
  // Group time, the rules and the mark.
  expect(b.view.size).toBe(3);
});

guard("queue-dropped-comes-back", "a late definition does not bring a dropped queue back", () => {
  const b = new Bench();
  b.do({ type: "drop-queue", queue, version: 1 }, "leader");
  expect(b.configure()).toEqual({ type: "counted", count: 0 });
  expect(b.do({ type: "drop-queue", queue, version: 1 }, "leader")).toEqual({ type: "counted", count: 0 });
  expect(b.tryProduce({}, {})).toEqual({ type: "not-configured", queue, version: 0 });
});

guard("queue-ready-not-told", "a group that got no more is told once when something is ready", () => {
  const b = new Bench({ maxLeased: 1 });
  expect(b.tryConsume()).toMatchObject({ more: false });
  b.take(1, { group: "h", partition: 1 });
  b.produce({}, {});
  b.produce({});
  expect(b.told).toEqual(["0/g"]);
  expect(b.take(2)).toEqual([1]);
  b.settle("extend", 1);
  expect(b.told).toEqual(["0/g"]);
  b.settle("ack", 1);
  expect(b.told).toEqual(["0/g", "0/g"]);
  b.configure({ paused: true });
  expect(b.take()).toEqual([]);
  b.produce({});
  expect(b.told.length).toBe(2);
  b.configure({ paused: false });
  expect(b.told).toEqual(["0/g", "0/g", "0/g"]);
  b.check();
});

guard("queue-higher-bound-not-told", "a group that waits for leases to end is told when more may be handed out at a time", () => {
  const b = new Bench({ maxLeased: 1 });
  b.produce({}, {}, {});
  expect(b.take(3)).toEqual([1]);
  // Another group of the partition waits for messages, which a bound does not bring.
  b.take(3, { group: "other", autoAck: true });
  b.configure({ maxLeased: 1 });
  expect(b.told).toEqual([]);
  b.configure({ maxLeased: 2 });
  expect(b.told).toEqual(["0/g"]);
  expect(b.take(3)).toEqual([2]);
  // Zero stands for as many as there can be.
  b.configure({ maxLeased: 0 });
  expect(b.told).toEqual(["0/g", "0/g"]);
  expect(b.take(3)).toEqual([3]);
  b.configure({ maxLeased: 1 });
  expect(b.told).toEqual(["0/g", "0/g"]);
  b.check();
});

test("what a group that is told of a higher bound waits for stays as it is: versions that do not tell have the same state", () => {
  const b = new Bench({ maxLeased: 1 });
  b.produce({}, {});
  expect(b.take(2)).toEqual([1]);
  const before = b.waiting("g");
  b.configure({ maxLeased: 2 });
  expect([before, b.waiting("g")]).toEqual(["leases", "leases"]);
  b.check();
});

guard(
  "queue-deleted-group-keeps-timers",
  "a queue that is dropped while a group of it is being deleted takes the timers of its leases along",
  () => {
    const b = new Bench({}, { clearedPerEntry: 2 });
    b.produce({}, {}, {}, {}, {});
    expect(b.take()).toHaveLength(5);
    b.do({ type: "delete-group", queue, partition: 0, group: "g" });
    b.do({ type: "drop-queue", queue, version: 2 }, "leader");
    b.pass(0, 20);
    expect(b.leases.size).toBe(0);
  },
);
