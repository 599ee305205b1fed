import { expect } from "vitest";
import { guard } from "../raft/guard.ts";
import { Bench } from "./support/bench.ts";

guard("queue-key-order-ignored", "while the head of a key is leased its successors wait, and others do not", () => {
  const b = new Bench();
  b.produce({ key: "a" }, { key: "a" }, { key: "b" }, {});
  expect(b.take()).toEqual([1, 3, 4]);
  expect(b.settle("ack", 1)).toBe("settled");
  expect(b.take()).toEqual([2]);
  b.check();
});

guard("queue-key-not-taken", "a hand-out makes its message the head of its key", () => {
  const b = new Bench();
  b.produce({ key: "a" }, { key: "a" });
  expect(b.take(1)).toEqual([1]);
  expect(b.take(1)).toEqual([]);
  b.check();
});

guard("queue-retry-frees-key", "a retry delay blocks the successors of its key", () => {
  const b = new Bench();
  b.produce({ key: "a" }, { key: "a" });
  expect(b.take()).toEqual([1]);
  expect(b.settle("nack", 1, 1, { delayMs: 500 })).toBe("settled");
  expect(b.take()).toEqual([]);
  b.pass(500);
  expect(b.take()).toEqual([1]);
  b.check();
});

guard("queue-parked-forgotten", "the successor is handed out when the head is settled, also after a restart", () => {
  const b = new Bench();
  b.produce({ key: "a" }, { key: "a" }, { key: "a" });
  expect(b.take()).toEqual([1]);
  b.reopen();
  b.settle("ack", 1);
  expect(b.take()).toEqual([2]);
  b.settle("dead", 2);
  expect(b.take()).toEqual([3]);
  b.check();
});

guard("queue-newest-of-key-first", "the oldest of a key comes first", () => {
  const b = new Bench();
  b.produce({ key: "a" }, { key: "a" }, { key: "a" });
  b.take();
  b.settle("ack", 1);
  expect(b.take()).toEqual([2]);
});

guard("queue-priority-overtakes-key", "a more urgent message of a key does not overtake an older one of it", () => {
  const b = new Bench();
  b.produce({ key: "a", priority: 3 }, { key: "a" }, { priority: 1 });
  expect(b.take(2)).toEqual([3, 1]);
  expect(b.take()).toEqual([]);
  b.settle("ack", 1);
  expect(b.take()).toEqual([2]);
  b.settle("ack", 2);
  b.check();
  b.produce({ key: "a" }, { priority: 1 });
  expect(b.take()).toEqual([4, 5]);
  b.check();
});

guard("queue-oldest-never-first", "one grant in sixteen takes the oldest of all lanes", () => {
  const b = new Bench();
  b.produce({ priority: 3 }, ...Array.from({ length: 20 }, () => ({})));
  expect(b.take(16).indexOf(1)).toBe(15);
  b.check();
});

guard("queue-new-before-again", "what was given back is handed out at its old place", () => {
  const b = new Bench();
  b.produce({}, {}, {});
  expect(b.take(2)).toEqual([1, 2]);
  b.settle("release", 1);
  expect(b.take()).toEqual([1, 3]);
  b.check();
});

guard("queue-again-not-counted", "what was given back is handed out again when nothing new is there", () => {
  const b = new Bench();
  b.produce({});
  expect(b.take()).toEqual([1]);
  b.settle("release", 1);
  expect(b.take()).toEqual([1]);
  b.check();
});

guard("queue-lane-end-not-raised", "each lane is looked at as far as it has messages", () => {
  const b = new Bench();
  b.produce({ priority: 2 }, {});
  expect(b.take()).toEqual([2, 1]);
  b.produce({}, { priority: 2 });
  expect(b.take()).toEqual([3, 4]);
  b.check();
});

guard("queue-delay-ignored", "an initial delay sorts at promotion", () => {
  const b = new Bench();
  b.produce({ key: "a", delayMs: 500 }, { key: "a" }, { dueAt: 1200 }, { dueAt: 900 });
  expect(b.take()).toEqual([2, 4]);
  b.settle("ack", 2);
  b.check();
  b.pass(199);
  expect(b.take()).toEqual([]);
  b.pass(301);
  expect(b.take()).toEqual([3, 1]);
  b.check();
});

guard("queue-deadline-early", "a deadline is not met before its time", () => {
  const b = new Bench();
  b.produce({ delayMs: 500 });
  b.pass(499);
  expect(b.take()).toEqual([]);
  b.pass(1);
  expect(b.take()).toEqual([1]);
});

guard("queue-time-backwards", "group time never goes back", () => {
  const b = new Bench();
  b.pass(1000);
  b.now = 1500;
  b.produce({ delayMs: 500 });
  expect(b.shard.now).toBe(2000);
  b.pass(999);
  expect(b.take()).toEqual([]);
  b.reopen();
  expect(b.shard.now).toBe(2499);
});

guard("queue-retry-forgotten", "a retry comes back", () => {
  const b = new Bench({ backoffMs: 100 });
  b.produce({});
  b.take();
  b.settle("nack", 1);
  b.pass(99);
  expect(b.take()).toEqual([]);
  b.pass(1);
  expect(b.consume()).toMatchObject([{ sequence: 1, acquired: 2, deliveries: 1 }]);
  b.settle("nack", 1, 2);
  b.pass(199);
  expect(b.take()).toEqual([]);
  b.pass(1);
  expect(b.take()).toEqual([1]);
  b.check();
});
