import { decodeUtf8, encodeUtf8, type LoadToken } from "@trivet/wire";
import { expect, test } from "vitest";
import type { QueuedWriteOfKey } from "../../src/coherence/values/outbox.ts";
import { tables } from "../../src/queues/keys.ts";
import type { ShardLimits } from "../../src/queues/limits.ts";
import { guard } from "../raft/guard.ts";
import { namespace, ValueBench } from "./support/value-bench.ts";

const everything = { without: new Set<number>(), most: 100, mostBytes: 1_000_000 };

/** A shard whose one namespace is written behind. */
class Behind extends ValueBench {
  constructor(maxBehind = 0, limits: Partial<ShardLimits> = {}) {
    super({ write: "behind", maxBehind }, limits);
  }

  waiting(): readonly QueuedWriteOfKey[] {
    return this.shard.queuedWrites(0, everything).writes;
  }

  /** What waits, in its turns; null = a deletion. */
  texts(): readonly (readonly [key: string, value: string | null])[] {
    return this.waiting().map(({ key, value }) => [key, value === null ? null : decodeUtf8(value)]);
  }

  flushed(key: string, version: number): unknown {
    return this.lead({ type: "cache-flushed", values: [{ namespace, key, version }] });
  }

  token(key: string): LoadToken {
    const { asOf, version } = this.record(key);
    return { asOf, version };
  }

  load(key: string, value: string | null, token: LoadToken): unknown {
    return this.put(key, value, { token });
  }
}

test("each write waits with its version, its time and its value; of a key that is written again the latest one, in its first turn", () => {
  const b = new Behind();
  b.put("x", "one");
  b.now += 50;
  b.put("y", "two");
  b.put("x", "three");
  b.remove("z");
  expect(b.texts()).toEqual([
    ["x", "three"],
    ["y", "two"],
    ["z", null],
  ]);
  expect(b.waiting()[0]).toMatchObject({ version: 3, place: 1, since: 1000, at: 1050 });
  expect(b.shard.backlogs()).toEqual([{ namespace, keys: 3, bytes: 11, version: 1 }]);
  expect(b.shard.waitingSince()).toBe(1000);
  expect(b.shard.hasQueued).toBe(true);
  b.check();
});

test("a negative entry that a caller puts is a deletion there, an increment a number", () => {
  const b = new Behind();
  b.put("n", "4");
  b.increment("n", 3);
  b.put("x", null);
  expect(b.texts()).toEqual([
    ["n", "7"],
    ["x", null],
  ]);
});

test("a namespace that is not written behind queues nothing", () => {
  const b = new ValueBench();
  b.put("x", "one");
  b.remove("x");
  expect(b.view.count(tables.outbox)).toBe(0);
  expect(b.shard.hasQueued).toBe(false);
});

guard("behind-loads-written", "what a loader brings is not written back", () => {
  const b = new Behind();
  b.load("x", "from outside", { version: 0, asOf: 0 });
  expect(b.texts()).toEqual([]);
});

guard("behind-deletes-forgotten", "a key is deleted there also where nothing of it is stored here", () => {
  const b = new Behind();
  expect(b.remove("x")).toEqual({ type: "cache-deleted", version: 0 });
  expect(b.texts()).toEqual([["x", null]]);
});

test("what the origin has goes; nothing is left of it", () => {
  const b = new Behind();
  b.put("x", "one");
  expect(b.flushed("x", 1)).toEqual({ type: "counted", count: 1 });
  expect(b.flushed("x", 1)).toEqual({ type: "counted", count: 0 });
  for (const table of [tables.outbox, tables.outboxTurn, tables.outboxUse]) expect(b.view.count(table)).toBe(0);
  expect(b.get("x")).toBe("one");
  expect(b.shard.waitingSince()).toBe(0);
});

guard("behind-flush-of-another-version", "what was written since goes on waiting, behind those that waited meanwhile", () => {
  const b = new Behind();
  b.put("x", "one");
  b.put("y", "two");
  b.put("x", "three");
  b.flushed("x", 1);
  expect(b.texts()).toEqual([
    ["y", "two"],
    ["x", "three"],
  ]);
  b.check();
  b.flushed("x", 3);
  expect(b.texts()).toEqual([["y", "two"]]);
});

test("values that end, by their time or by an invalidation, are written all the same", () => {
  const b = new Behind();
  b.put("x", "one", { ttlMs: 100 });
  b.put("y", "two", { tags: ["t"] });
  b.now += 200;
  b.expire();
  b.invalidate("t");
  b.pass(5);
  expect(b.get("x")).toBeUndefined();
  expect(b.texts()).toEqual([
    ["x", "one"],
    ["y", "two"],
  ]);
  b.check();
});

guard("behind-load-over-queued", "a load of what the origin had before is not stored while the newer value waits", () => {
  const b = new Behind();
  b.put("x", "new", { ttlMs: 100 });
  b.now += 200;
  b.expire();
  expect(b.load("x", "old", b.token("x"))).toMatchObject({ type: "cache-conflict", reason: "token" });
});

