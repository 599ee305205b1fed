import { reservedCacheWords } from "@trivet/contract";
import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, type Server } from "./harness.ts";
import { MemoryCacheStore } from "./memory-cache-store.ts";
import { MemoryCache } from "./memory-cache.ts";

let host: NodeHost;
/** Three nodes on the same values. */
let nodes: readonly Server[];
let server: Server;
const store = new MemoryCacheStore();
const caches = ["node1", "node2", "node3"].map((node) => new MemoryCache(node, store));
beforeAll(async () => {
  ({ host } = await startTestNode());
  nodes = await Promise.all(caches.map((cache) => serve(host.api, { cache })));
  const [first] = nodes;
  if (first === undefined) throw new Error("no node");
  server = first;
});
afterAll(async () => {
  for (const node of nodes) await node.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});
const get = (path: string, node = 0) => (nodes[node] ?? server).call("GET", path);
const post = (path: string, body?: unknown, node = 0) => (nodes[node] ?? server).call("POST", path, body);

describe("S0: /cache/{key}", () => {
  test("the document's calls: a first read from the database, a write, a read that is a hit", async () => {
    await server.call("PUT", "/v1/cache/item:123", { value: { id: 123 } });
    await post("/cache/invalidate", { key: "item:123" });
    expect(await get("/cache/item:123")).toMatchObject({
      status: 200,
      json: { key: "item:123", data: { id: 123 }, value: { id: 123 }, source: "database", cache_state: "E", state: "E" },
    });
    expect(await post("/cache/item:999", { data: "New cached value" })).toMatchObject({
      status: 200,
      json: { status: "ok", success: true, key: "item:999", new_data: "New cached value", data: "New cached value", cache_state: "M" },
    });
    expect(await get("/cache/item:999")).toMatchObject({
      status: 200,
      json: { data: "New cached value", source: "cache", cache_state: "M" },
    });
  });
  test("a write through one node is what the next read through every other finds", async () => {
    for (const [writer] of nodes.entries()) {
      await post("/cache/round", { data: writer }, writer);
      for (const [reader] of nodes.entries()) expect((await get("/cache/round", reader)).json).toMatchObject({ data: writer });
    }
  });
  test("nothing there is 404, also when it is known that there is nothing", async () => {
    expect(await get("/cache/missing")).toMatchObject({ status: 404, json: { code: "cache_miss" } });
    await server.call("PUT", "/v1/cache/nobody", { negative: true });
    expect(await get("/cache/nobody")).toMatchObject({ status: 404, json: { code: "cache_miss" } });
  });
  test("S2's field is `value`; both together must agree", async () => {
    expect((await post("/cache/s2", { value: { a: 1 } })).json).toMatchObject({ state: "M", value: { a: 1 } });
    expect((await get("/cache/s2")).json).toMatchObject({ state: "M", value: { a: 1 } });
    expect(await post("/cache/s2", { value: 1, data: 2 })).toMatchObject({ status: 400 });
  });
  test.each<[string, unknown]>([
    ["null", null],
    ["false", false],
    ["a list", [1]],
  ])("any JSON value: %s", async (name, data) => {
    await post(`/cache/${encodeURIComponent(name)}`, { data });
    expect((await get(`/cache/${encodeURIComponent(name)}`)).json).toMatchObject({ data, value: data });
  });
  test("content that is not JSON is base64", async () => {
    await server.call("PUT", "/v1/cache/binary", { value_base64: "AP8=" });
    expect((await get("/cache/binary")).json).toMatchObject({ data: "AP8=" });
  });
  test("missing and wrong fields are 400 and store nothing (W-75)", async () => {
    for (const [body, field] of [
      [{}, "value"],
      [{ datas: 1 }, "datas"],
      [{ data: 1, ttl_ms: 0 }, "ttl_ms"],
      [[], "body"],
    ] as const)
      expect(await post("/cache/wrong", body)).toMatchObject({ status: 400, json: { field } });
    expect((await get("/cache/wrong")).status).toBe(404);
  });
});

describe("reserved words (X-02)", () => {
  test.each(reservedCacheWords)("%s under /cache/ is never a key, under /v1 and in bodies it is", async (word) => {
    const read = await get(`/cache/${word}`);
    if (word !== "state")
      expect(read).toMatchObject({ status: 400, json: { field: "key", expected: expect.stringContaining(`/v1/cache/${word}`) } });
    expect((await post(`/cache/${word}`, { data: 1 })).status).toBe(400);
    expect((await server.call("PUT", `/v1/cache/${word}`, { value: word })).status).toBe(200);
    expect((await get(`/cache/get?key=${word}`)).json).toMatchObject({ value: word });
  });
});

