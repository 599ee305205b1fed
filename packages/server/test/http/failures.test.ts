import { errorCatalogue, httpLimits, type ErrorCode } from "@trivet/contract";
import { logIndex, type NodeId } from "@trivet/core";
import { MemoryQueueStorage, type NodeApi, type NodeHost, type Outcome, type QueueStorage, type Unavailable } from "@trivet/engine";
import type { RefusalReason, Result } from "@trivet/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NodeClock } from "../../src/adapters/index.ts";
import { scripted, serve, startTestNode, until, type Server } from "./harness.ts";
import { startQueueNode } from "./queue-node.ts";

let host: NodeHost;
const open: Server[] = [];
beforeAll(async () => {
  ({ host } = await startTestNode());
});
afterAll(async () => {
  for (const server of open) await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});
async function withNode(script: Partial<NodeApi>, env: Record<string, string> = {}): Promise<Server> {
  const server = await serve(scripted(host.api, script), { env, settle: false });
  open.push(server);
  return server;
}
const answering = (outcome: Outcome): Partial<NodeApi> => ({
  submit: (_command, _options, done) => {
    setImmediate(() => done(outcome));
    return { requestId: "0.1.zz.caller", abandon: () => undefined };
  },
});
const result = (value: Result): Partial<NodeApi> => answering({ type: "answered", result: value, requestId: "0.1.zz.caller" });
const unavailable = (code: Unavailable["code"], retryAfterMs = 1_500): Unavailable => ({
  type: "unavailable",
  code,
  retryAfterMs,
  detail: "",
});

const refused = (reason: RefusalReason): Result => ({ type: "refused", reason });

describe("outcomes of the log as HTTP answers", () => {
  test.each<[string, Partial<NodeApi>, number, ErrorCode]>([
    ["no leader", answering(unavailable("no_leader")), 503, "no_leader"],
    ["no quorum", answering(unavailable("no_quorum")), 503, "no_quorum"],
    ["overload", answering(unavailable("overloaded")), 503, "overloaded"],
    ["stopping", answering(unavailable("stopping")), 503, "stopping"],
    ["storage", answering(unavailable("storage")), 507, "storage_unavailable"],
    ["unknown outcome", answering({ type: "unknown", requestId: "0.1.zz.caller" }), 504, "commit_timeout"],
    ["quota", result({ type: "quota", limit: "locks-per-session", max: 10 }), 429, "quota_exceeded"],
    ["past the deadline", result(refused("past-deadline")), 503, "not_executed"],
    ["an acknowledged sequence", result(refused("already-acknowledged")), 409, "conflict"],
    ["a full window", result(refused("window-full")), 429, "quota_exceeded"],
    ["too many callers", result(refused("too-many-callers")), 429, "quota_exceeded"],
    ["another body", result(refused("other-body")), 422, "idempotency_key_reused"],
    ["a lost session", result({ type: "session-lost", session: 5 }), 404, "session_not_found"],
    ["malformed", result({ type: "malformed", detail: "a lock without session needs a ttl" }), 400, "bad_request"],
    ["cancelled", result({ type: "cancelled" }), 409, "cancelled"],
    ["a result of another kind", result({ type: "session-opened", session: 1, ttlMs: 1 }), 500, "internal"],
  ])("%s", async (_name, script, status, code) => {
    const server = await withNode(script);
    const v1 = await server.call("POST", "/v1/locks/a/acquire", { owner: "a" });
    expect(v1).toMatchObject({ status, json: { code, retryable: errorCatalogue[code].retryable } });
    // S4's path: the same, with `success: false`.
    expect(await server.call("POST", "/locks/acquire", { resource: "a", owner: "a" })).toMatchObject({
      status,
      json: { code, success: false },
    });
    if (status === 503 || status === 429) expect(Number(v1.headers["retry-after"])).toBeGreaterThanOrEqual(1);
  });

  test("503 names how long to wait and the other nodes (T-03)", async () => {
    const server = await withNode(answering(unavailable("no_leader", 2_400)));
    const answer = await server.call("POST", "/lock/a");
    expect(answer).toMatchObject({
      status: 503,
      headers: { "retry-after": "3" },
      json: { retry_after_ms: 2_400, leader: null, peers: [] },
    });
  });

  test("an unknown outcome gives the id to ask for, not the id of the HTTP request (T-11)", async () => {
    const server = await withNode(answering({ type: "unknown", requestId: "0.1.zz.caller" }));
    const answer = await server.call("POST", "/v1/locks/a/acquire", { owner: "a" }, { "x-request-id": "mine" });
    expect(answer.json).toMatchObject({
      outcome: "unknown",
      request_id: "0.1.zz.caller",
      next: expect.stringContaining("/v1/requests/0.1.zz.caller"),
    });
    expect(answer.headers["x-request-id"]).toBe("mine");
  });

  test("the deadline of a waiting call is its wait and the request timeout", async () => {
    const seen: number[] = [];
    const server = await withNode(
      {
        submit: (_command, options, done) => {
          seen.push(options.timeoutMs);
          setImmediate(() =>
            done({ type: "answered", result: { type: "busy", waited: true, name: "a", holders: [], waiters: 0 }, requestId: "r" }),
          );
          return { requestId: "r", abandon: () => undefined };
        },
      },
      { REQUEST_TIMEOUT_MS: "700" },
    );
    await server.call("POST", "/v1/locks/a/acquire", { owner: "a" });
    await server.call("POST", "/v1/locks/a/acquire", { owner: "a", wait_ms: 1_000 });
    await server.call("POST", "/lock/a?timeout=2");
    expect(seen).toEqual([700, 1_700, 2_700]);
    expect(await server.call("POST", "/v1/locks/a/acquire", { owner: "a", wait_ms: httpLimits.maxWaitMs + 1 })).toMatchObject({
      status: 400,
      json: { field: "wait_ms" },
    });
  });
});

