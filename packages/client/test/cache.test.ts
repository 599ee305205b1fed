import { randomBytes } from "node:crypto";
import { brotliCompressSync } from "node:zlib";
import { type Cache, TrivetError } from "@trivet/client";
import { limits, nodeCopiesStreamProtocol } from "@trivet/wire";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { FakeCluster } from "./fake-cluster.ts";
import { cluster, connected, failure, until } from "./support.ts";

afterEach(() => vi.restoreAllMocks());

/** Reads until this process has a copy: the first read of a shard goes without a lease. */
async function warm(cache: Cache, key: string): Promise<void> {
  await cache.get(key);
  await until(() => cache.peek(key) !== undefined, `a copy of ${key}`);
}

async function warmed(value = 1): Promise<{ readonly fake: FakeCluster; readonly cache: Cache<number> }> {
  const fake = await cluster();
  const cache = (await connected(fake)).cache<number>("default");
  await fake.homes.put("k", String(value));
  await warm(cache, "k");
  return { fake, cache };
}

describe("copies of this process", () => {
  test("a hit asks nobody and gives the same object each time", async () => {
    const { cache, fake } = await warmed(7);
    const first = cache.peek("k");
    expect(first).toMatchObject({ key: "k", found: "value", value: 7, source: "copy" });
    fake.node(0).deaf = true;
    expect(cache.peek("k")).toBe(first);
    expect(await cache.get("k")).toBe(first);
    expect(cache.statistics()).toMatchObject({ entries: 1 });
  });

  test("a write that another was answered is what the next read gives, in both directions", async () => {
    const { cache, fake } = await warmed();
    const other = (await connected(fake)).cache<number>("default");
    for (let value = 2; value < 200; value += 2) {
      await other.set("k", value);
      expect((await cache.get("k")).value).toBe(value);
      await cache.set("k", value + 1);
      expect((await other.get("k")).value).toBe(value + 1);
      expect([cache.peek("k")?.value ?? value + 1, other.peek("k")?.value ?? value + 1]).toEqual([value + 1, value + 1]);
    }
  });

  test("a holder that is not heard delays a write to the end of its lease, and reads nothing then", async () => {
    const { cache, fake } = await warmed();
    fake.homes.loses = () => true;
    await fake.homes.put("k", "2");
    expect(cache.peek("k")).toBeUndefined();
    fake.homes.loses = () => false;
    expect((await cache.get("k")).value).toBe(2);
  });

  test.each(["performance", "Date"] as const)("a copy is not read when the clock of %s says that the lease is over", async (clock) => {
    const { cache } = await warmed();
    const now = performance.now();
    if (clock === "Date") vi.spyOn(Date, "now").mockReturnValue(Date.now() + 700);
    else vi.spyOn(performance, "now").mockReturnValue(now + 700);
    expect(cache.peek("k")).toBeUndefined();
  });

  test("other homes and a lost link: reads go on, and are right", async () => {
    const { cache, fake } = await warmed();
    for (let value = 2; value < 8; value++) {
      fake.homes.elect();
      if (value % 2 === 0) fake.node(0).cutConnections();
      await fake.homes.put("k", String(value));
      expect((await cache.get("k")).value).toBe(value);
    }
    await until(() => cache.peek("k")?.value === 7, "a copy again");
  });

  test("bounds are kept, and said once for a connection", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const cache = trivet.cache<number>("default", { maxEntries: 2, policy: "lru" });
    for (const key of ["a", "b", "c", "d"]) await warm(cache, key);
    expect(cache.statistics().entries).toBe(2);
    expect(cache.peek("a")).toBeUndefined();
    expect(() => trivet.cache("default", { maxEntries: 3 })).toThrow(TrivetError);
    expect(trivet.cache("default").peek("d")).toMatchObject({ found: "absent" });
  });

  test("a hit counts for the next choice of what goes, though the policy hears of hits together", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<number>("default", { maxEntries: 2, policy: "lru" });
    for (const key of ["a", "b"]) await warm(cache, key);
    expect(cache.peek("a")).toBeDefined();
    await warm(cache, "c");
    expect([cache.peek("a"), cache.peek("b")]).toMatchObject([{ key: "a" }, undefined]);
    // More hits than are told together.
    for (let hit = 0; hit < 200; hit++) expect(cache.peek(hit % 2 === 0 ? "c" : "a")).toBeDefined();
    await warm(cache, "d");
    expect([cache.peek("a"), cache.peek("c")]).toMatchObject([{ key: "a" }, undefined]);
  });

  test("without room for copies no lease is asked for, and an older node gets the question that it knows", async () => {
    const fake = await cluster();
    await fake.homes.put("k", "1");
    const said: string[] = [];
    fake.homes.hears = ({ type }) => said.push(type);
    const cache = (await connected(fake)).cache<number>("default", { maxEntries: 0 });
    expect((await cache.get("k")).value).toBe(1);
    await cache.set("k", 2);
    expect((await cache.get("k")).value).toBe(2);
    expect(said.filter((type) => type !== "flush-ack")).toEqual(["read", "write", "read"]);
    said.length = 0;
    fake.node(0).protocol = nodeCopiesStreamProtocol - 1;
    fake.node(0).cutConnections();
    expect((await cache.get("k")).value).toBe(2);
    expect(new Set(said)).toEqual(new Set(["fetch"]));
  });

  test("without room for copies, where copies outlive writes, the home is asked: a program finds what it has written", async () => {
    const fake = await cluster();
    fake.homes.namespaces.set("default", { namespace: 1, mode: "ttl" });
    const said: string[] = [];
    fake.homes.hears = ({ type }) => said.push(type);
    const cache = (await connected(fake)).cache<number>("default", { maxEntries: 0 });
    await cache.set("k", 1);
    expect((await cache.get("k")).value).toBe(1);
    await cache.set("k", 2);
    expect((await cache.get("k")).value).toBe(2);
    expect(said.filter((type) => type === "fetch" || type === "read")).toEqual(["fetch", "fetch"]);
  });

  test("the first read asks the node for the value and the home for a lease, and then for the copy", async () => {
    const fake = await cluster();
    const said: string[] = [];
    fake.homes.hears = ({ type }) => said.push(type);
    const cache = (await connected(fake)).cache<number>("default");
    await warm(cache, "k");
    expect(said.slice(0, 3)).toEqual(["renew", "read", "fetch"]);
  });

  test("a namespace that is another one now: copies of the former are no answer", async () => {
    const { cache, fake } = await warmed();
    fake.homes.namespaces.set("default", { namespace: 2, mode: "write-through" });
    await fake.homes.put("k", "22", 2);
    fake.node(0).tellAll(fake.homes.resolve(0, "default"));
    await until(() => cache.peek("k")?.value !== 1, "the former copy is gone");
    expect((await cache.get("k")).value).toBe(22);
  });
});

