import { routeIds, routeOf } from "@trivet/contract";
import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, until, type Server } from "./harness.ts";

let host: NodeHost;
let server: Server;
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api);
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});
const get = (path: string, headers?: Record<string, string>) => server.call("GET", path, undefined, headers);
const post = (path: string, body?: unknown, headers?: Record<string, string>) => server.call("POST", path, body, headers);

describe("S0: greeting", () => {
  test("message, port and the URLs of the other nodes", async () => {
    expect(await get("/")).toMatchObject({
      status: 200,
      json: { message: "Hello from Node node1", port: 0, peers: ["http://node2:8002", "http://node3:8003"], leader: "node1" },
    });
  });
  test("query parameters of probes do not disturb it", async () => {
    expect((await get("/?probe=1")).status).toBe(200);
  });
  test("a browser is sent to the page", async () => {
    expect(await get("/", { accept: "text/html,application/xhtml+xml,*/*;q=0.8" })).toMatchObject({
      status: 302,
      headers: { location: "/docs" },
    });
  });
});

describe("S0: /lock/{name} and /locks", () => {
  test("the document's three calls: acquire, status, release", async () => {
    const acquired = await post("/lock/test-lock?lock_type=exclusive");
    expect(acquired).toMatchObject({
      status: 200,
      json: { status: "acquired", lock_name: "test-lock", lock_type: "exclusive", leader: "node1", owner: expect.stringMatching(/^anon-/) },
    });
    const json = acquired.json as unknown as { fence: string; fencing_token: string; owner: string };
    expect(json.fencing_token).toBe(json.fence);
    expect(await get("/lock/test-lock")).toMatchObject({
      status: 200,
      json: { lock_name: "test-lock", status: "held", type: "exclusive", owners: [json.owner], waiters: [], fencing_token: json.fence },
    });
    expect(await server.call("DELETE", "/lock/test-lock")).toMatchObject({
      status: 200,
      json: { status: "released", lock_name: "test-lock", released_by: "anonymous", granted_to: [], fence: json.fence },
    });
    expect(await get("/lock/test-lock")).toMatchObject({
      status: 200,
      json: { status: "available", type: null, owners: [], fencing_token: null },
    });
  });

  test("a second anonymous acquire is another owner: 423, not re-entrant (X-17)", async () => {
    await post("/lock/s0-a");
    expect(await post("/lock/s0-a")).toMatchObject({ status: 423, json: { code: "locked", holders: [{ mode: "exclusive" }] } });
    await server.call("DELETE", "/lock/s0-a");
  });

  test("a release without owner frees the oldest anonymous hold and never a named one (403), nothing is 404", async () => {
    const first = await post("/lock/s0-b?lock_type=shared");
    const second = await post("/lock/s0-b?lock_type=shared");
    expect((await server.call("DELETE", "/lock/s0-b")).json.fence).toBe(first.json.fence);
    expect((await server.call("DELETE", "/lock/s0-b")).json.fence).toBe(second.json.fence);
    expect(await server.call("DELETE", "/lock/s0-b")).toMatchObject({ status: 404, json: { code: "lock_not_found" } });
    await post("/lock/s0-b?owner=alice");
    expect(await server.call("DELETE", "/lock/s0-b")).toMatchObject({
      status: 403,
      json: { code: "not_holder", holders: [{ owner: "alice" }] },
    });
    expect(await server.call("DELETE", "/lock/s0-b?client_id=alice")).toMatchObject({ status: 200, json: { released_by: "alice" } });
  });

  test("an anonymous owner can release by the name it was given, an old fence is 412", async () => {
    const { json } = await post("/lock/s0-c");
    const { owner } = json as unknown as { owner: string };
    expect(await server.call("DELETE", `/lock/s0-c?owner=${owner}`)).toMatchObject({ status: 200, json: { released_by: owner } });
    await post("/lock/s0-c?owner=alice");
    expect(await server.call("DELETE", `/lock/s0-c?owner=alice&fence=${json.fence}`)).toMatchObject({ status: 412 });
  });

  test("X-Client-Id is an owner, an owner in the query wins", async () => {
    expect((await post("/lock/s0-d", undefined, { "x-client-id": "bob" })).json).toMatchObject({ owner: "bob" });
    expect((await server.call("DELETE", "/lock/s0-d", undefined, { "x-client-id": "bob" })).status).toBe(200);
    expect((await post("/lock/s0-d?owner=carol", undefined, { "x-client-id": "bob" })).json).toMatchObject({ owner: "carol" });
  });

  test("timeout is the wait in seconds; the mode in any letter case; the body works as well as the query", async () => {
    await post("/lock/s0-e?lock_type=EXCLUSIVE");
    const waiting = post("/lock/s0-e?timeout=5");
    await until(async () => ((await get("/lock/s0-e")).json as unknown as { waiters: string[] }).waiters.length === 1);
    expect((await server.call("DELETE", "/lock/s0-e")).json).toMatchObject({ granted_to: [expect.stringMatching(/^anon-/)] });
    expect((await waiting).status).toBe(200);
    expect(await post("/lock/s0-e", { timeout: 0.01, lock_type: "Shared", client_id: "x" })).toMatchObject({ status: 423 });
    expect(await post("/lock/s0-e?timeout=601")).toMatchObject({ status: 400, json: { field: "timeout" } });
    expect(await post("/lock/s0-e?lock_type=wild")).toMatchObject({
      status: 400,
      json: { field: "lock_type", expected: expect.stringContaining("exclusive") },
    });
    expect(await post("/lock/s0-e?mood=1")).toMatchObject({ status: 400, json: { field: "mood" } });
  });

  test("a body that means the other style is refused by its unknown field, not taken for a lock called acquire (X-02)", async () => {
    expect(await post("/lock/acquire", { lock_name: "x", client_id: "a" })).toMatchObject({ status: 400, json: { field: "lock_name" } });
  });

  test("GET /locks: all locks by name, the graph, the leader", async () => {
    await post("/lock/s0-f?owner=alice");
    expect(await get("/locks")).toMatchObject({
      status: 200,
      json: { locks: { "s0-f": { status: "held", owners: ["alice"] } }, wait_for_graph: {}, leader: "node1", is_leader: true },
    });
    await post(`/lock/__proto__?owner=alice`);
    expect((await get("/locks?prefix=__")).text).toContain('"__proto__":{"lock_name":"__proto__"');
  });

  test("deadlock through S0's calls: 409 with the cycle", async () => {
    await post("/lock/dl1?owner=a");
    await post("/lock/dl2?owner=b");
    const a = post("/lock/dl2?owner=a&timeout=10");
    await until(
      async () =>
        Object.keys((await get("/locks")).json as unknown as object).length > 0 &&
        (await get("/locks")).text.includes('"wait_for_graph":{"a":["b"]}'),
    );
    expect(await post("/lock/dl1?owner=b&timeout=10")).toMatchObject({ status: 409, json: { code: "deadlock", cycle: expect.any(Array) } });
    await server.call("DELETE", "/lock/dl2?owner=b");
    expect((await a).status).toBe(200);
  });
});