describe("S4: /cache/get, put, invalidate, fetch, state", () => {
  test("put, then get through another node", async () => {
    expect(await post("/cache/put", { key: "user:1", value: { name: "Ana" } })).toMatchObject({
      status: 200,
      json: { success: true, status: "ok", key: "user:1", cache_state: "M" },
    });
    expect(await get("/cache/get?key=user:1", 1)).toMatchObject({
      status: 200,
      json: {
        success: true,
        key: "user:1",
        value: { name: "Ana" },
        data: { name: "Ana" },
        source: "database",
        cache_state: "S",
        state: "S",
      },
    });
  });
  test("nothing there: `value` is null", async () => {
    expect(await get("/cache/get?key=none")).toMatchObject({
      status: 200,
      json: { success: true, value: null, source: null, version: "0" },
    });
    await server.call("PUT", "/v1/cache/known", { negative: true });
    expect((await get("/cache/get?key=known")).json).toMatchObject({ value: null, source: null });
  });
  test("invalidate drops the copies, not the value", async () => {
    await post("/cache/put", { key: "kept", value: 1 });
    expect(await post("/cache/invalidate", { key: "kept" }, 2)).toMatchObject({ status: 200, json: { success: true, key: "kept" } });
    expect((await get("/v1/cache/kept?explain=1")).json).toMatchObject({ directory: "U" });
    expect((await get("/cache/get?key=kept")).json).toMatchObject({ value: 1, source: "database" });
  });
  test("fetch reads another node's copy and keeps nothing", async () => {
    await post("/cache/put", { key: "theirs", value: 1 });
    expect((await get("/cache/fetch?key=theirs", 1)).json).toMatchObject({ value: 1, state: "M", source: "peer", node: "node1" });
    expect(caches[1]?.state("", 1_000).keys.map(({ key }) => key)).not.toContain("theirs");
    expect((await get("/cache/fetch?key=theirs&from=node3", 1)).json).toMatchObject({ value: null, state: "I", node: null });
    expect((await get("/cache/fetch?key=theirs&from=node1", 2)).json).toMatchObject({ value: 1 });
    expect(await get("/cache/fetch?key=nowhere")).toMatchObject({ status: 200, json: { success: true, value: null, cache_state: "I" } });
  });
  test("state: the keys of the asked node with state and age, numbers, capacity; paged", async () => {
    await post("/cache/put", { key: "__proto__", value: 1 });
    const { json } = await get("/cache/state");
    expect(json).toMatchObject({
      cache_state: { "user:1": { state: "S", age: 0.003 } },
      metrics: {
        hits: expect.any(Number),
        misses: expect.any(Number),
        invalidations_sent: expect.any(Number),
        invalidations_received: expect.any(Number),
        state_transitions: expect.any(Number),
      },
      capacity_used: caches[0]?.copies.size,
      capacity_total: 10_000,
      next_cursor: null,
    });
    expect(Object.keys((json as unknown as { readonly cache_state: object }).cache_state)).toContain("__proto__");
    const page = (await get("/cache/state?limit=1")).json as unknown as { readonly next_cursor: string };
    expect((await get(`/cache/state?limit=1&cursor=${page.next_cursor}`)).status).toBe(200);
  });
  test("state: a copy whose write is under way is none of the four states that S4 knows but I", async () => {
    await post("/cache/put", { key: "under way", value: 1 });
    const copy = caches[0]?.copies.get(JSON.stringify(["default", "under way"]));
    if (copy === undefined) throw new Error("no copy");
    copy.state = "SM_D";
    expect((await get("/cache/state")).json).toMatchObject({ cache_state: { "under way": { state: "I" } } });
    expect((await get("/v1/cache-state")).json).toMatchObject({
      keys: expect.arrayContaining([expect.objectContaining({ key: "under way", state: "SM_D" })]),
    });
    copy.state = "M";
  });
  test("missing and wrong fields are 400 with `success: false` (W-75)", async () => {
    expect(await get("/cache/get")).toMatchObject({ status: 400, json: { field: "key", success: false } });
    expect(await get("/cache/fetch?from=node1")).toMatchObject({ status: 400, json: { field: "key" } });
    expect(await get("/cache/get?kye=a")).toMatchObject({ status: 400, json: { field: "kye", success: false } });
    expect(await post("/cache/put", { value: 1 })).toMatchObject({ status: 400, json: { field: "key" } });
    expect(await post("/cache/put", { key: "a" })).toMatchObject({ status: 400, json: { field: "value" } });
    expect(await post("/cache/put", { key: 5, value: 1 })).toMatchObject({ status: 400, json: { field: "key" } });
    expect(await post("/cache/invalidate", {})).toMatchObject({ status: 400, json: { field: "key" } });
    expect(await get("/cache/state?limit=1001")).toMatchObject({ status: 400, json: { field: "limit" } });
  });
  test("names that no path can carry", async () => {
    for (const key of [".", "..", "a/../b", "é:%2F", "/get"]) {
      expect((await post("/cache/put", { key, value: key })).status).toBe(200);
      expect((await get(`/cache/get?key=${encodeURIComponent(key)}`)).json).toMatchObject({ value: key });
    }
  });
});

describe("one definition of hits, in every place (W-66)", () => {
  test("state, metrics as JSON and as text agree", async () => {
    await post("/cache/counted", { data: 1 });
    for (let read = 0; read < 3; read++) await get("/cache/counted");
    await get("/cache/counted", 1);
    const { hits, misses } = caches[0]?.statistics() ?? { hits: 0, misses: 0 };
    const ratio = hits / (hits + misses);
    expect(hits).toBeGreaterThan(2);
    const metrics = (await get("/metrics")).json as unknown as Readonly<Record<string, unknown>>;
    expect(metrics).toMatchObject({
      cache_hits: hits,
      cache_misses: misses,
      cache_stats: { size: caches[0]?.copies.size, maxsize: 10_000, states: { M: expect.any(Number), I: 0 } },
      cache: { hits, misses, hit_ratio: ratio },
    });
    expect((await get("/cache/state")).json).toMatchObject({ metrics: { hits, misses, hit_ratio: ratio } });
    expect((await get("/v1/cache-state")).json).toMatchObject({ statistics: { hits, misses, hit_ratio: ratio } });
    const { text } = await get("/v1/metrics");
    expect(text).toContain(`\ncache_hits_total ${hits}\n`);
    expect(text).toContain(`\ncache_misses_total ${misses}\n`);
    expect(text).toMatch(/^cache_transitions_total\{from="I",to="M"\} [1-9]/m);
    expect(text).toMatch(/^cache_entries\{state="M"\} /m);
  });
});
