import { type CacheCommand, encodeUtf8 } from "@trivet/wire";
import { expect, test } from "vitest";
import type { ShardAnswer } from "../../src/queues/answer.ts";
import { tables } from "../../src/queues/keys.ts";
import { guard } from "../raft/guard.ts";
import { ifFence, namespace, namespaceDefinition, ValueBench } from "./support/value-bench.ts";

test("a value is put, read, replaced and deleted, under versions that only rise", () => {
  const b = new ValueBench();
  expect(b.get("x")).toBeUndefined();
  expect(b.put("x", "one")).toEqual({ type: "cache-written", version: 1, number: null });
  expect(b.put("x", "two", { tags: ["t"] })).toEqual({ type: "cache-written", version: 2, number: null });
  expect(b.record("x")).toMatchObject({ version: 2, tags: ["t"], ttlMs: 0, asOf: 2 });
  expect(b.remove("x")).toEqual({ type: "cache-deleted", version: 3 });
  expect(b.remove("x")).toEqual({ type: "cache-deleted", version: 0 });
  b.check();
  expect(b.view.count(tables.value) + b.view.count(tables.tagged)).toBe(0);
});

test("race 21: a value deleted and made again has another version", () => {
  const b = new ValueBench();
  b.put("x", "one");
  b.remove("x");
  b.put("x", "one");
  expect(b.put("x", "two", { condition: { type: "version", version: 1 } })).toEqual({
    type: "cache-conflict",
    reason: "version",
    version: 3,
  });
});

guard("cache-version-ignored", "compare-and-set is decided by the version that is there", () => {
  const b = new ValueBench();
  b.put("x", "one");
  expect(b.put("x", "two", { condition: { type: "version", version: 7 } })).toEqual({
    type: "cache-conflict",
    reason: "version",
    version: 1,
  });
  expect(b.put("x", "two", { condition: { type: "version", version: 1 } })).toMatchObject({ type: "cache-written" });
  expect(b.put("y", "one", { condition: { type: "version", version: 0 } })).toMatchObject({ type: "cache-written" });
});

test("race 23: a negative entry is nothing to those who want something, and gives way to it", () => {
  const b = new ValueBench({ negativeTtlMs: 500, ttlMs: 9000 });
  b.put("x", null);
  expect(b.get("x")).toBeNull();
  expect(b.record("x").ttlMs).toBe(500);
  expect(b.put("x", "one", { condition: { type: "present" } })).toMatchObject({ reason: "absent" });
  expect(b.put("x", "one", { condition: { type: "absent" } })).toMatchObject({ type: "cache-written" });
  expect(b.put("x", "two", { condition: { type: "absent" } })).toMatchObject({ reason: "exists" });
  expect(b.record("x").ttlMs).toBe(9000);
  b.check();
});

test("a value of a namespace that revalidates is there so much longer than its time; a negative entry is not", () => {
  const b = new ValueBench({ ttlMs: 100, negativeTtlMs: 50, revalidateMs: 400 });
  b.put("x", "one");
  b.put("y", "two", { ttlMs: 10 });
  b.put("z", null);
  b.increment("n", 1);
  expect(["x", "y", "z", "n"].map((key) => b.record(key).ttlMs)).toEqual([500, 410, 50, 500]);
  b.now += 450;
  b.expire();
  expect([b.get("x"), b.get("y"), b.get("z"), b.get("n")]).toEqual(["one", undefined, undefined, "1"]);
});

test("race 26: increments count from nothing, keep tags and end, and refuse what is no whole number", () => {
  const b = new ValueBench();
  expect(b.increment("n", 5, { ttlMs: 100 })).toEqual({ type: "cache-written", version: 1, number: 5 });
  b.now += 50;
  expect(b.increment("n", -7)).toEqual({ type: "cache-written", version: 2, number: -2 });
  expect(b.record("n")).toMatchObject({ version: 2, ttlMs: 50 });
  b.put("n", "12", { tags: ["t"] });
  b.increment("n", 1);
  expect(b.record("n").tags).toEqual(["t"]);
  for (const text of ["", "1.5", "007", "-0", "abc", "1e3", " 1"]) {
    b.put("n", text);
    expect(b.increment("n", 1)).toEqual({ type: "cache-not-a-number" });
  }
  b.put("n", String(Number.MAX_SAFE_INTEGER));
  expect(b.increment("n", 1)).toEqual({ type: "cache-not-a-number" });
  expect(b.get("n")).toBe(String(Number.MAX_SAFE_INTEGER));
  b.check();
});