describe("S4: health and leader", () => {
  test("/health: status, node_id, leader, term", async () => {
    expect(await get("/health")).toMatchObject({
      status: 200,
      json: { status: "ok", node_id: "node1", leader: "node1", term: expect.any(Number) },
    });
  });
  test("/raft/leader: leader, term, agreed, quorum", async () => {
    expect(await get("/raft/leader")).toMatchObject({
      status: 200,
      json: { leader: "node1", agreed: true, quorum: true, url: "http://node1:8001" },
    });
  });
  test("/raft/heartbeat: ok with the right leader and term or none, 409 with a wrong one, nothing changes", async () => {
    const { leader, term } = (await get("/raft/leader")).json as unknown as { leader: string; term: number };
    expect(await post("/raft/heartbeat", { leader, term })).toMatchObject({ status: 200, json: { status: "ok", leader, term } });
    expect(await post("/raft/heartbeat")).toMatchObject({ status: 200 });
    expect(await post("/raft/heartbeat", {})).toMatchObject({ status: 200 });
    expect(await post("/raft/heartbeat", { leader: "mallory", term: 1_000_000 })).toMatchObject({
      status: 409,
      json: { code: "wrong_leader", success: false, leader, term },
    });
    expect(await post("/raft/heartbeat", { term: term + 1 })).toMatchObject({ status: 409 });
    expect((await get("/raft/leader")).json).toMatchObject({ leader, term });
    expect(await post("/raft/heartbeat", { leader: 5 })).toMatchObject({ status: 400, json: { field: "leader" } });
  });
});