describe("requests asked for later (rule X3)", () => {
  test.each([
    ["pending", 200, { status: "pending" }],
    ["not-executed", 200, { status: "not_executed" }],
    ["gone", 410, { code: "request_expired" }],
    ["invalid", 404, { code: "request_not_found" }],
  ] as const)("%s", async (type, status, json) => {
    const server = await withNode({ request: (_id, done) => setImmediate(() => done({ type })) });
    expect(await server.call("GET", "/v1/requests/0.1.a.b")).toMatchObject({ status, json });
  });
  test.each([
    [
      { type: "produced", partition: 3, messages: [{ sequence: 7, duplicate: false }] },
      { type: "produced", partition: 3, messages: [{ sequence: "7", duplicate: false }] },
    ],
    [
      { type: "handed-out", leaseMs: 50, more: true, incarnation: 1, messages: [{ sequence: 7, acquired: 2 }] },
      { type: "handed-out", lease_ms: 50, more: true, messages: [{ sequence: "7", acquired: 2 }] },
    ],
    [
      { type: "fence-behind", lock: "l", highest: 9 },
      { type: "fence-behind", lock: "l", highest: "9" },
    ],
    [
      { type: "settled", outcomes: ["settled", "stale"] },
      { type: "settled", outcomes: ["settled", "stale"] },
    ],
  ] as const)("of a queue's shard: $type", async (answer, result) => {
    const server = await withNode({ request: (_id, done) => setImmediate(() => done({ type: "shard-answered", answer })) });
    expect(await server.call("GET", "/v1/requests/3.1.a.b")).toMatchObject({ status: 200, json: { status: "executed", result } });
  });
  test("of Redis: nobody remembers, and what to do instead is said", async () => {
    const server = await withNode({});
    expect(await server.call("GET", "/v1/requests/redis.ab12")).toMatchObject({
      status: 404,
      json: { code: "request_not_found", next: expect.stringContaining("Idempotency-Key") },
    });
  });
  test("of a storage that has ids of its own: it is asked", async () => {
    const storage: QueueStorage = new MemoryQueueStorage(new NodeClock());
    storage.request = (id, _timeoutMs, done) => setImmediate(() => done({ type: id === "redis.known" ? "pending" : "invalid" }));
    const outside = await startQueueNode(storage);
    const server = await serve(outside.api);
    open.push(server);
    expect(await server.call("GET", "/v1/requests/redis.known")).toMatchObject({ status: 200, json: { status: "pending" } });
    expect(await server.call("GET", "/v1/requests/redis.other")).toMatchObject({ status: 404 });
    await new Promise<void>((resolve) => outside.api.stop(resolve));
  });
  test("unavailable", async () => {
    const server = await withNode({ request: (_id, done) => setImmediate(() => done(unavailable("no_leader"))) });
    expect((await server.call("GET", "/v1/requests/0.1.a.b")).status).toBe(503);
  });
});