async function fronted(): Promise<{ readonly fake: FakeCluster; readonly cache: Cache<number>; readonly origin: Map<string, string> }> {
  const fake = await cluster();
  const origin = new Map([["n", "41"]]);
  fake.homes.origin = origin;
  return { fake, cache: (await connected(fake)).cache<number>("default"), origin };
}

describe("a namespace with an origin", () => {
  test("what is stored nowhere is loaded by the node, once; then it is read as any value, and so is that there is nothing", async () => {
    const { cache, fake } = await fronted();
    expect(await cache.get("n")).toMatchObject({ found: "value", value: 41 });
    expect(await cache.get("m")).toMatchObject({ found: "negative", value: null });
    expect(await cache.getMany(["n", "m"])).toMatchObject([{ value: 41 }, { found: "negative" }]);
    expect(fake.node(0).loads).toEqual(["n: absent", "m: absent"]);
    // Who brings a loader of his own is not asked for another one.
    expect(await cache.getOrLoad("own", () => 7)).toBe(7);
    expect(fake.node(0).loads).toHaveLength(2);
  });

  test("increments and conditions of what is not loaded have it loaded first", async () => {
    const { cache, fake, origin } = await fronted();
    expect(await cache.increment("n", 1)).toBe(42);
    origin.set("c", "5");
    expect(await cache.compareAndSet("c", 0, 6)).toMatchObject({ swapped: false });
    expect(await cache.compareAndSet("absent", 0, 6)).toMatchObject({ swapped: false });
    expect(fake.node(0).loads).toEqual(["n: absent", "c: absent", "absent: absent"]);
    fake.homes.isOriginAway = true;
    expect(await failure(cache.increment("away"))).toMatchObject({ code: "origin_unavailable", retryable: true });
    expect((await cache.get("n")).value).toBe(42);
  });

  test("a value is loaded again where a read asks for it: before it, or behind it", async () => {
    const { cache, fake, origin } = await fronted();
    await warm(cache, "n");
    origin.set("n", "50");
    expect((await cache.get("n")).value).toBe(41);
    expect((await cache.get("n", { revalidate: "wait" })).value).toBe(50);
    await warm(cache, "n");
    origin.set("n", "60");
    expect((await cache.get("n", { revalidate: "behind" })).value).toBe(50);
    await until(() => fake.node(0).loads.at(-1) === "n: behind", "it is asked for");
    await until(() => cache.peek("n") === undefined, "the copy of the former is gone");
    expect((await cache.get("n")).value).toBe(60);
    fake.homes.isOriginAway = true;
    expect(await failure(cache.get("n", { revalidate: "wait" }))).toMatchObject({ code: "origin_unavailable" });
    fake.homes.origin = null;
    expect(await failure(cache.get("n", { revalidate: "wait" }))).toMatchObject({ code: "bad_request" });
  });

  test("a value whose time is nearly over is read, said to be stale, and loaded again behind it, once in a while", async () => {
    const { cache, fake } = await fronted();
    Object.assign(fake.homes, { revalidateMs: 60_000, ttlMs: 90_000 });
    await fake.homes.put("n", "1");
    await warm(cache, "n");
    expect(cache.peek("n")).not.toHaveProperty("isStale");
    fake.homes.ttlMs = 30_000;
    await fake.homes.put("n", "2");
    await warm(cache, "n");
    expect(cache.peek("n")).toMatchObject({ value: 2, isStale: true });
    expect(cache.peek("n")).toBe(cache.peek("n"));
    expect(await cache.get("n", { strict: true })).toMatchObject({ value: 2, isStale: true });
    await until(() => fake.node(0).loads.length > 0, "the node is asked to look");
    expect(new Set(fake.node(0).loads)).toEqual(new Set(["n: absent"]));
    const { length } = fake.node(0).loads;
    for (let reads = 0; reads < 1_000; reads++) cache.peek("n");
    expect(fake.node(0).loads.length - length).toBeLessThanOrEqual(1);
    expect(await cache.get("absent")).not.toHaveProperty("isStale");
  });

  test("a node that goes while it loads is asked no more, another one is; an older one cannot be asked", async () => {
    const { cache, fake } = await fronted();
    fake.node(0).deafToLoads = true;
    const read = cache.get("n");
    await until(() => fake.node(0).loads.length === 1, "it is asked");
    fake.node(0).deafToLoads = false;
    fake.node(0).cutConnections();
    expect((await read).value).toBe(41);
    fake.node(0).protocol = 4;
    fake.node(0).cutConnections();
    await until(() => fake.node(0).hellos.length === 3, "connected to an older one");
    expect(await failure(cache.get("n", { revalidate: "wait", timeoutMs: 2_000 }))).toMatchObject({ code: "upgrade_required" });
    expect((await cache.get("other")).found).toBe("absent");
  });
});

