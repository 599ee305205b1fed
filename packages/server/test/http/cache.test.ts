import type { NodeHost } from "@trivet/engine";
import { limits as wireLimits } from "@trivet/wire";
import { httpLimits } from "@trivet/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, type Answer, type Server } from "./harness.ts";
import { MemoryCacheStore } from "./memory-cache-store.ts";
import { MemoryCache } from "./memory-cache.ts";

let host: NodeHost;
/** Two nodes on the same values. */
let server: Server;
let other: Server;
const store = new MemoryCacheStore();
const cache = new MemoryCache("node1", store);
const elsewhere = new MemoryCache("node2", store);
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api, { cache });
  other = await serve(host.api, { cache: elsewhere });
});
afterAll(async () => {
  await server.http.close(0);
  await other.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});
const get = (path: string, headers?: Record<string, string>) => server.call("GET", path, undefined, headers);
const put = (path: string, body?: unknown, headers?: Record<string, string>) => server.call("PUT", path, body, headers);
const post = (path: string, body?: unknown, headers?: Record<string, string>) => server.call("POST", path, body, headers);
const text = (answer: Answer, member: string): string => (answer.json as unknown as Readonly<Record<string, string>>)[member] ?? "";

describe("values", () => {
  test("what one node stores, every node reads; the second read is a hit", async () => {
    const stored = await put("/v1/cache/a%2Fb", { value: { n: 1 }, tags: ["t"], ttl_ms: 60_000 });
    expect(stored).toMatchObject({ status: 200, json: { key: "a/b", namespace: "default", state: "M", request_id: expect.any(String) } });
    const version = text(stored, "version");
    const first = await other.call("GET", "/v1/cache/a%2Fb");
    expect(first).toMatchObject({
      status: 200,
      json: { found: "value", value: { n: 1 }, version, state: "S", source: "database", tags: ["t"], ttl_ms: 60_000 },
    });
    expect((await other.call("GET", "/v1/cache/a%2Fb")).json).toMatchObject({ state: "S", source: "cache" });
    expect((await get("/v1/cache/a%2Fb")).json).toMatchObject({ version, state: "S", source: "cache" });
  });
  test("nothing there: 404 with the token for a loader, which stores only if nothing has changed since", async () => {
    const missing = await get("/v1/cache/loaded");
    expect(missing).toMatchObject({ status: 404, json: { code: "cache_miss", version: "0", token: expect.stringMatching(/^0\./) } });
    expect((await put("/v1/cache/loaded", { value: 1, token: text(missing, "token") })).status).toBe(200);
    const again = await get("/v1/cache/loaded");
    await post("/v1/cache-invalidate", { all: true, namespace: "default" });
    expect(await put("/v1/cache/loaded", { value: 2, token: text(again, "token") })).toMatchObject({
      status: 412,
      json: { code: "load_stale", version: "0" },
    });
  });
  test("a value may be loaded again, behind the answer or before it", async () => {
    await put("/v1/cache/again", { value: 1 });
    for (const how of ["behind", "wait"]) {
      const read = await get(`/v1/cache/again?revalidate=${how}`);
      expect(read).toMatchObject({ status: 200, json: { key: "again", value: 1, namespace: "default" } });
    }
    for (const beside of ["now", "wait&consistency=strict", "behind&allow_stale=1"]) {
      expect(await get(`/v1/cache/again?revalidate=${beside}`)).toMatchObject({ status: 400, json: { field: "revalidate" } });
    }
    expect(cache.revalidated).toEqual(["default/again: behind", "default/again: wait"]);
    expect(await get("/v1/cache/nowhere?revalidate=wait")).toMatchObject({ status: 404, json: { code: "cache_miss" } });
    cache.refuse({ type: "malformed", detail: "revalidate: a namespace with an origin" });
    expect(await get("/v1/cache/again?revalidate=wait")).toMatchObject({ status: 400, json: { code: "bad_request" } });
    cache.refuse({ type: "origin-unavailable", reason: "away" });
    expect(await get("/v1/cache/again?revalidate=wait")).toMatchObject({
      status: 503,
      json: { code: "origin_unavailable", reason: "away" },
    });
  });
  test("it may be known that there is nothing", async () => {
    await put("/v1/cache/nobody", { negative: true });
    expect(await get("/v1/cache/nobody")).toMatchObject({ status: 200, json: { found: "negative", value: null } });
  });
  test.each<[string, unknown]>([
    ["a text", "Hello"],
    ["null", null],
    ["false", false],
    ["a list", [1, { a: [] }]],
    ["fields of ours", { request_id: "r", value: 1, data: 2 }],
    ["characters of all kinds", { é: "空 🔒 \u0000" }],
  ])("%s comes back as it was", async (name, value) => {
    const path = `/v1/cache/${encodeURIComponent(`as ${name}`)}`;
    await put(path, { value });
    expect((await get(path)).json).toMatchObject({ value });
    expect(text(await get(`${path}?encoding=base64`), "value_base64")).toBe(Buffer.from(JSON.stringify(value)).toString("base64"));
  });
  test("bytes that are no JSON come back as base64", async () => {
    for (const value_base64 of ["AP8=", "", Buffer.from('{"a":1,"a":2}').toString("base64")]) {
      await put("/v1/cache/bytes", { value_base64 });
      expect((await get("/v1/cache/bytes")).json).toMatchObject({ value: null, value_base64 });
    }
  });
  test("`data` is another name of the value, `ttl` is in seconds", async () => {
    await put("/v1/cache/named", { data: 7, ttl: 2 });
    expect((await get("/v1/cache/named")).json).toMatchObject({ value: 7, ttl_ms: 2_000 });
  });
  test("delete removes it everywhere, and says whether there was something", async () => {
    await put("/v1/cache/gone", { value: 1 });
    await other.call("GET", "/v1/cache/gone");
    expect(await server.call("DELETE", "/v1/cache/gone")).toMatchObject({ status: 200, json: { deleted: true, key: "gone" } });
    expect((await other.call("GET", "/v1/cache/gone")).status).toBe(404);
    expect((await server.call("DELETE", "/v1/cache/gone")).json).toMatchObject({ deleted: false, version: "0" });
  });
  test("a namespace keeps its keys apart; an unknown one is 404", async () => {
    await put("/v1/cache-namespaces/apart");
    await put("/v1/cache/k?namespace=apart", { value: "there" });
    expect((await get("/v1/cache/k?namespace=apart")).json).toMatchObject({ value: "there", namespace: "apart" });
    expect((await get("/v1/cache/k")).status).toBe(404);
    for (const answer of [
      await get("/v1/cache/k?namespace=none"),
      await put("/v1/cache/k?namespace=none", { value: 1 }),
      await server.call("DELETE", "/v1/cache/k?namespace=none"),
      await post("/v1/cache/k/increment?namespace=none"),
      await post("/v1/cache/k/invalidate?namespace=none"),
      await get("/v1/cache/k?namespace=none&explain=1"),
      await post("/v1/cache-bulk", { keys: ["k"], namespace: "none" }),
      await post("/v1/cache-invalidate", { namespace: "none", tag: "t" }),
    ])
      expect(answer).toMatchObject({ status: 404, json: { code: "namespace_unknown" } });
  });
  test.each([
    ["", "linearizable"],
    ["?consistency=strict", "strict"],
    ["?consistency=stale", "stale"],
    ["?allow_stale=1", "stale"],
    ["?allow_stale=0", "linearizable"],
    ["?allow_stale=true&consistency=stale", "stale"],
  ])("a read with %s is %s", async (query, consistency) => {
    await get(`/v1/cache/how${query}`);
    expect(cache.calls.at(-1)).toMatchObject({ name: "get", consistency });
  });
});

