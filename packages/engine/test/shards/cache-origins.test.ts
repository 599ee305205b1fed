import type { CacheApi, CacheFailure, CacheOrigin, NamespaceSettings, OriginAnswer } from "@trivet/engine";
import { decodeUtf8, encodeUtf8 } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { Caches } from "./cache-support.ts";

const nodes = ["n1", "n2", "n3"] as const;
type Read = Parameters<Parameters<CacheApi["get"]>[4]>[0];
type Short = { readonly value: string | null; readonly source: string } | CacheFailure;

/** An outside system that other programs write to. What it says was true when it was asked. */
class Outside implements CacheOrigin {
  timeoutMs = 500;
  readonly values = new Map<string, string>();
  readonly loads: string[] = [];
  delayMs = 20;
  problem: string | null = null;
  isSilent = false;
  private readonly later: (delayMs: number, run: () => void) => unknown;

  constructor(later: (delayMs: number, run: () => void) => unknown) {
    this.later = later;
  }

  write(): void {
    throw new Error("nothing here is written behind");
  }

  load(namespace: string, key: string, done: (answer: OriginAnswer) => void): void {
    this.loads.push(`${namespace}/${key}`);
    if (this.isSilent) return;
    const value = this.values.get(key);
    const answer: OriginAnswer =
      this.problem !== null
        ? { type: "failed", reason: this.problem }
        : value === undefined
          ? { type: "absent" }
          : { type: "value", value: encodeUtf8(value) };
    this.later(this.delayMs, () => done(answer));
  }
}

/** A cluster with the namespace `pages`, whose values come from outside. */
class Fronted extends Caches {
  readonly outside: Outside = new Outside((delayMs, run) => this.cluster.clock.schedule(delayMs, run));

  constructor(settings: Partial<NamespaceSettings> = {}) {
    super();
    this.cluster.cacheOrigins.redis = this.outside;
    const told = new Told<unknown>();
    this.service("n1").defineNamespace("pages", { origin: "redis", ...settings }, "create", { timeoutMs: 10_000 }, told.hear);
    expect(this.answer(told)).toMatchObject({ type: "defined", namespace: { settings: { origin: "redis" } } });
  }

  beginRead(node: string, key = "k"): Told<Read> {
    const told = new Told<Read>();
    this.service(node).get("pages", key, "linearizable", 10_000, told.hear);
    return told;
  }

  read(node: string, key = "k"): Short {
    return this.short(this.beginRead(node, key));
  }

  short(told: Told<Read>): Short {
    const entry = this.answer(told);
    if (entry.type !== "entry") return entry;
    return { value: entry.value === null ? null : decodeUtf8(entry.value), source: entry.source };
  }

  value(node: string, key = "k"): string | null | undefined {
    const read = this.read(node, key);
    return "value" in read ? read.value : undefined;
  }

  forget(node = "n1"): void {
    const told = new Told<unknown>();
    this.service(node).invalidate("pages", null, { timeoutMs: 10_000 }, told.hear);
    expect(this.answer(told)).toMatchObject({ type: "invalidated" });
  }

  deleteIn(node: string, key = "k"): void {
    const told = new Told<unknown>();
    this.service(node).delete({ namespace: "pages", key, condition: { type: "always" }, ifFence: null }, { timeoutMs: 10_000 }, told.hear);
    expect(this.answer(told)).toMatchObject({ type: "deleted" });
  }
}

function revalidated(fronted: Fronted, node: string, how: "behind" | "wait", namespace = "pages"): Told<Read> {
  const told = new Told<Read>();
  fronted.service(node).revalidate(namespace, "k", how, 20_000, told.hear);
  return told;
}

