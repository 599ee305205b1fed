import type { CacheEntry, CacheFailure, CacheWritten, Explained, NamespaceSettings } from "@trivet/engine";
import { cacheShardOf, decodeUtf8 } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { Caches } from "./cache-support.ts";
import { OutsideStore } from "./outside-store.ts";

const nodes = ["n1", "n2", "n3"] as const;
const options = { timeoutMs: 10_000 };

/** A cluster with the namespace `pages`, which is written behind. */
class Behind extends Caches {
  readonly outside: OutsideStore = new OutsideStore((delayMs, run) => this.cluster.clock.schedule(delayMs, run));
  private readonly number: number;

  constructor(settings: Partial<NamespaceSettings> = {}) {
    super();
    this.cluster.cacheOrigins.redis = this.outside;
    const told = new Told<unknown>();
    this.service("n1").defineNamespace("pages", { origin: "redis", write: "behind", ...settings }, "create", options, told.hear);
    const defined = this.answer(told) as { readonly type: string; readonly namespace: { readonly namespace: number } };
    expect(defined.type).toBe("defined");
    this.number = defined.namespace.namespace;
  }

  write(node: string, key: string, value: string | null): void {
    this.put(node, key, value, { namespace: "pages" });
  }

  tryWrite(node: string, key: string, value: string): CacheWritten | CacheFailure {
    return this.answer(this.beginPut(node, key, value, { namespace: "pages" }));
  }

  /** Null = nothing, undefined = it could not be read. */
  read(node: string, key: string): string | null | undefined {
    const told = new Told<CacheEntry | CacheFailure>();
    this.service(node).get("pages", key, "linearizable", 10_000, told.hear);
    const entry = this.answer(told);
    if (entry.type !== "entry") return undefined;
    return entry.value === null ? null : decodeUtf8(entry.value);
  }

  deleteIn(node: string, key: string): void {
    const told = new Told<unknown>();
    this.service(node).delete({ namespace: "pages", key, condition: { type: "always" }, ifFence: null }, options, told.hear);
    expect(this.answer(told)).toMatchObject({ type: "deleted" });
  }

  incrementIn(node: string, key: string, by: number, idempotencyKey?: string): unknown {
    const told = new Told<unknown>();
    const under = idempotencyKey === undefined ? {} : { idempotency: { key: idempotencyKey, fingerprint: "the same request" } };
    this.service(node).increment({ namespace: "pages", key, by, ttlMs: 0, ifFence: null }, { ...options, ...under }, told.hear);
    return this.answer(told);
  }

  found(node: string, key: string): CacheEntry {
    const told = new Told<CacheEntry | CacheFailure>();
    this.service(node).get("pages", key, "linearizable", 10_000, told.hear);
    const entry = this.answer(told);
    if (entry.type !== "entry") throw new Error(JSON.stringify(entry));
    return entry;
  }

  putIf(node: string, key: string, value: string, version: number): CacheWritten | CacheFailure {
    return this.answer(this.beginPut(node, key, value, { namespace: "pages", condition: { type: "version", version } }));
  }

  forget(): void {
    const told = new Told<unknown>();
    this.service("n2").invalidate("pages", null, options, told.hear);
    expect(this.answer(told)).toMatchObject({ type: "invalidated" });
  }

  explained(key: string): Explained {
    const told = new Told<Explained | CacheFailure>();
    this.service("n1").explain("pages", key, 10_000, told.hear);
    const explained = this.answer(told);
    if (explained.type !== "explained") throw new Error(JSON.stringify(explained));
    return explained;
  }

  home(key: string): string {
    const home = this.leaders()[cacheShardOf(this.number, key, 4) - 1];
    if (home === null || home === undefined) throw new Error(`no home of ${key}`);
    return home;
  }

  waiting(): number {
    return nodes.reduce((sum, node) => sum + this.service(node).statistics().behind.keys, 0);
  }

  caughtUp(...keys: readonly string[]): void {
    this.cluster.until("the origin has caught up", () => this.waiting() === 0 && keys.every((key) => this.isFlushed(key)), 60_000);
  }

  private isFlushed(key: string): boolean {
    return this.explained(key).behind === null;
  }
}

