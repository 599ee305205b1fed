import type { CacheFailure, NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { demoData, seedDemoData } from "../../src/demo-data.ts";
import { serve, startTestNode, until, type Server } from "./harness.ts";
import { MemoryCacheStore } from "./memory-cache-store.ts";
import { MemoryCache } from "./memory-cache.ts";

let host: NodeHost;
let server: Server;
const cache = new MemoryCache();
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api, { cache });
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});

const unavailable = (code: Extract<CacheFailure, { type: "unavailable" }>["code"]): CacheFailure => ({
  type: "unavailable",
  code,
  retryAfterMs: 1_500,
  detail: "",
});

describe("what the cache refuses", () => {
  test.each<[CacheFailure, number, string]>([
    [unavailable("no_leader"), 503, "no_leader"],
    [unavailable("no_quorum"), 503, "no_quorum"],
    [unavailable("overloaded"), 503, "overloaded"],
    [unavailable("stopping"), 503, "stopping"],
    [unavailable("removed"), 503, "node_removed"],
    [unavailable("storage"), 507, "storage_unavailable"],
    [{ type: "unknown", requestId: "3.1.zz.c" }, 504, "commit_timeout"],
    [{ type: "refused", reason: "other-body" }, 422, "idempotency_key_reused"],
    [{ type: "refused", reason: "past-deadline" }, 503, "not_executed"],
    [{ type: "refused", reason: "something else" }, 409, "conflict"],
    [{ type: "cache-full", limit: "shard", max: 5 }, 507, "cache_full"],
    [{ type: "malformed", detail: "no" }, 400, "bad_request"],
  ])("%o", async (failure, status, code) => {
    cache.refuse(failure);
    const answer = await server.call("PUT", "/v1/cache/refused", { value: 1 });
    expect(answer).toMatchObject({ status, json: { code } });
    if (status === 503) expect(Number(answer.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    cache.refuse(failure);
    expect(await server.call("POST", "/cache/refused", { data: 1 })).toMatchObject({ status, json: { code } });
    cache.refuse(failure);
    // S4's path: the same, with `success: false` (checked by the harness).
    expect(await server.call("POST", "/cache/put", { key: "refused", value: 1 })).toMatchObject({ status, json: { code } });
    expect((await server.call("GET", "/v1/cache/refused")).status).toBe(404);
  });
  test("an unknown outcome gives the id to ask for", async () => {
    cache.refuse({ type: "unknown", requestId: "3.1.zz.c" });
    expect((await server.call("POST", "/v1/cache/n/increment")).json).toMatchObject({ outcome: "unknown", request_id: "3.1.zz.c" });
  });
  test("a question, too", async () => {
    for (const path of ["/v1/cache/k", "/v1/cache/k?explain=1", "/cache/k", "/cache/get?key=k", "/cache/fetch?key=k", "/v1/cache-verify"]) {
      cache.refuse(unavailable("no_leader"));
      expect(await server.call("GET", path)).toMatchObject({ status: 503, headers: { "retry-after": "2" } });
    }
  });
  test("a read whose origin is away is told why", async () => {
    for (const path of ["/v1/cache/k", "/cache/k", "/cache/get?key=k"]) {
      cache.refuse({ type: "origin-unavailable", reason: "no answer in 50 ms" });
      const json = { code: "origin_unavailable", reason: "no answer in 50 ms" };
      expect(await server.call("GET", path)).toMatchObject({ status: 503, json, headers: { "retry-after": "1" } });
    }
  });
  test("too many namespaces", async () => {
    cache.refuse({ type: "too-many-namespaces", max: 10 });
    expect(await server.call("PUT", "/v1/cache-namespaces/n")).toMatchObject({ status: 429, json: { code: "quota_exceeded", max: 10 } });
  });
  test("writes are measured by what came of them, reads by what answered them", async () => {
    cache.refuse({ type: "fence-behind", lock: "l", highest: "9" });
    await server.call("PUT", "/v1/cache/measured", { value: 1 });
    await server.call("PUT", "/v1/cache/measured", { value: 1 });
    await server.call("GET", "/v1/cache/measured");
    const text = await server.metrics.text();
    expect(text).toMatch(/^cache_write_duration_seconds_count\{operation="put",outcome="fence_behind"\} [1-9]/m);
    expect(text).toMatch(/^cache_write_duration_seconds_count\{operation="put",outcome="done"\} [1-9]/m);
    expect(text).toMatch(/^cache_read_duration_seconds_count\{source="cache"\} [1-9]/m);
    expect(text).toMatch(/^stale_token_rejected_total [1-9]/m);
  });
});

describe("roles (T-14)", () => {
  test("a node without the cache role says so; locks go on", async () => {
    const other = await serve(host.api, { env: { NODE_ROLES: "lock" } });
    for (const [method, path] of [
      ["GET", "/v1/cache/k"],
      ["GET", "/cache/k"],
      ["POST", "/cache/put"],
      ["GET", "/v1/cache-state"],
      ["GET", "/v1/cache-verify"],
    ] as const)
      expect(await other.call(method, path)).toMatchObject({ status: 404, json: { code: "role_not_enabled", roles: ["lock"], peers: [] } });
    expect((await other.call("POST", "/lock/role")).status).toBe(200);
    await other.http.close(0);
  });
  test("a cache node serves values and neither locks nor queues", async () => {
    const other = await serve(host.api, { env: { NODE_ROLES: "cache" } });
    expect((await other.call("POST", "/cache/k", { data: 1 })).status).toBe(200);
    expect((await other.call("POST", "/lock/role")).status).toBe(404);
    expect((await other.call("GET", "/queue/q")).status).toBe(404);
    await other.http.close(0);
  });
  test("a node that could not open its cache says that, and its metrics are zeros", async () => {
    const other = await serve(host.api, { cache: null });
    const refused = await other.http.app.inject("/cache/k");
    expect([refused.statusCode, refused.json()]).toMatchObject([404, { code: "not_available_yet" }]);
    expect((await other.call("GET", "/metrics")).json).toMatchObject({ cache_hits: 0, cache_stats: { size: 0, maxsize: 10_000 } });
    await other.http.close(0);
  });
});

describe("sample values (SEED_DEMO_DATA)", () => {
  const log = { log: () => undefined };
  test("are stored where there are none, as soon as there is a leader; what is there is left alone", async () => {
    const store = new MemoryCacheStore();
    const first = new MemoryCache("node1", store);
    const second = new MemoryCache("node2", store);
    first.refuse(unavailable("no_leader"));
    const stop = [seedDemoData(first, log), seedDemoData(second, log)];
    const names = Object.keys(demoData);
    await until(() => store.values.size === names.length && first.calls.length > names.length, "the sample values");
    expect(store.counter).toBe(names.length);
    const own = await serve(host.api, { cache: second });
    expect((await own.call("GET", "/cache/item:123")).json).toMatchObject({ data: demoData["item:123"], source: "database" });
    await own.call("POST", "/cache/item:123", { data: "mine" });
    stop.push(seedDemoData(first, log));
    await until(() => first.calls.length > 2 * names.length);
    expect((await own.call("GET", "/cache/item:123")).json).toMatchObject({ data: "mine" });
    for (const end of stop) end();
    await own.http.close(0);
  });
  test("are given up where they cannot be stored, with a warning", async () => {
    const lines: string[] = [];
    const full = new MemoryCache();
    full.refuse({ type: "cache-full", limit: "shard", max: 1 });
    const stop = seedDemoData(full, { log: (level, event, text) => void lines.push(`${level} ${event} ${text}`) });
    await until(() => lines.length > 0);
    expect(lines).toEqual(["warn cache.demo-data sample values were not stored: cache-full"]);
    stop();
  });
});