const fenced = (fence: string | number) => put("/v1/cache/fenced", { value: fence, if_fence: { lock: "l", fence } });

describe("conditions", () => {
  test("compare-and-set: the version that is there, or 412 with the present one (0 = nothing)", async () => {
    const first = await put("/v1/cache/cas", { value: 1, if_version: 0 });
    expect(first.status).toBe(200);
    const version = text(first, "version");
    expect(await put("/v1/cache/cas", { value: 2, if_version: "0" })).toMatchObject({
      status: 412,
      json: { code: "version_mismatch", version, reason: "version" },
    });
    expect((await put("/v1/cache/cas", { value: 2, if_version: version })).status).toBe(200);
    expect(await server.call("DELETE", `/v1/cache/cas?if_version=${version}`)).toMatchObject({ status: 412 });
    expect((await get("/v1/cache/cas")).json).toMatchObject({ value: 2 });
  });
  test("only if absent, only if present", async () => {
    expect(await put("/v1/cache/only", { value: 1, only_if: "present" })).toMatchObject({ status: 412, json: { reason: "absent" } });
    expect((await put("/v1/cache/only", { value: 1, only_if: "absent" })).status).toBe(200);
    expect(await put("/v1/cache/only", { value: 2, only_if: "absent" })).toMatchObject({ status: 412, json: { reason: "exists" } });
  });
  test("a fence that is behind stores nothing (rule K5)", async () => {
    expect((await fenced("9")).status).toBe(200);
    expect(await fenced(8)).toMatchObject({ status: 412, json: { code: "fence_behind", highest: "9" } });
    expect(await server.call("DELETE", "/v1/cache/fenced?fence_lock=l&fence=8")).toMatchObject({ status: 412 });
    expect(await post("/v1/cache/fenced/increment", { if_fence: { lock: "l", fence: 1 } })).toMatchObject({ status: 412 });
    expect((await get("/v1/cache/fenced")).json).toMatchObject({ value: "9" });
  });
  test("a repeat under its Idempotency-Key takes effect once; with another body it is 422", async () => {
    const headers = { "idempotency-key": "once" };
    const first = await post("/v1/cache/counted/increment", { by: 5 }, headers);
    expect((await post("/v1/cache/counted/increment", { by: 5 }, headers)).text).toBe(first.text);
    expect((await post("/v1/cache/counted/increment", { by: 6 }, headers)).status).toBe(422);
    expect((await get("/v1/cache/counted")).json).toMatchObject({ value: 5 });
  });
});