describe("a value that a caller wants loaded again, whatever is left of its time", () => {
  test.each(["write-through", "strict", "ttl"] as const)("and waits for: everybody has it from then on: %s", (mode) => {
    const fronted = new Fronted({ mode, staleMs: mode === "ttl" ? 1 : 0 });
    fronted.outside.values.set("k", "1");
    for (const node of nodes) expect(fronted.value(node)).toBe("1");
    for (const [at, node] of nodes.entries()) {
      const value = String(at + 2);
      fronted.outside.values.set("k", value);
      expect(fronted.short(revalidated(fronted, node, "wait"))).toEqual({ value, source: "origin" });
      fronted.cluster.run(5);
      for (const other of nodes) expect(fronted.value(other)).toBe(value);
    }
    // What the origin has no more.
    fronted.outside.values.delete("k");
    expect(fronted.short(revalidated(fronted, "n2", "wait"))).toMatchObject({ value: null });
    expect(fronted.value("n3")).toBeNull();
  });

  test("or has loaded behind the answer, once a second at most", () => {
    const fronted = new Fronted();
    fronted.outside.values.set("k", "1");
    for (const node of nodes) expect(fronted.value(node)).toBe("1");
    fronted.outside.values.set("k", "2");
    const loads = fronted.outside.loads.length;
    for (let times = 0; times < 5; times++) expect(fronted.short(revalidated(fronted, "n1", "behind"))).toMatchObject({ value: "1" });
    fronted.cluster.run(500);
    for (const node of nodes) expect(fronted.value(node)).toBe("2");
    expect(fronted.outside.loads.length).toBe(loads + 1);
    // Nothing is stored: that is a load that is waited for, and none behind it.
    fronted.forget();
    expect(fronted.short(revalidated(fronted, "n1", "behind"))).toEqual({ value: "2", source: "origin" });
    fronted.cluster.run(2_000);
    expect(fronted.outside.loads.length).toBe(loads + 2);
  });

  test("is answered out of a load that began after the call, though one is under way; and a write meanwhile is later than that", () => {
    const fronted = new Fronted();
    fronted.outside.delayMs = 300;
    fronted.outside.values.set("k", "1");
    const earlier = fronted.beginRead("n1");
    fronted.cluster.run(250);
    fronted.outside.values.set("k", "2");
    expect(fronted.short(revalidated(fronted, "n2", "wait"))).toMatchObject({ value: "2" });
    expect(fronted.short(earlier)).toMatchObject({ source: "origin" });
    [fronted.outside.delayMs, fronted.outside.timeoutMs] = [2_500, 5_000];
    const slow = revalidated(fronted, "n3", "wait");
    fronted.cluster.run(100);
    fronted.put("n1", "k", "put", { namespace: "pages" });
    expect(["2", "put"]).toContain((fronted.short(slow) as { readonly value: string }).value);
  });

  test("stays as it is while the origin is away, and where there is none the caller is told", () => {
    const fronted = new Fronted();
    fronted.outside.values.set("k", "1");
    expect(fronted.value("n1")).toBe("1");
    fronted.outside.problem = "away";
    expect(fronted.short(revalidated(fronted, "n2", "wait"))).toMatchObject({ type: "origin-unavailable" });
    expect(fronted.short(revalidated(fronted, "n2", "behind"))).toMatchObject({ value: "1" });
    expect(fronted.value("n3")).toBe("1");
    const nowhere = fronted.short(revalidated(fronted, "n1", "wait", "default"));
    expect(nowhere).toMatchObject({ type: "malformed", detail: expect.stringContaining("origin") });
  });
});

function isStale(fronted: Fronted, node: string): boolean {
  const entry = fronted.answer(fronted.beginRead(node));
  return entry.type === "entry" && entry.isStale === true;
}