test("race 26: a put on condition of a version whose answer was lost is told as written, not as a conflict with itself", () => {
  const b = new ValueBench();
  b.put("x", "one");
  const put = { type: "cache-put", namespace, version: 1, key: "x", value: encodeUtf8("two"), tags: [], ttlMs: 0, ifFence: null } as const;
  const command = { ...put, condition: { type: "version", version: 1 }, token: null } as const;
  const once = (caller: string): ShardAnswer => {
    b.shard.beginEntry(b.now);
    const admission = b.shard.admit({
      caller,
      fingerprint: "",
      notAfter: 5000,
      ackedUpTo: 0,
      firstSequence: 1,
      count: 1,
      ordered: false,
      bodyStart: 0,
    });
    if ("type" in admission) throw new Error(admission.type);
    return b.shard.once(admission, 1, command);
  };
  expect(once("c")).toMatchObject({ type: "cache-written", version: 2 });
  expect(once("c")).toMatchObject({ type: "cache-written", version: 2 });
  expect(b.get("x")).toBe("two");
  // Somebody else who says the same is too late.
  expect(once("other")).toEqual({ type: "cache-conflict", reason: "version", version: 2 });
});

test("race 26: a command that comes twice is executed once (rule X1)", () => {
  const b = new ValueBench();
  const header = { caller: "c", fingerprint: "", notAfter: 5000, ackedUpTo: 0, firstSequence: 1, count: 1, ordered: false, bodyStart: 0 };
  const command = { type: "cache-increment", namespace, key: "n", version: 1, ifFence: null, by: 1, ttlMs: 0 } as const;
  for (let turn = 0; turn < 2; turn++) {
    b.shard.beginEntry(b.now);
    const admission = b.shard.admit(header);
    if ("type" in admission) throw new Error(admission.type);
    expect(b.shard.once(admission, 1, command)).toEqual({ type: "cache-written", version: 1, number: 1 });
  }
  expect(b.get("n")).toBe("1");
  expect(b.shard.lookup("c", 1)).toEqual({ type: "cache-written", version: 1, number: 1 });
});

guard("cache-token-ignored", "race 2, M8: a loader's value is not put over what was written meanwhile", () => {
  const b = new ValueBench();
  const { asOf, version } = b.record("x");
  b.put("x", "new");
  expect(b.put("x", "old", { token: { version, asOf } })).toEqual({ type: "cache-conflict", reason: "token", version: 1 });
  expect(b.get("x")).toBe("new");
});

guard("cache-removal-not-noted", "race 2, M8: a loader's value is not put after a delete, also of what was not there", () => {
  const b = new ValueBench();
  const { asOf, version } = b.record("x");
  b.remove("x");
  expect(b.put("x", "old", { token: { version, asOf } })).toMatchObject({ reason: "token" });
  const later = b.record("x");
  expect(b.put("x", "new", { token: later })).toMatchObject({ type: "cache-written" });
});

guard("cache-token-outlives-tag", "race 24, M8: a loader's value is not put after an invalidation of one of its tags", () => {
  const b = new ValueBench();
  const token = b.record("x");
  b.do({ type: "cache-invalidate", namespace, tag: "t" });
  expect(b.put("x", "old", { tags: ["u", "t"], token })).toMatchObject({ reason: "token" });
  expect(b.put("x", "old", { tags: ["u"], token })).toMatchObject({ type: "cache-written" });
});

const loadedBeforeClearing = (): void => {
  const b = new ValueBench();
  const token = b.record("x");
  b.invalidate("t");
  b.now += 60_000;
  b.pass(3);
  b.now += 60_000;
  b.pass(1);
  expect(b.view.count(tables.invalidated)).toBe(0);
  expect(b.put("x", "old", { tags: ["t"], token })).toMatchObject({ reason: "token" });
};
guard("cache-token-floor-ignored", "M8: an invalidation that is cleared refuses loaders of before all the same", loadedBeforeClearing);
guard("cache-token-floor-not-raised", "M8: clearing leaves behind that there was an invalidation", loadedBeforeClearing);

const endedByItsOwnTag = (cleared: number) => (): void => {
  const b = new ValueBench({}, { clearedPerEntry: 1 });
  b.put("a", "", { tags: ["t"] });
  const token = b.record("x");
  b.put("x", "newer", { tags: ["t"] });
  b.invalidate("t");
  b.pass(cleared);
  expect(b.get("x")).toBeUndefined();
  expect(b.put("x", "old", { token })).toMatchObject({ reason: "token" });
  expect(b.put("x", "new", { token: b.record("x") })).toMatchObject({ type: "cache-written" });
};
guard("cache-token-outlives-ended-value", "M8: a loader's value is not put after what a tag has ended since", endedByItsOwnTag(0));
guard("cache-clearing-not-noted", "M8: nor once that was cleared", endedByItsOwnTag(3));

