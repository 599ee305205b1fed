import { expect, test } from "vitest";
import { guard } from "../raft/guard.ts";
import { Bench, message, queue } from "./support/bench.ts";

const sequences = (b: Bench, state: "ready" | "delayed" | "dead", limit = 100): number[][] => {
  const pages: number[][] = [];
  for (let cursor: string | null = ""; cursor !== null;) {
    const page = b.shard.browse(queue, 0, state, cursor, limit);
    pages.push(page.messages.map(({ sequence }) => sequence));
    cursor = page.next;
  }
  return pages;
};

guard("queue-leaving-uncounted", "the counters of a partition and its groups add up", () => {
  const b = new Bench({ maxDeliveries: 1 });
  b.produce({}, {}, {}, { delayMs: 500 });
  expect(b.shard.stats(queue, 0)).toMatchObject({ messages: 4, delayed: 1, produced: 4, bytes: 12, oldestAt: 1000, groups: [] });
  expect(b.take(2)).toEqual([1, 2]);
  b.settle("ack", 1);
  b.settle("nack", 2);
  const counts = { settled: 1, dead: 1, expired: 0, purged: 0 };
  expect(b.shard.stats(queue, 0)).toMatchObject({ dead: 1, groups: [{ group: "g", ready: 1, leased: 0, ...counts }] });
  b.take(1);
  expect(b.shard.stats(queue, 0)).toMatchObject({ groups: [{ ready: 0, leased: 1 }] });
  b.pass(500);
  expect(b.shard.stats(queue, 0)).toMatchObject({ delayed: 0, groups: [{ ready: 1, leased: 1 }] });
  expect(b.shard.stats(queue, 1)).toMatchObject({ messages: 0, oldestAt: 0, groups: [] });
  expect(b.shard.stats(queue, 0)).toMatchObject({ produced: 4, messages: 2, acked: 1, died: 1, expired: 0, purged: 0, dropped: 0 });
  b.check();
});

test("looking changes nothing", () => {
  const b = new Bench();
  b.produce({}, { delayMs: 5 });
  b.take();
  const before = b.view.dump();
  b.shard.stats(queue, 1);
  sequences(b, "ready");
  sequences(b, "delayed");
  b.shard.nextDeadline();
  expect(b.view.dump()).toBe(before);
});

test("ready messages are shown in the order of their lanes, page by page, and leased ones are not", () => {
  const b = new Bench();
  b.produce({ priority: 2 }, {}, {}, {});
  expect(sequences(b, "ready", 2)).toEqual([[2, 3], [4, 1], []]);
  b.take(2);
  expect(sequences(b, "ready")).toEqual([[4, 1]]);
  b.take(1, { group: "other" });
  expect(sequences(b, "ready")).toEqual([[2, 3, 4, 1].filter((one) => one !== 2)]);
  b.settle("nack", 2, 1, { delayMs: 50 });
  expect(sequences(b, "ready")).toEqual([[2, 3, 4, 1]]);
});

test("a page ends where its bodies are as large as a hand-out", () => {
  const b = new Bench({}, { handOutBytes: 100 });
  b.produce(...[60, 60, 60].map((length) => message({ body: new Uint8Array(length) })));
  expect(sequences(b, "ready")).toEqual([[1, 2], [3]]);
});

test("delayed messages have their time, dead letters their history", () => {
  const b = new Bench();
  b.produce({ delayMs: 70 }, { delayMs: 50 }, {});
  expect(sequences(b, "delayed", 1)).toEqual([[2], [1], []]);
  expect(b.shard.browse(queue, 0, "delayed", "", 1)).toMatchObject({ messages: [{ state: "delayed", dueAt: 1050, dead: null }] });
  b.take();
  b.settle("dead", 3);
  const history = { group: "g", reason: "why", acquired: 1, deliveries: 0, diedAt: 1000 };
  expect(b.shard.browse(queue, 0, "dead", "", 9)).toMatchObject({ messages: [{ sequence: 3, dead: history }], next: null });
});

test("a cursor that is none gets nothing", () => {
  const b = new Bench();
  b.produce({});
  for (const cursor of ["x", "1", "1.2.3", "99999999999999999.1"]) {
    expect(b.shard.browse(queue, 0, "ready", cursor, 9)).toEqual({ messages: [], next: null });
  }
});

test("the next deadline is the earliest, and now while something is to be cleared", () => {
  const b = new Bench({}, { clearedPerEntry: 2 });
  expect(b.shard.nextDeadline()).toBe(0);
  b.produce({ delayMs: 500 }, { delayMs: 200 });
  expect(b.shard.nextDeadline()).toBe(1200);
  b.pass(200);
  expect(b.shard.nextDeadline()).toBe(1500);
  b.do({ type: "drop-queue", queue, version: 9 }, "leader");
  expect(b.shard.nextDeadline()).toBe(b.now);
  b.pass(0, 10);
  expect(b.shard.nextDeadline()).toBe(1500);
  b.pass(300);
  expect(b.shard.nextDeadline()).toBe(0);
});