describe("writes", () => {
  test("compare-and-set, increment, delete, and what is refused", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<number | string>("default");
    expect(await cache.compareAndSet("n", 0, 5)).toMatchObject({ swapped: true });
    const { version } = await cache.get("n");
    expect(await cache.compareAndSet("n", version + 1, 6)).toEqual({ swapped: false, version });
    expect(await cache.increment("n", 3)).toBe(8);
    expect((await cache.get("n")).value).toBe(8);
    expect([await cache.delete("n"), await cache.delete("n")]).toEqual([true, false]);
    expect(await cache.getMany(["n", "m"])).toMatchObject([{ found: "absent" }, { found: "absent" }]);
    await cache.set("n", "text");
    expect(await failure(cache.increment("n"))).toMatchObject({ code: "not_a_number" });
    expect(await failure(cache.set("n".repeat(600), 1))).toMatchObject({ code: "bad_request" });
  });

  test("values are written compressed where their namespace says so and it makes them smaller, and read whatever it says", async () => {
    const fake = await cluster();
    fake.homes.compressOver = 100;
    const connection = await connected(fake);
    const cache = connection.cache("default");
    const values = { long: { text: "word ".repeat(1_000) }, short: "w" };
    for (const [key, value] of Object.entries(values)) await cache.set(key, value);
    const asItIs = { contentType: "", encode: (bytes: Uint8Array) => bytes, decode: (bytes: Uint8Array) => bytes };
    const random = randomBytes(400);
    await connection.cache("default", { codec: asItIs }).set("random", random);
    expect((await connection.cache("default", { codec: asItIs }).get("random")).value).toEqual(random);
    const puts = fake.homes.executed.filter((command) => command.type === "cache-put");
    expect(puts.map(({ packing }) => packing)).toEqual(["brotli", undefined, undefined]);
    expect(puts[0]?.value?.length).toBeLessThan(200);
    fake.homes.compressOver = 0;
    const other = (await connected(fake)).cache("default");
    await other.set("plain", values.long);
    expect(fake.homes.executed.at(-1)).not.toHaveProperty("packing");
    for (const reader of [cache, other]) {
      for (const [key, value] of Object.entries({ ...values, plain: values.long })) expect((await reader.get(key)).value).toEqual(value);
    }
    expect(await cache.increment("n", 3)).toBe(3);
    await warm(other, "long");
    expect(other.peek("long")?.value).toEqual(values.long);
    // A copy is kept, and counted, as it is read.
    expect(other.statistics().bytes).toBeGreaterThan(5_000);
  });

  test("what no node would have stored, as it cannot be unpacked or is too large, is told to who reads it", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<string>("default");
    for (const value of [brotliCompressSync(new Uint8Array(1_000_000)), Uint8Array.of(1, 2, 3)]) {
      fake.homes.keep("default", "k", value, "brotli");
      expect(await failure(cache.get("k", { strict: true }))).toMatchObject({ code: "internal" });
    }
    expect((await cache.get("other")).found).toBe("absent");
  });

  test("an answer that is lost: sent again, executed once", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<number>("default");
    let lost = 0;
    fake.homes.loses = ({ type }) => type === "done" && lost++ < 2;
    expect(await cache.increment("n")).toBe(1);
    expect(await cache.increment("n")).toBe(2);
    expect(fake.homes.executed).toHaveLength(2);
  });

  test("no answer in time: the outcome is unknown, and it says so", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<number>("default");
    await cache.set("n", 1);
    fake.node(0).deaf = true;
    expect(await failure(cache.set("n", 2, { timeoutMs: 100 }))).toMatchObject({ code: "commit_timeout" });
    expect(await failure(cache.get("other", { timeoutMs: 100 }))).toMatchObject({ code: "no_leader", retryable: true });
  });

  test("a shard that has not heard of the namespace is asked again; a name that nobody knows is told", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    fake.homes.unconfigured = 2;
    expect(await trivet.cache<number>("default").increment("n")).toBe(1);
    expect(await failure(trivet.cache("nobody").get("k"))).toMatchObject({ code: "namespace_unknown" });
  });

  test("a process that is late at every turn gives its calls up all the same", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<number>("default");
    await cache.set("n", 1);
    fake.node(0).deaf = true;
    const busy = setInterval(() => {
      const until = performance.now() + 120;
      while (performance.now() < until);
    }, 1);
    try {
      expect(await failure(cache.get("other", { timeoutMs: 300 }))).toMatchObject({ code: "no_leader" });
    } finally {
      clearInterval(busy);
    }
  });

  test("whatever is asked for in one turn, no message is larger than nodes take", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<number>("default");
    await cache.get("k");
    const keys = Array.from({ length: 10_000 }, (_, number) => String(number).padStart(512, "k"));
    const entries = await cache.getMany(keys, { timeoutMs: 60_000 });
    expect(entries.every(({ found }) => found === "absent")).toBe(true);
    expect(fake.node(0).largest).toBeLessThan(limits.maxFrameBytes);
  });

  test("a node that is older than this, after one that is not, is asked for no invalidation", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<number>("default");
    await cache.get("k");
    const { length } = fake.node(0).hellos;
    fake.node(0).protocol = 3;
    fake.node(0).cutConnections();
    await until(() => fake.node(0).hellos.length > length, "the program connects again");
    expect(await failure(cache.invalidate({ timeoutMs: 3_000 }))).toMatchObject({ code: "upgrade_required" });
    expect(fake.node(0).invalidations).toBe(0);
  });

  test("a node older than this says so", async () => {
    const fake = await cluster();
    fake.node(0).protocol = 3;
    const cache = (await connected(fake)).cache("default");
    expect(await failure(cache.get("k"))).toMatchObject({ code: "upgrade_required" });
  });
});