guard("cache-invalidated-value-read", "M8: what carried the tag is gone at once, and nothing else", () => {
  const b = new ValueBench({}, { clearedPerEntry: 2 });
  for (let i = 0; i < 6; i++) b.put(`t${i}`, "x", { tags: ["t", `u${i}`] });
  b.put("other", "x", { tags: ["u"] });
  b.invalidate("t");
  for (let i = 0; i < 6; i++) expect(b.get(`t${i}`)).toBeUndefined();
  expect(b.get("other")).toBe("x");
});

guard("cache-clearing-takes-newer", "M8: clearing takes what is older than the invalidation, in bounded steps", () => {
  const b = new ValueBench({}, { clearedPerEntry: 2 });
  for (let i = 0; i < 6; i++) b.put(`t${i}`, "x", { tags: ["t"] });
  b.invalidate("t");
  b.put("t5", "new", { tags: ["t"] });
  b.pass(1);
  b.check();
  b.pass(5);
  b.check();
  expect(b.get("t5")).toBe("new");
  expect(b.view.count(tables.value)).toBe(1);
  expect(b.view.count(tables.job)).toBe(0);
});

test("race 24, M8: a loader's value is not put after its namespace was cleared", () => {
  const b = new ValueBench();
  const token = b.record("x");
  b.invalidate();
  expect(b.put("x", "old", { token })).toMatchObject({ reason: "token" });
  expect(b.put("x", "new", { token: b.record("x") })).toMatchObject({ type: "cache-written" });
});

test("a namespace is cleared, and goes on", () => {
  const b = new ValueBench({}, { clearedPerEntry: 2 });
  for (let i = 0; i < 5; i++) b.put(`k${i}`, "x");
  b.invalidate();
  b.put("k1", "new");
  expect([b.get("k0"), b.get("k1")]).toEqual([undefined, "new"]);
  b.pass(4);
  b.check();
  expect(b.view.count(tables.value)).toBe(1);
});

guard("cache-unbounded", "M9: beyond its limits a namespace refuses, and drops nothing", () => {
  const b = new ValueBench({ maxEntries: 2, maxBytes: 60 });
  b.put("a", "1");
  b.put("b", "1");
  expect(b.put("c", "1")).toEqual({ type: "cache-full", limit: "entries", max: 2 });
  expect(b.put("b", "x".repeat(60))).toEqual({ type: "cache-full", limit: "bytes", max: 60 });
  expect(b.put("b", "2")).toMatchObject({ type: "cache-written" });
  expect([b.get("a"), b.get("b")]).toEqual(["1", "2"]);
  const whole = new ValueBench({}, { cacheBytes: 50 });
  whole.put("a", "1");
  expect(whole.put("b", "x".repeat(40))).toEqual({ type: "cache-full", limit: "shard", max: 50 });
  b.check();
});

guard("cache-expiry-early", "L3: a value ends when the log's clock says so, whatever its leader thought", () => {
  const b = new ValueBench({ ttlMs: 100 });
  b.put("x", "1");
  expect(b.shard.nextValueEnd()).toBe(1100);
  const values = b.shard.dueValues(5000, 10);
  expect(values).toEqual([{ namespace, key: "x", version: 1 }]);
  expect(b.lead({ type: "cache-expire", values })).toEqual({ type: "counted", count: 0 });
  b.now += 100;
  expect(b.shard.value(namespace, "x", b.now).isDue).toBe(true);
  expect(b.expire()).toEqual({ type: "counted", count: 1 });
  expect(b.get("x")).toBeUndefined();
  b.check();
});

guard("cache-expiry-of-another-version", "a late end does not take the value that came after", () => {
  const b = new ValueBench({ ttlMs: 100 });
  b.put("x", "1");
  b.now += 100;
  const values = b.shard.dueValues(b.now, 10);
  b.put("x", "2", { ttlMs: 50 });
  b.now += 60;
  expect(b.lead({ type: "cache-expire", values })).toEqual({ type: "counted", count: 0 });
  b.check();
});

guard("cache-older-definition-taken", "G1: an older definition changes nothing", () => {
  const b = new ValueBench();
  b.configure({ version: 5, maxEntries: 1 });
  b.configure({ version: 4, maxEntries: 9 });
  b.put("a", "1");
  expect(b.put("b", "1")).toMatchObject({ type: "cache-full" });
  expect(b.shard.namespaces()).toEqual([[namespace, 5]]);
});

