import { httpLimits } from "@trivet/contract";
import type { NodeHost, QueueFailure } from "@trivet/engine";
import { limits as wireLimits } from "@trivet/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { scripted, serve, startTestNode, type Server } from "./harness.ts";
import { MemoryQueues } from "./memory-queues.ts";

let host: NodeHost;
let server: Server;
const queues = new MemoryQueues();
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api, { queues });
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});
const get = (path: string) => server.call("GET", path);
const post = (path: string, body?: unknown, headers?: Record<string, string>) => server.call("POST", path, body, headers);

const unavailable = (code: Extract<QueueFailure, { type: "unavailable" }>["code"]): QueueFailure => ({
  type: "unavailable",
  code,
  retryAfterMs: 1_500,
  detail: "",
});

describe("what the queues refuse", () => {
  test.each<[QueueFailure, number, string]>([
    [unavailable("redis_unavailable"), 503, "redis_unavailable"],
    [unavailable("no_leader"), 503, "no_leader"],
    [unavailable("no_quorum"), 503, "no_quorum"],
    [unavailable("overloaded"), 503, "overloaded"],
    [unavailable("stopping"), 503, "stopping"],
    [unavailable("removed"), 503, "node_removed"],
    [unavailable("storage"), 507, "storage_unavailable"],
    [{ type: "unknown", requestId: "3.1.zz.c" }, 504, "commit_timeout"],
    [{ type: "too-many-queues", max: 10 }, 429, "quota_exceeded"],
    [{ type: "refused", reason: "other-body" }, 422, "idempotency_key_reused"],
    [{ type: "refused", reason: "past-deadline" }, 503, "not_executed"],
    [{ type: "refused", reason: "window-full" }, 429, "quota_exceeded"],
    [{ type: "refused", reason: "something else" }, 409, "conflict"],
    [{ type: "malformed", detail: "no" }, 400, "bad_request"],
    [{ type: "not-supported", detail: "priorities" }, 400, "not_supported"],
  ])("%o", async (failure, status, code) => {
    queues.refuse(failure);
    const answer = await post("/v1/queues/refusing/messages", { body: 1 });
    expect(answer).toMatchObject({ status, json: { code } });
    if (status === 503 || status === 429) expect(Number(answer.headers["retry-after"])).toBeGreaterThanOrEqual(1);
    queues.refuse(failure);
    // S4's path: the same, with `success: false` (checked by the harness).
    expect(await post("/queue/produce", { topic: "refusing", message: 1 })).toMatchObject({ status, json: { code } });
  });
  test("a question, too", async () => {
    queues.refuse(unavailable("redis_unavailable"));
    expect(await get("/v1/queues/refusing")).toMatchObject({ status: 503, headers: { "retry-after": "2" } });
  });
});

describe("roles (T-14)", () => {
  test("a node without the queue role, which knows nobody who has it, says so; locks go on", async () => {
    const other = await serve(host.api, { env: { NODE_ROLES: "lock" } });
    for (const [method, path] of [
      ["POST", "/v1/queues/q/consume"],
      ["GET", "/queue/q"],
      ["POST", "/queue/produce"],
      ["POST", "/v1/fences/raise"],
    ] as const)
      expect(await other.call(method, path)).toMatchObject({
        status: 404,
        json: { code: "role_not_enabled", roles: ["lock"], peers: [] },
      });
    expect((await other.call("POST", "/lock/role")).status).toBe(200);
    await other.http.close(0);
  });
  test("a queue node serves queues and no locks", async () => {
    const other = await serve(host.api, { env: { NODE_ROLES: "queue" } });
    expect((await other.call("POST", "/queue/q", { a: 1 })).status).toBe(200);
    expect((await other.call("POST", "/lock/role")).status).toBe(404);
    await other.http.close(0);
  });
});

describe("the ring", () => {
  test("is empty before the first placement", async () => {
    expect(await get("/v1/ring")).toMatchObject({ status: 200, json: { backend: "memory", epoch: null, shards: [], nodes: [] } });
  });
  test("shows shards and the load of each node", async () => {
    queues.place = {
      epoch: 3,
      replication: 2,
      founders: [],
      shards: [
        ["a", "b"],
        ["b", "c"],
      ],
    };
    expect(await get("/v1/ring")).toMatchObject({
      json: {
        epoch: 3,
        replication: 2,
        shards: [
          { shard: 1, leader: "a", replicas: ["a", "b"] },
          { shard: 2, leader: "b", replicas: ["b", "c"] },
        ],
        nodes: [
          { node: "a", replicas: 1, leads: 1 },
          { node: "b", replicas: 2, leads: 1 },
          { node: "c", replicas: 1, leads: 0 },
        ],
      },
    });
    queues.place = null;
  });
  test("shows which shards are not where they belong, and why", async () => {
    queues.place = { epoch: 1, replication: 1, founders: [], shards: [["a"], ["b"]] };
    const wait = { why: "b is to hold it and cannot be reached", next: "start b" };
    const status = () => ({ ...host.api.status(), shardWaits: [{ shard: 2, ...wait }] });
    const own = await serve(scripted(host.api, { status }), { queues });
    expect(await own.call("GET", "/v1/ring")).toMatchObject({ json: { shards: [{ waiting: null }, { waiting: wait }] } });
    await own.http.close(0);
    queues.place = null;
  });
});

test("the API's limits are those of the wire", () => {
  expect(httpLimits.maxMessageBytes).toBe(wireLimits.maxBodyBytes);
  expect(httpLimits.maxMessagesPerCall).toBe(wireLimits.maxMessagesPerCommand);
  expect(httpLimits.maxMessageHeaders).toBe(wireLimits.maxHeadersPerMessage - 1);
  expect(httpLimits.maxMessageHeaderBytes).toBe(wireLimits.maxHeaderBytes);
  expect(httpLimits.maxKeyBytes).toBe(wireLimits.maxKeyBytes);
  expect(httpLimits.maxPartitions).toBe(wireLimits.maxPartitions);
  expect(httpLimits.maxDurationMs).toBe(wireLimits.maxDurationMs);
});