describe("membership and leadership", () => {
  test("a change that is made answers the members, a refused one 409, without leader 503", async () => {
    const membership = host.api.status().groups[0]?.membership;
    if (membership === undefined) throw new Error("no membership");
    const asked: unknown[] = [];
    const changed = await withNode({
      changeMembers: (change, _timeout, done) => {
        asked.push(change);
        setImmediate(() => done({ type: "changed", membership }));
      },
    });
    expect(await changed.call("POST", "/v1/raft/members", { node_id: "n4", url: "http://n4:8004/" })).toMatchObject({
      status: 200,
      json: { members: [{ node: "node1" }] },
    });
    expect(await changed.call("DELETE", "/v1/raft/members/node1")).toMatchObject({ status: 200 });
    expect(await changed.call("POST", "/v1/raft/members/node2/replace")).toMatchObject({ status: 200 });
    expect(asked).toEqual([{ add: [{ node: "n4", url: "http://n4:8004", voter: true }] }, { remove: ["node1"] }, { replace: ["node2"] }]);
    const refused = await withNode({
      changeMembers: (_change, _timeout, done) => setImmediate(() => done({ type: "refused", reason: "the quorum would be lost" })),
    });
    expect(await refused.call("POST", "/v1/raft/members", { node: "n4", url: "http://n4:8004" })).toMatchObject({
      status: 409,
      json: { code: "membership_refused", reason: "the quorum would be lost" },
    });
    const without = await withNode({ changeMembers: (_change, _timeout, done) => setImmediate(() => done(unavailable("no_leader"))) });
    expect((await without.call("DELETE", "/v1/raft/members/node1")).status).toBe(503);
  });
  test("a transfer that succeeds, and one without leader", async () => {
    const good = await withNode({
      transferLeadership: (_to, _timeout, done) => setImmediate(() => done({ type: "transferred", leader: "node2" as NodeId })),
    });
    expect(await good.call("POST", "/v1/raft/transfer-leader")).toMatchObject({
      status: 200,
      json: { transferred: true, leader: "node2" },
    });
    const bad = await withNode({ transferLeadership: (_to, _timeout, done) => setImmediate(() => done(unavailable("no_leader"))) });
    expect((await bad.call("POST", "/v1/raft/transfer-leader", {})).status).toBe(503);
  });
  test("a snapshot on a full disk is 507", async () => {
    const server = await withNode({ snapshot: (done) => setImmediate(() => done(unavailable("storage"))) });
    expect(await server.call("POST", "/v1/raft/snapshot")).toMatchObject({ status: 507 });
    const good = await withNode({ snapshot: (done) => setImmediate(() => done({ type: "taken", index: logIndex(7) })) });
    expect((await good.call("POST", "/v1/raft/snapshot")).json).toMatchObject({ index: "7" });
  });
});

describe("a node without the lock role (T-14)", () => {
  test("where nobody is known who has it, lock calls say which services run here; the rest goes on", async () => {
    const server = await serve(host.api, { env: { NODE_ROLES: "queue" } });
    open.push(server);
    for (const [method, path] of [
      ["POST", "/v1/locks/a/acquire"],
      ["GET", "/v1/locks"],
      ["GET", "/v1/lock-graph"],
      ["POST", "/lock/a"],
      ["POST", "/locks/acquire"],
      ["GET", "/locks/wait_for"],
      ["POST", "/raft/append"],
    ] as const) {
      expect(await server.call(method, path, method === "POST" ? {} : undefined), path).toMatchObject({
        status: 404,
        json: { code: "role_not_enabled", roles: ["queue"], peers: [] },
      });
    }
    expect((await server.call("GET", "/health")).status).toBe(200);
    expect((await server.call("POST", "/v1/sessions")).status).toBe(201);
  });
});