guard("behind-flush-not-noted", "nor once it has been written, for the load may have been answered before", () => {
  const b = new Behind();
  b.put("x", "new", { ttlMs: 100 });
  b.now += 200;
  b.expire();
  const token = b.token("x");
  b.flushed("x", 1);
  expect(b.load("x", "old", token)).toMatchObject({ type: "cache-conflict", reason: "token" });
  expect(b.load("x", "new", b.token("x"))).toMatchObject({ type: "cache-written" });
});

test("the same where the value is still stored: a loader that refreshes it brings nothing older", () => {
  const b = new Behind();
  b.put("x", "new");
  const token = b.token("x");
  expect(b.load("x", "old", token)).toMatchObject({ reason: "token" });
  b.flushed("x", 1);
  expect(b.load("x", "old", token)).toMatchObject({ reason: "token" });
});

guard("behind-decided-unloaded", "a write that depends on what is there is not decided before that is known", () => {
  const b = new Behind();
  expect(b.increment("n", 1)).toEqual({ type: "cache-unloaded" });
  expect(b.put("x", "one", { condition: { type: "absent" } })).toEqual({ type: "cache-unloaded" });
  expect(b.remove("x", { condition: { type: "version", version: 0 } })).toEqual({ type: "cache-unloaded" });
  expect(b.texts()).toEqual([]);
  b.load("n", "41", b.token("n"));
  b.load("x", null, b.token("x"));
  expect(b.increment("n", 1)).toMatchObject({ number: 42 });
  expect(b.put("x", "one", { condition: { type: "absent" } })).toMatchObject({ type: "cache-written" });
});

guard("behind-queued-not-known", "what waits is known, also when its value has ended here", () => {
  const b = new Behind();
  b.put("n", "41", { ttlMs: 100, tags: ["t"] });
  b.now += 200;
  b.expire();
  expect(b.increment("n", 1)).toMatchObject({ number: 42 });
  expect(b.record("n")).toMatchObject({ tags: [], ttlMs: 0 });
  b.remove("n");
  expect(b.put("n", "one", { condition: { type: "absent" } })).toMatchObject({ type: "cache-written" });
});

guard("behind-backlog-unbounded", "more than may wait is refused, and changes nothing", () => {
  const b = new Behind(2, { behindBytes: 20 });
  b.put("x", "one");
  b.put("y", "two");
  const full = { type: "cache-full", limit: "behind", max: 2 };
  expect(b.put("z", "three")).toEqual(full);
  expect(b.remove("z")).toEqual(full);
  expect(b.increment("z", 1)).toEqual({ type: "cache-unloaded" });
  expect(b.get("z")).toBeUndefined();
  // What waits already makes room for what replaces it.
  expect(b.put("x", "four")).toMatchObject({ type: "cache-written" });
  expect(b.put("x", "x".repeat(40))).toEqual({ ...full, max: 20 });
  expect(b.remove("x")).toMatchObject({ type: "cache-deleted" });
  b.flushed("y", 2);
  expect(b.put("z", "three")).toMatchObject({ type: "cache-written" });
  b.check();
});

test("a page is bounded by number, by bytes, and by what it passes over, and says where to go on", () => {
  const b = new Behind();
  for (let at = 0; at < 10; at++) b.put(`k${at}`, "x".repeat(10));
  const first = b.shard.queuedWrites(0, { ...everything, most: 4 });
  expect(first.writes.map(({ key }) => key)).toEqual(["k0", "k1", "k2", "k3"]);
  const second = b.shard.queuedWrites(first.next, { ...everything, mostBytes: 20 });
  expect(second.writes.map(({ key }) => key)).toEqual(["k4", "k5"]);
  expect(b.shard.queuedWrites(second.next, everything)).toMatchObject({ writes: { length: 4 }, next: 0 });
  expect(b.shard.queuedWrites(0, { ...everything, without: new Set([namespace]) })).toEqual({ writes: [], next: 0 });
});

test("what waits of a namespace that is removed goes with it", () => {
  const b = new Behind(0, { clearedPerEntry: 3 });
  for (let at = 0; at < 10; at++) b.put(`k${at}`, "v");
  b.lead({ type: "drop-namespace", namespace, version: 2 });
  b.pass(20);
  for (const table of [tables.outbox, tables.outboxTurn, tables.outboxUse]) expect(b.view.count(table)).toBe(0);
  b.check();
});

test("only the leader says what an origin has", () => {
  const b = new Behind();
  b.put("x", "one");
  const command = { type: "cache-flushed", values: [{ namespace, key: "x", version: 1 }] } as const;
  expect(b.do(command, "caller")).toMatchObject({ type: "malformed" });
  expect(b.texts()).toHaveLength(1);
});

test("of a namespace that is written here again what waits still goes there", () => {
  const b = new Behind();
  b.put("x", "one");
  b.configure({ write: "here" });
  b.put("y", "two");
  expect(b.texts()).toEqual([["x", "one"]]);
  expect(b.load("x", "old", b.token("x"))).toMatchObject({ reason: "token" });
  expect(encodeUtf8("one")).toEqual(b.waiting()[0]?.value);
});