describe("S4: log", () => {
  test("/raft/append takes acquire and release, decided in apply", async () => {
    const acquired = await post("/raft/append", { type: "acquire", resource: "ap1", owner: "a", mode: "exclusive" });
    expect(acquired).toMatchObject({ status: 200, json: { status: "ok", success: true, owner: "a" } });
    expect(Number((acquired.json as unknown as { index: string }).index)).toBeGreaterThan(0);
    expect(await post("/raft/append", { type: "acquire", resource: "ap1", owner: "b" })).toMatchObject({
      status: 423,
      json: { success: false, code: "locked" },
    });
    expect(await post("/raft/append", { type: "release", resource: "ap1", owner: "b" })).toMatchObject({
      status: 403,
      json: { success: false },
    });
    expect(await post("/raft/append", { type: "release", resource: "ap1", owner: "a" })).toMatchObject({
      status: 200,
      json: { owner: "a" },
    });
    expect(await post("/raft/append", { type: "delete-everything", resource: "ap1" })).toMatchObject({
      status: 400,
      json: { field: "type" },
    });
    expect(await post("/raft/append", { type: "acquire" })).toMatchObject({ status: 400, json: { field: "name" } });
    expect(await post("/raft/append", { command: "LOCK ap1" })).toMatchObject({ status: 400 });
  });
  test("/raft/log: inclusive bounds, negative from the end, indices as decimal strings", async () => {
    await post("/raft/append", { type: "acquire", resource: "ap2", owner: "a" });
    type Page = {
      log: { index: string; term: number; type: string; command: { type: string } | null }[];
      first_index: string;
      last_index: string;
    };
    const page = async (query: string) => (await get(`/raft/log${query}`)).json as unknown as Page;
    const all = await page("");
    const last = Number(all.last_index);
    expect(all.log.at(-1)).toMatchObject({ index: String(last), type: expect.any(String) });
    expect(all.log[0]?.index).toBe(all.first_index);
    expect([...new Set((await page("?start=-1")).log.map((entry) => entry.index))]).toEqual([String(last)]);
    // An entry that carries several commands has a line for each.
    expect([...new Set((await page(`?start=2&end=3`)).log.map((entry) => entry.index))]).toEqual(["2", "3"]);
    expect((await page("?start=0&end=-1")).log).toHaveLength(all.log.length);
    expect((await page(`?start=${last + 10}`)).log).toEqual([]);
    expect((await page("?start=3&end=2")).log).toEqual([]);
    expect((await get("/raft/log?start=x")).json).toMatchObject({ code: "bad_request", field: "start" });
    expect(all.log.some((entry) => entry.command?.type === "acquire")).toBe(true);
  });
});