describe("a value whose time is over, where it may be read while it is loaded again", () => {
  const settings = { ttlMs: 1_000, revalidateMs: 60_000 };
  test.each(["write-through", "strict", "ttl"] as const)("is answered at once, and loaded once in the whole cluster: %s", (mode) => {
    const fronted = new Fronted({ ...settings, mode, staleMs: mode === "ttl" ? 200 : 0 });
    fronted.outside.values.set("k", "1");
    for (const node of nodes) expect(fronted.value(node)).toBe("1");
    for (const node of nodes) expect(isStale(fronted, node)).toBe(false);
    fronted.outside.values.set("k", "2");
    fronted.cluster.run(1_100);
    fronted.outside.delayMs = 300;
    for (const node of nodes) expect(fronted.value(node)).toBe("1");
    fronted.cluster.run(700);
    for (const node of nodes) expect(fronted.value(node)).toBe("2");
    for (const node of nodes) expect(isStale(fronted, node)).toBe(false);
    expect(fronted.outside.loads).toHaveLength(2);
    expect(fronted.verify("n1")).toMatchObject({ ok: true });
  });

  guard("revalidation-unpaced", "says that it is old, and asks an origin that is away now and then only", () => {
    const fronted = new Fronted(settings);
    fronted.outside.values.set("k", "1");
    for (let reads = 0; reads < 3; reads++) expect(fronted.value("n1")).toBe("1");
    fronted.cluster.run(1_100);
    fronted.outside.problem = "gone";
    for (let reads = 0; reads < 20; reads++) {
      expect(isStale(fronted, "n1")).toBe(true);
      fronted.cluster.run(30);
    }
    expect(fronted.outside.loads.length).toBeLessThanOrEqual(2);
    fronted.outside.problem = null;
    fronted.outside.values.set("k", "2");
    fronted.cluster.until("it is new again", () => fronted.value("n1") === "2");
  });

  test("ends when nobody has read it for so long, and never stands before what was written or invalidated through the cluster", () => {
    const fronted = new Fronted({ ttlMs: 1_000, revalidateMs: 2_000 });
    fronted.outside.values.set("k", "1").set("l", "1");
    for (const key of ["k", "l"]) expect(fronted.value("n1", key)).toBe("1");
    fronted.cluster.run(1_100);
    fronted.outside.delayMs = 300;
    expect(fronted.value("n2")).toBe("1");
    fronted.put("n3", "k", "written", { namespace: "pages" });
    for (const node of nodes) expect(fronted.value(node)).toBe("written");
    fronted.cluster.run(500);
    for (const node of nodes) expect(fronted.value(node)).toBe("written");
    fronted.outside.values.set("l", "2");
    fronted.cluster.run(2_100);
    expect(fronted.read("n1", "l")).toEqual({ value: "2", source: "origin" });
    fronted.outside.values.set("l", "3");
    fronted.forget();
    expect(fronted.value("n2", "l")).toBe("3");
  });

  test("is refused to a namespace without an origin", () => {
    const fronted = new Fronted();
    const told = new Told<unknown>();
    fronted.service("n1").defineNamespace("plain", { revalidateMs: 5 }, "create", { timeoutMs: 10_000 }, told.hear);
    expect(fronted.answer(told)).toMatchObject({ type: "malformed", detail: expect.stringContaining("revalidate_ms") });
  });
});