describe("a namespace that is written behind", () => {
  guard("behind-version-untold", "takes the version that a reader was told of a value that only waits any more", () => {
    const behind = new Behind({ ttlMs: 100 });
    behind.outside.isAway = true;
    behind.write("n1", "k", "v");
    behind.cluster.run(1_000);
    const { value, version } = behind.found("n2", "k");
    expect(value === null ? null : decodeUtf8(value)).toBe("v");
    expect(behind.putIf("n3", "k", "w", 0)).toEqual({ type: "conflict", reason: "version", version });
    expect(behind.putIf("n3", "k", "w", version)).toMatchObject({ type: "written" });
  });

  guard("behind-stamp-overwritten", "takes no key that is the stamp of another one at a Redis", () => {
    const behind = new Behind();
    for (const version of [0, 1]) {
      const refused = behind.putIf("n1", "{a}:trivet-stamp", "v", version);
      expect(refused).toMatchObject({ type: "malformed", detail: expect.stringContaining("trivet-stamp") });
    }
  });

  guard("behind-deletion-has-version", "takes a value on condition that there is nothing where only a deletion waits", () => {
    const behind = new Behind();
    behind.outside.isAway = true;
    behind.write("n1", "k", "v");
    behind.deleteIn("n1", "k");
    expect(behind.found("n2", "k")).toMatchObject({ found: "absent", version: 0 });
    expect(behind.putIf("n3", "k", "w", 0)).toMatchObject({ type: "written" });
    expect(behind.putIf("n3", "k", "x", 0)).toMatchObject({ type: "conflict", reason: "version" });
    behind.outside.isAway = false;
    behind.caughtUp("k");
    expect(behind.outside.value("k")).toBe("w");
  });

  test("answers a write when the log has it, and the origin gets it afterwards, with deletions and numbers", () => {
    const behind = new Behind();
    behind.outside.isAway = true;
    behind.write("n1", "k", "v");
    behind.write("n2", "gone", "w");
    behind.deleteIn("n3", "gone");
    expect(behind.outside.rows.size).toBe(0);
    expect(behind.explained("k").behind).toMatchObject({ deleted: false });
    expect(behind.explained("gone").behind).toMatchObject({ deleted: true });
    behind.outside.isAway = false;
    behind.caughtUp("k", "gone");
    expect(behind.outside.value("k")).toBe("v");
    expect(behind.outside.value("gone")).toBeNull();
    expect(behind.incrementIn("n2", "count", 5)).toMatchObject({ number: 5 });
    behind.caughtUp("count");
    expect(behind.outside.value("count")).toBe("5");
  });

  test("brings a key that is written again and again there in few writes, the last one last", () => {
    const behind = new Behind();
    behind.outside.delayMs = 100;
    for (let at = 1; at <= 40; at++) behind.write("n1", "k", `v${at}`);
    behind.caughtUp("k");
    expect(behind.outside.value("k")).toBe("v40");
    expect(behind.outside.writes.length).toBeLessThan(20);
    expect(behind.outside.writes.at(-1)).toBe("k=v40");
  });

  test("takes writes while the origin is away, until so much waits; then it refuses with a reason, and goes on when it is back", () => {
    const behind = new Behind({ maxBehind: 2 });
    behind.outside.isAway = true;
    const written = new Map<string, string>();
    let refused: CacheWritten | CacheFailure | null = null;
    for (let at = 0; refused === null; at++) {
      const told = behind.tryWrite("n1", `k${at}`, `v${at}`);
      if (told.type === "written") written.set(`k${at}`, `v${at}`);
      else refused = told;
    }
    expect(refused).toEqual({ type: "origin-behind", max: 2 });
    expect(written.size).toBeGreaterThanOrEqual(2);
    for (const [key, value] of written) for (const node of nodes) expect(behind.read(node, key)).toBe(value);
    behind.cluster.until("it is counted", () => behind.waiting() === written.size);
    behind.outside.isAway = false;
    behind.caughtUp(...written.keys());
    for (const [key, value] of written) expect(behind.outside.value(key)).toBe(value);
    expect(behind.tryWrite("n1", "another", "v")).toMatchObject({ type: "written" });
  });

  test("one write that the origin does not take keeps no other one waiting, and is written when it does", () => {
    const behind = new Behind();
    behind.outside.refusals.set("bad", "a constraint");
    behind.write("n1", "bad", "v");
    for (let at = 0; at < 10; at++) behind.write("n2", `k${at}`, "v");
    behind.cluster.until("the others are there", () =>
      Array.from({ length: 10 }, (_, at) => behind.outside.value(`k${at}`)).every((v) => v === "v"),
    );
    expect(behind.explained("bad").behind).not.toBeNull();
    behind.outside.refusals.clear();
    behind.caughtUp("bad");
    expect(behind.outside.value("bad")).toBe("v");
  });

  guard("behind-queued-not-read", "reads what waits, not what the origin still has, when the value has ended here", () => {
    const behind = new Behind();
    behind.outside.rows.set("k", { value: "old", stamp: "0" }).set("gone", { value: "old", stamp: "0" });
    behind.outside.isAway = true;
    behind.write("n1", "k", "new");
    behind.deleteIn("n1", "gone");
    behind.forget();
    for (const node of nodes) expect(behind.read(node, "k")).toBe("new");
    for (const node of nodes) expect(behind.read(node, "gone")).toBeNull();
    behind.outside.isAway = false;
    behind.caughtUp("k", "gone");
    for (const node of nodes) expect(behind.read(node, "k")).toBe("new");
    for (const node of nodes) expect(behind.read(node, "gone")).toBeNull();
  });

  test("counts and compares with what only the origin has", () => {
    const behind = new Behind();
    behind.outside.rows.set("n", { value: "41", stamp: "0" });
    expect(behind.incrementIn("n3", "n", 1)).toMatchObject({ number: 42 });
    behind.caughtUp("n");
    expect(behind.outside.value("n")).toBe("42");
    behind.outside.rows.set("x", { value: "there", stamp: "0" });
    const told = behind.answer(behind.beginPut("n2", "x", "mine", { namespace: "pages", condition: { type: "absent" } }));
    expect(told).toMatchObject({ type: "conflict", reason: "exists" });
    behind.outside.isAway = true;
    expect(behind.incrementIn("n3", "unknown", 1)).toMatchObject({ type: "origin-unavailable" });
  });

  test("an increment under an idempotency key, of a number that only the origin has, is made once", () => {
    const behind = new Behind();
    behind.outside.rows.set("n", { value: "41", stamp: "0" });
    for (const node of ["n1", "n2"]) expect(behind.incrementIn(node, "n", 1, "the key")).toMatchObject({ number: 42 });
    expect(behind.incrementIn("n3", "n", 1, "another key")).toMatchObject({ number: 43 });
  });

  guard("behind-unreachable-taken-for-written", "a write whose answer is lost is written again, which changes nothing", () => {
    const behind = new Behind();
    behind.outside.losesAnswers = true;
    behind.write("n1", "k", "v");
    behind.cluster.until("it came", () => behind.outside.value("k") === "v");
    expect(behind.explained("k").behind).not.toBeNull();
    behind.outside.losesAnswers = false;
    behind.caughtUp("k");
    expect(behind.outside.writes.length).toBeGreaterThan(1);
    expect(behind.outside.value("k")).toBe("v");
  });

  test.each(["kill", "cut"] as const)("goes on under the next leader when the home is gone in the middle: %s", (end) => {
    const behind = new Behind();
    behind.outside.losesAnswers = true;
    const keys = Array.from({ length: 30 }, (_, at) => `k${at}`);
    for (const key of keys) behind.write("n1", key, `of ${key}`);
    const home = behind.home("k0");
    behind.cluster.until("some are written", () => behind.outside.writes.length > 0);
    if (end === "kill") behind.cluster.kill(home);
    else behind.cut(home);
    behind.outside.losesAnswers = false;
    behind.cluster.until("the origin has all", () => keys.every((key) => behind.outside.value(key) === `of ${key}`), 60_000);
  });

  test("goes on after all nodes were down at once", () => {
    const behind = new Behind();
    behind.outside.isAway = true;
    const keys = Array.from({ length: 12 }, (_, at) => `k${at}`);
    for (const key of keys) behind.write("n1", key, `of ${key}`);
    for (const node of nodes) behind.cluster.kill(node);
    behind.outside.isAway = false;
    for (const node of nodes) behind.cluster.restart(node);
    behind.cluster.until("the origin has all", () => keys.every((key) => behind.outside.value(key) === `of ${key}`), 60_000);
  });

  test("a late write of a former leader replaces nothing newer", () => {
    const behind = new Behind();
    behind.outside.lateMs = 8_000;
    behind.write("n1", "k", "old");
    behind.cluster.run(300);
    const home = behind.home("k");
    behind.cluster.kill(home);
    behind.outside.lateMs = 0;
    const other = nodes.find((node) => node !== home) ?? "n1";
    behind.write(other, "k", "new");
    behind.cluster.until("the newer one is there", () => behind.outside.value("k") === "new", 60_000);
    behind.cluster.until("the older one came", () => behind.outside.writes.at(-1) === "k=old", 60_000);
    expect(behind.outside.value("k")).toBe("new");
  });

  test("no copy that is given up takes a write with it", () => {
    const behind = new Behind({ copyEntries: 4 });
    behind.outside.isAway = true;
    const keys = Array.from({ length: 60 }, (_, at) => `k${at}`);
    for (const key of keys) behind.write("n1", key, `of ${key}`);
    for (const key of keys) behind.read("n2", key);
    expect(behind.service("n2").statistics().evictions).toBeGreaterThan(0);
    behind.outside.isAway = false;
    behind.caughtUp();
    for (const key of keys) expect(behind.outside.value(key)).toBe(`of ${key}`);
  });

  test("of a namespace whose origin is taken from it waits until it has one again; without an origin nothing is written behind", () => {
    const behind = new Behind();
    behind.outside.isAway = true;
    behind.write("n1", "k", "v");
    const change = (settings: Partial<NamespaceSettings>): unknown => {
      const told = new Told<unknown>();
      behind.service("n1").defineNamespace("pages", settings, "update", options, told.hear);
      return behind.answer(told);
    };
    expect(change({ origin: "none" })).toMatchObject({ type: "malformed", detail: expect.stringContaining("no origin to write to") });
    expect(change({ origin: "none", write: "here" })).toMatchObject({ type: "defined" });
    behind.outside.isAway = false;
    behind.cluster.run(15_000);
    expect(behind.outside.rows.size).toBe(0);
    expect(change({ origin: "redis" })).toMatchObject({ type: "defined" });
    behind.caughtUp("k");
    expect(behind.outside.value("k")).toBe("v");
  });
});