guard("cache-older-definition-used", "G1: who knows a newer definition is asked to come back", () => {
  const b = new ValueBench();
  expect(b.put("a", "1", { version: 2 })).toEqual({ type: "no-namespace", namespace, version: 1 });
});

guard("cache-mode-changed", "the mode of a namespace stays as it was made", () => {
  const b = new ValueBench();
  b.configure({ version: 2, mode: "ttl" });
  const stored = b.view.get(new Uint8Array([tables.namespace, 1, namespace]));
  expect(stored?.at(2 + namespaceDefinition.name.length + 1)).toBe(0);
});

guard("cache-dropped-comes-back", "a dropped namespace is gone with all that it held", () => {
  const b = new ValueBench({}, { clearedPerEntry: 2 });
  for (let i = 0; i < 5; i++) b.put(`k${i}`, "x", { tags: ["t"], ttlMs: 100 });
  b.invalidate("t");
  b.remove("k0");
  b.lead({ type: "drop-namespace", namespace, version: 2 });
  b.configure({ version: 3 });
  expect(b.put("a", "1")).toEqual({ type: "no-namespace", namespace, version: 0 });
  b.pass(30);
  b.check();
  const left = [tables.value, tables.tagged, tables.valueEnd, tables.invalidated, tables.removed, tables.tokenFloor, tables.namespaceUse];
  expect(left.map((table) => b.view.count(table))).toEqual([0, 0, 0, 0, 0, 0, 0]);
  expect(b.view.count(tables.job)).toBe(0);
});

test("K5: a write under a fence that is behind is refused, and one that is not raises it", () => {
  const b = new ValueBench();
  expect(b.put("x", "1", ifFence(5))).toMatchObject({ type: "cache-written" });
  expect(b.put("x", "2", ifFence(4))).toEqual({ type: "fence-behind", lock: "l", highest: 5 });
  expect(b.increment("n", 1, ifFence(4))).toMatchObject({ type: "fence-behind" });
  expect(b.remove("x", ifFence(4))).toMatchObject({ type: "fence-behind" });
  expect(b.remove("x", ifFence(6))).toMatchObject({ type: "cache-deleted" });
});

guard("cache-older-life-registered", "M1: a former life of a holder does not take the place of the present", () => {
  const b = new ValueBench();
  b.lead({ type: "register-holder", holder: "h", incarnation: 5 });
  b.lead({ type: "register-holder", holder: "h", incarnation: 4 });
  b.lead({ type: "register-holder", holder: "i", incarnation: 0 });
  expect(b.shard.holders()).toEqual([
    ["h", 5],
    ["i", 0],
  ]);
});

guard("cache-newer-life-forgotten", "M1: who has registered again stays registered", () => {
  const b = new ValueBench();
  b.lead({ type: "register-holder", holder: "h", incarnation: 5 });
  b.lead({ type: "forget-holder", holder: "h", incarnation: 4 });
  expect(b.shard.holders()).toEqual([["h", 5]]);
  b.lead({ type: "forget-holder", holder: "h", incarnation: 5 });
  expect(b.shard.holders()).toEqual([]);
});

test("M4: the last lease marker counts", () => {
  const b = new ValueBench();
  expect(b.shard.leaseMarker()).toBeNull();
  b.lead({ type: "lease-barrier", term: 7 });
  expect(b.shard.leaseMarker()).toEqual({ barrier: true, term: 7 });
  b.lead({ type: "lease-resume", term: 7 });
  expect(b.shard.leaseMarker()).toEqual({ barrier: false, term: 7 });
});

guard("cache-leader-command-by-caller", "what only the home may say is not taken from a caller", () => {
  const b = new ValueBench();
  const commands: readonly CacheCommand[] = [
    { type: "configure-namespace", namespace, definition: { ...namespaceDefinition, version: 9 } },
    { type: "drop-namespace", namespace, version: 9 },
    { type: "cache-expire", values: [] },
    { type: "register-holder", holder: "h", incarnation: 1 },
    { type: "forget-holder", holder: "h", incarnation: 1 },
    { type: "lease-barrier", term: 1 },
    { type: "lease-resume", term: 1 },
  ];
  for (const command of commands) expect(b.do(command)).toMatchObject({ type: "malformed" });
});

guard("cache-dropped-namespace-read", "what a dropped namespace has left is nobody's to read, cleared or not", () => {
  const b = new ValueBench({}, { clearedPerEntry: 1 });
  for (const key of ["x", "y", "z"]) b.put(key, "one");
  b.shard.execute({ type: "drop-namespace", namespace, version: 9 }, "leader");
  expect(b.record("z")).toMatchObject({ version: 0, value: null });
});