describe("getOrLoad", () => {
  test("one loader for all who ask while it runs; then copies", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<string>("default");
    const loader = vi.fn(async (key: string) => `of ${key}`);
    const all = await Promise.all(Array.from({ length: 5 }, () => cache.getOrLoad("k", loader)));
    expect(all).toEqual(Array.from({ length: 5 }, () => "of k"));
    expect(await cache.getOrLoad("k", loader)).toBe("of k");
    expect(loader).toHaveBeenCalledTimes(1);
  });

  test("a value that an invalidation has overtaken is not stored, and nobody is given it (rule M8)", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<number>("default");
    let source = 1;
    const loader = vi.fn(async () => {
      const value = source;
      if (value === 1) {
        source = 2;
        await cache.invalidate();
      }
      return value;
    });
    expect(await cache.getOrLoad("k", loader)).toBe(2);
    expect((await cache.get("k")).value).toBe(2);
    expect(loader).toHaveBeenCalledTimes(2);
  });

  test("a loader that fails fails for who waits for it; the next one is called anew", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<number>("default");
    expect(await failure(cache.getOrLoad("k", () => Promise.reject(new Error("no source"))))).toMatchObject({ message: "no source" });
    expect(await cache.getOrLoad("k", () => null)).toBeNull();
    expect((await cache.get("k")).found).toBe("negative");
  });
});