describe("pages of other sites", () => {
  test("may not change anything through a browser, reading and other programs are not concerned", async () => {
    const server = await withNode({});
    const headers = { "sec-fetch-site": "cross-site" };
    expect(await server.call("POST", "/lock/a", undefined, headers)).toMatchObject({ status: 403, json: { code: "forbidden" } });
    expect((await server.call("GET", "/health", undefined, headers)).status).toBe(200);
    expect((await server.call("POST", "/lock/cs", undefined, { "sec-fetch-site": "same-origin" })).status).toBe(200);
  });
});

describe("forwarded calls (L-06)", () => {
  test("are told with from, to, route and request id when another node leads", async () => {
    const lines: { event: string; fields: unknown }[] = [];
    const node = scripted(host.api, {
      status: () => {
        const now = host.api.status();
        return { ...now, groups: now.groups.map((group) => ({ ...group, role: "follower" as const, leader: "node2" as NodeId })) };
      },
    });
    const server = await serve(node, { settle: false, log: { log: (_level, event, _text, fields) => void lines.push({ event, fields }) } });
    open.push(server);
    await server.call("POST", "/v1/locks/fw/acquire", { owner: "a" }, { "x-request-id": "r-9" });
    expect(lines.find((line) => line.event === "http.forwarded")?.fields).toEqual({
      from: "node1",
      to: "node2",
      route: "acquireLock",
      request_id: "r-9",
    });
  });
});

describe("a client that goes away (rule K4)", () => {
  test("its wait is abandoned, so that nobody is granted to nobody", async () => {
    let abandoned = 0;
    let submitted = 0;
    const server = await withNode({
      submit: () => {
        submitted++;
        return { requestId: "r", abandon: () => void abandoned++ };
      },
    });
    const port = await server.http.listen();
    const aborter = new AbortController();
    const call = fetch(`http://127.0.0.1:${port}/v1/locks/a/acquire`, {
      method: "POST",
      signal: aborter.signal,
      headers: { "content-type": "application/json" },
      body: '{"owner":"a","wait_ms":60000}',
    });
    await until(() => submitted === 1);
    aborter.abort();
    await expect(call).rejects.toThrow();
    await until(() => abandoned === 1);
  });
  test("an answered call is not abandoned afterwards", async () => {
    let abandoned = 0;
    const server = await withNode({
      submit: (_command, _options, done) => {
        setImmediate(() => done({ type: "answered", requestId: "r", result: { type: "released", fence: 1, remaining: 0, grantedTo: [] } }));
        return { requestId: "r", abandon: () => void abandoned++ };
      },
    });
    const port = await server.http.listen();
    const answer = await fetch(`http://127.0.0.1:${port}/lock/a`, { method: "DELETE" });
    expect(answer.status).toBe(200);
    await answer.text();
    expect(abandoned).toBe(0);
  });
});

describe("a fault of ours", () => {
  test("is 500 with the request id, and its text stays in the log", async () => {
    const lines: string[] = [];
    const node = scripted(host.api, {
      leaseLeft: () => {
        throw new Error("secret detail");
      },
    });
    const server = await serve(node, { settle: false, log: { log: (level, event, text) => void lines.push(`${level} ${event} ${text}`) } });
    open.push(server);
    await server.call("POST", "/v1/locks/fault/acquire", { owner: "a" });
    const answer = await server.call("GET", "/v1/locks/fault", undefined, { "x-request-id": "r-1" });
    expect(answer).toMatchObject({ status: 500, json: { code: "internal", request_id: "r-1" } });
    expect(answer.text).not.toContain("secret detail");
    expect(lines.some((line) => line.startsWith("error http.fault") && line.includes("secret detail"))).toBe(true);
  });
});