describe("increments", () => {
  test("count from 0, both ways", async () => {
    expect((await post("/v1/cache/hits/increment")).json).toMatchObject({ key: "hits", value: 1, state: "M" });
    expect((await post("/v1/cache/hits/increment", { by: -3 })).json).toMatchObject({ value: -2 });
  });
  test("of something that is no whole number, or beyond 2^53: 409, and nothing changes", async () => {
    await put("/v1/cache/word", { value: "seven" });
    expect(await post("/v1/cache/word/increment")).toMatchObject({ status: 409, json: { code: "not_a_number" } });
    await put("/v1/cache/much", { value: Number.MAX_SAFE_INTEGER });
    expect(await post("/v1/cache/much/increment")).toMatchObject({ status: 409 });
    expect((await get("/v1/cache/much")).json).toMatchObject({ value: Number.MAX_SAFE_INTEGER });
  });
});

describe("invalidation", () => {
  test("of a key drops the copies and keeps the value", async () => {
    await put("/v1/cache/dropped", { value: 1 });
    await other.call("GET", "/v1/cache/dropped");
    expect(await post("/v1/cache/dropped/invalidate")).toMatchObject({ status: 200, json: { invalidated: true, key: "dropped" } });
    expect((await other.call("GET", "/v1/cache/dropped")).json).toMatchObject({ value: 1, source: "database" });
  });
  test("of a tag ends what has it, and nothing else", async () => {
    await put("/v1/cache/red", { value: 1, tags: ["colour", "warm"] });
    await put("/v1/cache/blue", { value: 2, tags: ["colour"] });
    expect(await post("/v1/cache-invalidate", { tag: "warm" })).toMatchObject({
      status: 200,
      json: { invalidated: true, namespace: "default", tag: "warm", shards: 8 },
    });
    expect((await other.call("GET", "/v1/cache/red")).status).toBe(404);
    expect((await get("/v1/cache/blue")).status).toBe(200);
  });
  test("of a namespace ends all of it", async () => {
    await put("/v1/cache-namespaces/whole");
    await put("/v1/cache/k?namespace=whole", { value: 1 });
    expect((await post("/v1/cache-invalidate", { namespace: "whole", all: true })).json).toMatchObject({ tag: null });
    expect((await get("/v1/cache/k?namespace=whole")).status).toBe(404);
  });
});