describe("a namespace with an origin", () => {
  guard("origin-flights-not-shared", "asks its origin once, whoever reads at the same time through whichever node", () => {
    const fronted = new Fronted();
    fronted.outside.values.set("k", "v");
    const asked = [...nodes, ...nodes].map((node) => fronted.beginRead(node));
    for (const told of asked) expect(fronted.short(told)).toEqual({ value: "v", source: "origin" });
    expect(fronted.outside.loads).toEqual(["pages/k"]);
  });

  test("stores what it loaded: read through every node, from then on without the origin and without the network", () => {
    const fronted = new Fronted();
    fronted.outside.values.set("k", "v");
    expect(fronted.read("n1")).toEqual({ value: "v", source: "origin" });
    fronted.outside.problem = "gone";
    for (const node of nodes) for (let reads = 0; reads < 3; reads++) expect(fronted.value(node)).toBe("v");
    fronted.cluster.run(2_000);
    for (const node of nodes) expect(fronted.value(node)).toBe("v");
    for (const node of nodes) expect(fronted.read(node)).toMatchObject({ value: "v", source: "cache" });
    expect(fronted.outside.loads).toHaveLength(1);
    expect(fronted.verify("n1")).toMatchObject({ ok: true });
  });

  test("believes that there is nothing for as long as negative entries live, or values where those have no time", () => {
    for (const settings of [{ negativeTtlMs: 1_000 }, { negativeTtlMs: 0, ttlMs: 1_000 }]) {
      const fronted = new Fronted(settings);
      for (const node of nodes) expect(fronted.value(node)).toBeNull();
      expect(fronted.outside.loads).toHaveLength(1);
      fronted.outside.values.set("k", "v");
      expect(fronted.value("n2")).toBeNull();
      fronted.cluster.run(1_100);
      expect(fronted.value("n2")).toBe("v");
    }
  });

  test("does not hear of what others write there: that is seen when the time of the value is over, or after an invalidation", () => {
    const fronted = new Fronted({ ttlMs: 1_000 });
    fronted.outside.values.set("k", "1");
    expect(fronted.value("n1")).toBe("1");
    fronted.outside.values.set("k", "2");
    expect(fronted.value("n2")).toBe("1");
    fronted.cluster.run(1_100);
    for (const node of nodes) expect(fronted.value(node)).toBe("2");
    fronted.outside.values.set("k", "3");
    fronted.forget();
    for (const node of nodes) expect(fronted.value(node)).toBe("3");
  });

  test("a value that is written here stands before the one outside, until it is deleted", () => {
    const fronted = new Fronted();
    fronted.outside.values.set("k", "outside");
    fronted.put("n1", "k", "here", { namespace: "pages" });
    for (const node of nodes) expect(fronted.value(node)).toBe("here");
    expect(fronted.outside.loads).toEqual([]);
    fronted.deleteIn("n2");
    for (const node of nodes) expect(fronted.value(node)).toBe("outside");
  });

  guard("origin-copy-of-nothing-answers", "asks its origin also where a node has a copy that says that nothing is stored", () => {
    const fronted = new Fronted();
    fronted.put("n1", "k", "here", { namespace: "pages" });
    fronted.deleteIn("n1");
    fronted.outside.problem = "gone";
    for (let reads = 0; reads < 5; reads++) fronted.read("n1");
    fronted.cluster.run(5_000);
    fronted.outside.problem = null;
    fronted.outside.values.set("k", "v");
    expect(fronted.service("n1").peek("pages", "k")).toBeUndefined();
    expect(fronted.value("n1")).toBe("v");
  });

  test("an origin that fails is told with its reason, costs nobody a stored value, and is asked again", () => {
    const fronted = new Fronted();
    fronted.outside.values.set("k", "v").set("kept", "v");
    expect(fronted.value("n1", "kept")).toBe("v");
    fronted.outside.problem = "out of order";
    for (const node of nodes) expect(fronted.read(node)).toEqual({ type: "origin-unavailable", reason: "out of order" });
    expect(fronted.value("n2", "kept")).toBe("v");
    fronted.outside.problem = null;
    expect(fronted.value("n3")).toBe("v");
    fronted.outside.isSilent = true;
    expect(fronted.read("n3", "other")).toEqual({ type: "origin-unavailable", reason: "no answer in 500 ms" });
    delete fronted.cluster.cacheOrigins.redis;
    expect(fronted.read("n1", "other")).toMatchObject({
      type: "origin-unavailable",
      reason: expect.stringMatching(/^node n\d has no redis/),
    });
    const lines = nodes.flatMap((node) => fronted.cluster.member(node).telemetry.lines.filter(({ event }) => event === "origin.load"));
    expect(lines.length).toBeGreaterThan(0);
  });

  guard("origin-load-without-token", "a load that an invalidation has overtaken is not stored", () => {
    const fronted = new Fronted();
    fronted.outside.values.set("k", "old");
    fronted.outside.delayMs = 300;
    const told = fronted.beginRead("n1");
    fronted.cluster.until("the load has begun", () => fronted.outside.loads.length === 1);
    fronted.outside.values.set("k", "new");
    fronted.forget("n2");
    expect(told.value).toBeNull();
    expect(fronted.short(told)).toMatchObject({ value: "new" });
    for (const node of nodes) expect(fronted.value(node)).toBe("new");
  });

  test("a value for which there is no room is answered all the same, and not kept", () => {
    const fronted = new Fronted({ maxBytes: 8 });
    fronted.outside.values.set("k", "too long for that");
    for (const node of nodes) expect(fronted.read(node)).toEqual({ value: "too long for that", source: "origin" });
    expect(fronted.outside.loads).toHaveLength(3);
    fronted.outside.values.delete("k");
    expect(fronted.read("n1", "long enough a key")).toEqual({ value: null, source: "origin" });
  });

  test("one that is too large to be cached is a failure of the origin", () => {
    const fronted = new Fronted();
    fronted.outside.values.set("k", "x".repeat(2_000_000));
    expect(fronted.read("n1")).toMatchObject({ type: "origin-unavailable", reason: expect.stringContaining("2000000 bytes") });
  });

  test("of mode ttl loads once as well, although copies of nothing are kept as long as they may be stale", () => {
    const fronted = new Fronted({ mode: "ttl", staleMs: 10_000 });
    fronted.outside.values.set("k", "v");
    for (let reads = 0; reads < 3; reads++) for (const node of nodes) expect(fronted.value(node)).toBe("v");
    expect(fronted.outside.loads).toHaveLength(1);
  });

  test("of mode strict, and reads that may be stale, load what is stored nowhere", () => {
    const fronted = new Fronted({ mode: "strict" });
    fronted.outside.values.set("k", "v").set("l", "w");
    expect(fronted.value("n1")).toBe("v");
    expect(fronted.read("n2")).toEqual({ value: "v", source: "database" });
    const told = new Told<Read>();
    fronted.service("n3").get("pages", "l", "stale", 10_000, told.hear);
    expect(fronted.short(told)).toMatchObject({ value: "w" });
  });

  test.each(["kill", "cut"] as const)("answers a reader whose key lost its home while it was loaded: %s", (end) => {
    const fronted = new Fronted();
    fronted.outside.values.set("k", "v");
    fronted.outside.delayMs = 300;
    const home = new Told<unknown>();
    fronted.service("n1").explain("pages", "k", 10_000, home.hear);
    const { home: first } = fronted.answer(home) as { readonly home: string };
    const told = fronted.beginRead(nodes.find((node) => node !== first) ?? "n1");
    fronted.cluster.until("the load has begun", () => fronted.outside.loads.length === 1);
    if (end === "kill") fronted.cluster.kill(first);
    else fronted.cut(first);
    expect(fronted.short(told)).toMatchObject({ value: "v" });
  });

  test("that is taken from it, or is removed, answers what there is", () => {
    const fronted = new Fronted();
    fronted.outside.isSilent = true;
    const [kept, removed] = [fronted.beginRead("n2"), new Told<unknown>()];
    fronted.cluster.until("the load has begun", () => fronted.outside.loads.length === 1);
    fronted.service("n1").defineNamespace("pages", { origin: "none" }, "update", { timeoutMs: 10_000 }, new Told<unknown>().hear);
    expect(fronted.short(kept)).toMatchObject({ type: "origin-unavailable" });
    expect(fronted.value("n2")).toBeNull();
    fronted.service("n3").removeNamespace("pages", { timeoutMs: 10_000 }, removed.hear);
    expect(fronted.answer(removed)).toEqual({ type: "removed" });
    fronted.cluster.run(1_000);
    expect(fronted.read("n2")).toEqual({ type: "unknown-namespace", namespace: "pages" });
  });

  guard("origin-brief-value-untold", "is told although its time is over before anybody reads it again", () => {
    for (const settings of [{ ttlMs: 1 }, { ttlMs: 1, mode: "ttl", staleMs: 1 }, { ttlMs: 1, mode: "strict" }] as const) {
      const fronted = new Fronted(settings);
      fronted.outside.values.set("k", "1");
      for (const node of nodes) expect(fronted.read(node)).toEqual({ value: "1", source: "origin" });
      expect(fronted.outside.loads.length).toBeLessThan(10);
      expect(fronted.value("n1", "nothing")).toBeNull();
    }
  });
});