describe("S4: /locks/acquire, /locks/release, /locks/wait_for", () => {
  test("acquire and release with S4's fields", async () => {
    expect(await post("/locks/acquire", { resource: "r4", owner: "a", mode: "exclusive" })).toMatchObject({
      status: 200,
      json: { success: true, resource: "r4", owner: "a", mode: "exclusive" },
    });
    expect(await post("/locks/acquire", { resource: "r4", owner: "b" })).toMatchObject({
      status: 423,
      json: { success: false, holders: [{ owner: "a" }] },
    });
    expect(await post("/locks/release", { resource: "r4", owner: "b" })).toMatchObject({ status: 403, json: { success: false } });
    expect(await post("/locks/release", { resource: "r4", owner: "a" })).toMatchObject({
      status: 200,
      json: { success: true, resource: "r4", owner: "a" },
    });
    expect(await post("/locks/release", { resource: "r4", owner: "a" })).toMatchObject({ status: 404, json: { success: false } });
    expect(await post("/locks/acquire", { owner: "a" })).toMatchObject({
      status: 400,
      json: { success: false, field: "name", code: "bad_request" },
    });
  });
  test("the mode is exclusive when not given (X-18)", async () => {
    expect((await post("/locks/acquire", { resource: "r4m", owner: "a" })).json).toMatchObject({ mode: "exclusive" });
  });
  test.each([
    ["lock_name", "client_id", "lock_type"],
    ["resource", "client", "type"],
    ["lock_id", "holder", "mode"],
    ["name", "owner", "mode"],
  ])("field names %s, %s, %s", async (name, owner, mode) => {
    const lock = `fields-${name}`;
    expect(await post("/locks/acquire", { [name]: lock, [owner]: "a", [mode]: "SHARED", ttl: 5 })).toMatchObject({
      status: 200,
      json: { resource: lock, owner: "a", mode: "shared", expires_in_ms: 5_000 },
    });
    expect(await post("/locks/release", { [name]: lock, [owner]: "a" })).toMatchObject({ status: 200 });
  });
  test("two names of one field with different values are refused", async () => {
    expect(await post("/locks/acquire", { resource: "x", name: "y", owner: "a" })).toMatchObject({ status: 400, json: { success: false } });
    expect((await post("/locks/acquire", { resource: "same", name: "same", owner: "a" })).status).toBe(200);
  });
  test("names that no path can carry", async () => {
    for (const name of [".", "..", "a/../b", "é:%2F", " "]) {
      expect((await post("/locks/acquire", { resource: name, owner: "a" })).status).toBe(200);
      expect((await post("/locks/release", { resource: name, owner: "a" })).status).toBe(200);
    }
  });
  test("/locks/wait_for: edges as pairs, details, cycles, last resolutions", async () => {
    await post("/locks/acquire", { resource: "w1", owner: "a" });
    await post("/locks/acquire", { resource: "w2", owner: "b" });
    const a = post("/locks/acquire", { resource: "w2", owner: "a", timeout: 10 });
    await until(async () => (await get("/locks/wait_for")).text.includes('["a","b"]'));
    expect(await get("/locks/wait_for")).toMatchObject({
      status: 200,
      json: { edges: [["a", "b"]], details: [{ waiter: "a", holder: "b", name: "w2", mode: "exclusive" }], cycles: [] },
    });
    expect(await post("/locks/acquire", { resource: "w1", owner: "b", timeout: 10 })).toMatchObject({
      status: 409,
      json: { success: false, code: "deadlock" },
    });
    expect((await get("/locks/wait_for")).json).toMatchObject({
      last_resolutions: expect.arrayContaining([expect.objectContaining({ victim: "b" })]),
      victim_policy: expect.any(String),
    });
    await post("/locks/release", { resource: "w2", owner: "b" });
    expect((await a).status).toBe(200);
  });
});

const isText = (answer: { headers: Readonly<Record<string, unknown>> }): boolean =>
  String(answer.headers["content-type"]).startsWith("text/plain; version=0.0.4");

describe("/metrics: format decides, then Accept (X-05)", () => {
  test.each([
    ["", undefined, false],
    ["", "*/*", false],
    ["", "application/json", false],
    ["", "text/plain", true],
    ["", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true],
    ["?format=prometheus", "application/json", true],
    ["?format=text", undefined, true],
    ["?format=json", "text/plain", false],
  ])("%s with Accept %s is text: %s", async (query, accept, text) => {
    const answer = await get(`/metrics${query}`, accept === undefined ? {} : { accept });
    expect(answer.status).toBe(200);
    expect(isText(answer)).toBe(text);
    if (!text)
      expect(answer.json).toMatchObject({
        cache_hits: 0,
        cache_misses: 0,
        cache_stats: { size: 0, maxsize: 10_000, states: {} },
        raft: { leader: "node1" },
        locks: { held: expect.any(Number) },
      });
  });
  test("/v1/metrics is always text; an unknown format is 400", async () => {
    expect(isText(await get("/v1/metrics", { accept: "application/json" }))).toBe(true);
    expect(await get("/metrics?format=xml")).toMatchObject({ status: 400, json: { field: "format" } });
  });
  test("ENABLE_METRICS=false switches them off", async () => {
    const off = await serve(host.api, { env: { ENABLE_METRICS: "false" } });
    expect((await off.call("GET", "/metrics")).status).toBe(404);
    expect((await off.call("GET", "/v1/metrics")).status).toBe(404);
    await off.http.close(0);
  });
});

describe("later versions", () => {
  test("/ui says that it is not there yet", async () => {
    expect(await get("/ui")).toMatchObject({ status: 404, json: { code: "not_available_yet" } });
  });
});

test("every alias of S0 and S4 that the contract lists is named by a test above, or in queue-aliases.test.ts or cache-aliases.test.ts", () => {
  const aliases = routeIds.filter((id) => routeOf(id).alias !== undefined);
  expect(aliases).toHaveLength(27);
});