describe("several keys", () => {
  test("in the order of the keys: what is there, what is not, what could not be read", async () => {
    await put("/v1/cache/..%2Fmany", { value: 1 });
    const read = await post("/v1/cache-bulk", { keys: ["../many", "none", "silent", "."] });
    expect(read).toMatchObject({
      status: 200,
      json: {
        entries: [
          { key: "../many", found: "value", value: 1 },
          { key: "none", found: "absent", value: null, version: "0", token: expect.any(String) },
          { key: "silent", found: "unknown", code: "commit_timeout", detail: expect.any(String) },
          { key: ".", found: "absent" },
        ],
      },
    });
  });
  test("when none could be read, the answer is why", async () => {
    expect(await post("/v1/cache-bulk", { keys: ["silent"] })).toMatchObject({ status: 504, json: { code: "commit_timeout" } });
  });
});

describe("namespaces", () => {
  test("are made, changed, listed, deleted", async () => {
    const made = await put("/v1/cache-namespaces/sessions", { mode: "ttl", stale_ms: 50, max_entries: 2 });
    expect(made).toMatchObject({
      status: 201,
      json: { name: "sessions", created: true, version: 1, created_at: 1_000, settings: { mode: "ttl", stale_ms: 50, policy: "wtinylfu" } },
    });
    expect(await put("/v1/cache-namespaces/sessions", { ttl_ms: 5 })).toMatchObject({
      status: 200,
      json: { created: false, settings: { mode: "ttl", ttl_ms: 5 } },
    });
    expect((await server.call("PATCH", "/v1/cache-namespaces/sessions", { copy_entries: 9, policy: "arc" })).json).toMatchObject({
      version: 3,
      settings: { copy_entries: 9, policy: "arc" },
    });
    expect((await get("/v1/cache-namespaces/sessions")).json).toMatchObject({ version: 3 });
    const page = await get("/v1/cache-namespaces?limit=1&prefix=s");
    expect(page.json).toMatchObject({ namespaces: [{ name: "sessions" }], next_cursor: null });
    const first = await get("/v1/cache-namespaces?limit=1");
    expect((await get(`/v1/cache-namespaces?limit=1&cursor=${text(first, "next_cursor")}`)).json).not.toMatchObject(first.json);
    expect((await server.call("DELETE", "/v1/cache-namespaces/sessions")).json).toEqual({ deleted: true, name: "sessions" });
    expect((await get("/v1/cache-namespaces/sessions")).status).toBe(404);
  });
  test("`default` is always there, and cannot go", async () => {
    expect((await get("/v1/cache-namespaces/default")).json).toMatchObject({ created_at: null, settings: { mode: "write-through" } });
    expect(await server.call("DELETE", "/v1/cache-namespaces/default")).toMatchObject({ status: 409, json: { code: "conflict" } });
  });
  test("If-None-Match: * refuses one that is there; a mode stays; an unknown one is not changed", async () => {
    await put("/v1/cache-namespaces/fixed");
    expect(await put("/v1/cache-namespaces/fixed", {}, { "if-none-match": "*" })).toMatchObject({
      status: 409,
      json: { code: "namespace_exists" },
    });
    expect(await put("/v1/cache-namespaces/fixed", { mode: "strict" })).toMatchObject({
      status: 409,
      json: { code: "namespace_fixed", field: "mode", expected: "write-through" },
    });
    expect((await server.call("PATCH", "/v1/cache-namespaces/none", {})).status).toBe(404);
  });
  test("full is 507: what is stored is data (rule M9)", async () => {
    await put("/v1/cache-namespaces/small", { max_entries: 1 });
    await put("/v1/cache/a?namespace=small", { value: 1 });
    expect(await put("/v1/cache/b?namespace=small", { value: 1 })).toMatchObject({
      status: 507,
      json: { code: "cache_full", limit: "entries", max: 1 },
    });
    expect((await put("/v1/cache/a?namespace=small", { value: 2 })).status).toBe(200);
  });
});

describe("T-05: where a value is, and who has a copy", () => {
  test("explain shows version, home, owner, sharers, leases and the last changes, and reads nothing", async () => {
    const stored = await put("/v1/cache/item:5", { value: "old" });
    const version = text(stored, "version");
    const hits = cache.statistics().hits;
    expect(await get("/v1/cache/item:5?explain=1")).toMatchObject({
      status: 200,
      json: {
        key: "item:5",
        version,
        home: "node1",
        owner: "node1",
        state: "M",
        directory: "X",
        phase: "open",
        sharers: [{ node: "node1", incarnation: "1", lease_left_ms: 650 }],
        copies: [
          { node: "node1", state: "M", version, transitions: [{ from: "I", to: "M" }] },
          { node: "node2", state: "I" },
        ],
      },
    });
    await other.call("GET", "/v1/cache/item:5");
    expect((await other.call("GET", "/v1/cache/item:5?explain=true")).json).toMatchObject({
      owner: null,
      directory: "S",
      state: "S",
      copies: [
        { node: "node2", state: "S" },
        { node: "node1", state: "S", transitions: [{ to: "M" }, { from: "M", to: "S" }] },
      ],
    });
    expect(cache.statistics().hits).toBe(hits);
  });
  test("after a write answered, no other node has the old value", async () => {
    await put("/v1/cache/item:5", { value: "new" });
    expect((await other.call("GET", "/v1/cache/item:5?explain=1")).json).toMatchObject({
      owner: "node1",
      copies: [{ state: "I" }, { state: "M" }],
    });
    expect((await other.call("GET", "/v1/cache/item:5")).json).toMatchObject({ value: "new" });
  });
  test("of a key that was never there", async () => {
    expect(await get("/v1/cache/never?explain=1")).toMatchObject({
      status: 200,
      json: { version: "0", directory: "U", owner: null, state: "I" },
    });
  });
  test("names nodes that did not answer", async () => {
    store.silent.push("node3");
    expect((await get("/v1/cache/item:5?explain=1")).json).toMatchObject({ silent: ["node3"] });
    store.silent.length = 0;
  });
});

describe("T-25: whether all is right", () => {
  test("verify: ok, and how many keys were looked at", async () => {
    expect(await get("/v1/cache-verify")).toMatchObject({ status: 200, json: { ok: true, violations: [], silent: [], truncated: [] } });
  });
  test("a node with more copies than are looked at is named, and it is not said that all is right", async () => {
    store.truncated.push("node2");
    expect(await get("/v1/cache-verify")).toMatchObject({ status: 200, json: { ok: false, violations: [], truncated: ["node2"] } });
    store.truncated.length = 0;
  });
  test("a violation is told with its key, whoever is silent", async () => {
    store.violations.push({ invariant: "single-writer", namespace: "default", key: "k", detail: "node1 and node2 have it as M" });
    store.silent.push("node3");
    expect(await get("/v1/cache-verify")).toMatchObject({
      status: 200,
      json: { ok: false, violations: [{ invariant: "single-writer", key: "k" }], silent: ["node3"] },
    });
    store.violations.length = 0;
  });
  test("a silent node alone is 503 that names it", async () => {
    expect(await get("/v1/cache-verify")).toMatchObject({
      status: 503,
      headers: { "retry-after": "1" },
      json: { code: "peer_silent", nodes: ["node3"], detail: expect.stringContaining("node3") },
    });
    store.silent.length = 0;
  });
  test("state: copies and numbers of the asked node, paged", async () => {
    await put("/v1/cache/state%201", { value: 1 });
    await put("/v1/cache/state%202", { value: 1 });
    const first = await get("/v1/cache-state?limit=1");
    expect(first.json).toMatchObject({
      node_id: "node1",
      keys: [{ namespace: expect.any(String), key: expect.any(String), state: expect.any(String), age_ms: 3 }],
      next_cursor: expect.any(String),
      max_entries: 10_000,
      policy: "wtinylfu",
      statistics: { hits: expect.any(Number), transitions: { "I>M": expect.any(Number) } },
    });
    const second = await get(`/v1/cache-state?limit=1&cursor=${text(first, "next_cursor")}`);
    expect(second.json["keys"]).not.toEqual(first.json["keys"]);
    expect((await get("/v1/cache-state?limit=1000")).json["next_cursor"]).toBeNull();
  });
});

test("the API's limits are those of the wire", () => {
  expect(httpLimits.maxCacheKeyBytes).toBe(wireLimits.maxCacheKeyBytes);
  expect(httpLimits.maxCacheValueBytes).toBe(wireLimits.maxBodyBytes);
  expect(httpLimits.maxCacheTags).toBe(wireLimits.maxTags);
  expect(httpLimits.maxCacheTagBytes).toBe(wireLimits.maxTagBytes);
});
