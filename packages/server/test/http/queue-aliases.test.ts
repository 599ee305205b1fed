import type { NodeHost } from "@trivet/engine";
import { reservedQueueWords } from "@trivet/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, type Answer, type Server } from "./harness.ts";
import { MemoryQueues } from "./memory-queues.ts";

let host: NodeHost;
let server: Server;
/** A second node on the same queues. */
let other: Server;
const queues = new MemoryQueues();
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api, { queues });
  other = await serve(host.api, { queues });
});
afterAll(async () => {
  await server.http.close(0);
  await other.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});
const get = (path: string, headers?: Record<string, string>) => server.call("GET", path, undefined, headers);
const post = (path: string, body?: unknown, headers?: Record<string, string>) => server.call("POST", path, body, headers);
const token = (answer: Answer): string => (answer.json as unknown as { readonly ack_token: string }).ack_token;
const lastCall = () => queues.calls.at(-1);

describe("S0: /queue/{name}", () => {
  test("the document's two calls: produce, consume; the message is the JSON body", async () => {
    const produced = await post("/queue/test-queue", { data: "Hello World" });
    expect(produced).toMatchObject({
      status: 200,
      json: { status: "ok", queue: "test-queue", node: "node1", message: { data: "Hello World" }, ack: "memory" },
    });
    const consumed = await get("/queue/test-queue");
    expect(consumed).toMatchObject({
      status: 200,
      headers: { "cache-control": "no-store" },
      json: {
        status: "ok",
        message: { data: "Hello World" },
        message_id: produced.json["message_id"],
        ack_token: expect.any(String),
        acquired: 1,
        deliveries: 0,
        lease_ms: 30_000,
      },
    });
  });
  test("through another node as well (T-04)", async () => {
    await post("/queue/elsewhere", { n: 1 });
    expect(await other.call("GET", "/queue/elsewhere")).toMatchObject({ status: 200, json: { message: { n: 1 } } });
  });
  test("empty and unknown: 404 with the text `Queue is empty`", async () => {
    for (const name of ["never-made", "test-queue"])
      expect(await get(`/queue/${name}`)).toMatchObject({
        status: 404,
        headers: { "cache-control": "no-store" },
        json: { code: "queue_empty", detail: "Queue is empty", title: "Queue is empty" },
      });
  });
  test("a message that is not settled comes back, one that is does not (W-37)", async () => {
    await post("/queue/leased", { n: 1 });
    const first = await get("/queue/leased");
    expect((await get("/queue/leased")).status).toBe(404);
    queues.leasesEnd();
    const again = await get("/queue/leased");
    expect(again.json).toMatchObject({ message: { n: 1 }, acquired: 2 });
    expect(await post("/queue/ack", { ack_token: token(first) })).toMatchObject({
      status: 409,
      json: { code: "receipt_stale", success: false, results: [{ outcome: "stale" }] },
    });
    expect(await post("/queue/ack", { ack_token: token(again) })).toMatchObject({
      status: 200,
      json: { success: true, status: "ok", acked: 1 },
    });
    queues.leasesEnd();
    expect((await get("/queue/leased")).status).toBe(404);
  });
  test("`ack=auto` settles at hand-out", async () => {
    await post("/queue/auto", { n: 1 });
    expect(await get("/queue/auto?ack=auto")).toMatchObject({ status: 200, json: { ack_token: null } });
    queues.leasesEnd();
    expect((await get("/queue/auto")).status).toBe(404);
    expect(await get("/queue/auto?ack=maybe")).toMatchObject({ status: 400, json: { field: "ack", expected: "one of manual, auto" } });
    expect(await get("/queue/auto?akc=auto")).toMatchObject({ status: 400, json: { field: "akc" } });
  });
  test.each<[string, unknown]>([
    ["text", "Hello"],
    ["null", null],
    ["zero", 0],
    ["a list", [1]],
    ["fields of ours", { request_id: "r1", body: 1, topic: "t", timeout: "x" }],
  ])("any JSON value is a message: %s", async (name, message) => {
    const path = `/queue/${encodeURIComponent(`any ${name}`)}`;
    expect((await post(path, message)).json).toMatchObject({ message });
    expect((await get(path)).json).toMatchObject({ message });
  });
  test("`request_id` in a message is no idempotency key; the header is", async () => {
    await post("/queue/keyed", { request_id: "same", n: 1 });
    await post("/queue/keyed", { request_id: "same", n: 2 });
    const first = await post("/queue/keyed", { n: 3 }, { "idempotency-key": "k" });
    expect((await post("/queue/keyed", { n: 3 }, { "idempotency-key": "k" })).text).toBe(first.text);
    expect((await server.call("GET", "/v1/queues/keyed")).json).toMatchObject({ totals: { produced: 3 } });
  });
  test("no body is no message", async () => {
    expect(await post("/queue/none")).toMatchObject({ status: 400, json: { field: "body" } });
    expect((await server.call("GET", "/v1/queues/none")).status).toBe(404);
  });
  test("content that is not JSON is base64", async () => {
    await post("/v1/queues/binary/messages", { body_base64: "AP8=" });
    expect((await get("/queue/binary")).json).toMatchObject({ message: "AP8=" });
  });
  test("group, consumer and wait", async () => {
    await post("/queue/groups", 1);
    for (const group of ["a", "b"]) expect((await get(`/queue/groups?group_name=${group}&timeout=0`)).status).toBe(200);
    await get("/queue/groups?wait_ms=5", { "x-client-id": "c1" });
    expect(lastCall()?.options.timeoutMs).toBe(5 + server.config.http.requestTimeoutMs);
  });
  test("a HEAD takes nothing, and neither does a page of another site", async () => {
    await post("/queue/careful", 1);
    expect((await server.http.app.inject({ method: "HEAD", url: "/queue/careful" })).statusCode).toBe(405);
    for (const headers of [{ "sec-fetch-site": "cross-site" }, { origin: "http://evil.example", host: "node1:8001" }])
      expect(await get("/queue/careful", headers)).toMatchObject({ status: 403, json: { code: "forbidden" } });
    expect((await get("/queue/careful", { "sec-fetch-site": "same-origin" })).status).toBe(200);
  });
});

describe("reserved words (X-02)", () => {
  test.each(reservedQueueWords)("%s under /queue/ is never a queue, under /v1 it is", async (word) => {
    expect(await get(`/queue/${word}`)).toMatchObject({
      status: 400,
      json: { field: "queue", expected: expect.stringContaining("/v1/queues/") },
    });
    const posted = await post(`/queue/${word}`, { data: "Hello" });
    expect(posted.status).toBe(400);
    expect((await server.call("GET", `/v1/queues/${word}`)).status).toBe(404);
    expect((await post(`/v1/queues/${word}/messages`, { body: 1 })).status).toBe(201);
    expect((await post("/queue/consume", { topic: word })).json).toMatchObject({ message: 1 });
  });
});

describe("S4: /queue/produce, /queue/consume, /queue/ack", () => {
  test("produce {topic, message}, consume {topic}: message, message_id, ack_token; null when empty", async () => {
    const produced = await post("/queue/produce", { topic: "t", message: { n: 1 } });
    expect(produced).toMatchObject({ status: 200, json: { status: "ok", success: true, topic: "t", message_id: expect.any(String) } });
    const consumed = await post("/queue/consume", { topic: "t" });
    expect(consumed).toMatchObject({
      status: 200,
      headers: { "cache-control": "no-store" },
      json: {
        success: true,
        status: "ok",
        topic: "t",
        message: { n: 1 },
        message_id: produced.json["message_id"],
        ack_token: expect.any(String),
      },
    });
    expect(await post("/queue/consume", { topic: "t" })).toMatchObject({
      status: 200,
      json: { status: "empty", message: null, message_id: null, ack_token: null },
    });
    expect(await post("/queue/consume", { topic: "never-made" })).toMatchObject({ status: 200, json: { message: null } });
    expect(await post("/queue/ack", { ack_token: token(consumed) })).toMatchObject({ status: 200, json: { acked: 1 } });
  });
  test("S0's and S4's calls mix", async () => {
    await post("/queue/mixed", { n: 1 });
    const consumed = await post("/queue/consume", { topic: "mixed", ack: "manual" });
    expect(consumed.json).toMatchObject({ message: { n: 1 } });
    expect((await post("/v1/queues/mixed/ack", { receipts: [token(consumed)] })).status).toBe(200);
  });
  test.each([
    ["topic", "message"],
    ["queue_name", "data"],
    ["queue", "payload"],
    ["topic", "body"],
  ])("field names %s, %s", async (queue, message) => {
    expect((await post("/queue/produce", { [queue]: "names", [message]: message })).status).toBe(200);
    expect((await post("/queue/consume", { topic: "names", ack: "auto" })).json).toMatchObject({ message });
  });
  test("ack handles: ack_token, receipt, message_id; with the topic or without; what is no handle is 409", async () => {
    const lease = async (): Promise<Answer> => {
      await post("/queue/produce", { topic: "handles", message: 1 });
      return post("/queue/consume", { topic: "handles" });
    };
    expect((await post("/queue/ack", { receipt: token(await lease()), topic: "handles" })).status).toBe(200);
    expect((await post("/queue/ack", { message_id: token(await lease()) })).status).toBe(200);
    const { message_id, ack_token } = (await lease()).json as unknown as { message_id: string; ack_token: string };
    expect(await post("/queue/ack", { message_id })).toMatchObject({ status: 409, json: { results: [{ outcome: "foreign" }] } });
    expect(await post("/queue/ack", { ack_token, topic: "another" })).toMatchObject({ status: 409, json: { success: false } });
    // A consumer that sends back the whole answer names both.
    expect((await post("/queue/ack", { message_id, ack_token })).status).toBe(200);
    expect(await post("/queue/ack", {})).toMatchObject({ status: 400, json: { success: false, field: "ack_token" } });
  });
  test("missing and wrong fields are 400 with `success: false` (W-75)", async () => {
    expect(await post("/queue/produce", { message: 1 })).toMatchObject({ status: 400, json: { field: "queue" } });
    expect(await post("/queue/produce", { topic: "t" })).toMatchObject({ status: 400, json: { field: "body" } });
    expect(await post("/queue/produce", { topic: 5, message: 1 })).toMatchObject({ status: 400, json: { field: "topic" } });
    expect(await post("/queue/produce", { topic: "a", queue_name: "b", message: 1 })).toMatchObject({ status: 400 });
    expect(await post("/queue/produce", { topik: "a", message: 1 })).toMatchObject({ status: 400, json: { field: "topik" } });
    expect(await post("/queue/consume", { topic: "t", max: 2 })).toMatchObject({ status: 400, json: { field: "max" } });
    expect(await post("/queue/consume")).toMatchObject({ status: 400, json: { success: false } });
  });
  test("names that no path can carry", async () => {
    for (const topic of [".", "..", "a/../b", "é:%2F", "/produce"]) {
      expect((await post("/queue/produce", { topic, message: topic })).status).toBe(200);
      expect((await post("/queue/consume", { topic, ack: "auto" })).json).toMatchObject({ message: topic });
    }
  });
});

describe("S2: /queue/create-group, and produce and consume with queue_name", () => {
  test("create-group, produce, consume: its own shapes", async () => {
    expect(await post("/queue/create-group", { queue_name: "q2", group_name: "workers" })).toMatchObject({
      status: 200,
      json: { status: "ok", queue_name: "q2", group_name: "workers", created: true },
    });
    const produced = await post("/queue/produce", { queue_name: "q2", message: { task: "resize" } });
    expect(produced.json).toMatchObject({ status: "ok", routed_to: "node1", message_id: expect.any(String) });
    const consume = { queue_name: "q2", group_name: "workers", consumer_id: "c1", count: 5, block_ms: 0 };
    const consumed = await post("/queue/consume", consume);
    expect(consumed).toMatchObject({
      status: 200,
      json: {
        status: "ok",
        queue_name: "q2",
        messages: [{ message_id: produced.json["message_id"], message: { task: "resize" }, ack_token: expect.any(String) }],
      },
    });
    expect(await post("/queue/consume", consume)).toMatchObject({ status: 200, json: { status: "empty", messages: [] } });
  });
  test("a group that exists is 200 again (T-17, E-12)", async () => {
    for (const created of [true, false, false])
      expect(await post("/queue/create-group", { queue_name: "q3" })).toMatchObject({
        status: 200,
        json: { group_name: "default_group", created },
      });
  });
  test("an unknown queue is 404; without QUEUE_AUTO_CREATE for create-group too", async () => {
    expect(await post("/queue/consume", { queue_name: "q-none", block_ms: 0 })).toMatchObject({
      status: 404,
      json: { code: "queue_unknown", success: false },
    });
    const strict = await serve(host.api, { env: { QUEUE_AUTO_CREATE: "false" } });
    expect(await strict.call("POST", "/queue/create-group", { queue_name: "q-none" })).toMatchObject({
      status: 404,
      json: { code: "queue_unknown" },
    });
    await strict.http.close(0);
  });
  test("it waits 5 s when not told otherwise, and says so to the queues", async () => {
    await post("/queue/produce", { queue_name: "q4", message: 1 });
    await post("/queue/consume", { queue_name: "q4" });
    expect(lastCall()?.options.timeoutMs).toBe(5_000 + server.config.http.requestTimeoutMs);
  });
  test("routed_to is the node that should lead the partition's shard", async () => {
    queues.place = { epoch: 1, replication: 1, founders: [], shards: [["a"], ["b"], ["c"]] };
    const { json } = await post("/queue/produce", { queue_name: "q4", message: 1 });
    const { id } = (await server.call("GET", "/v1/queues/q4")).json as unknown as { id: string };
    expect(json).toMatchObject({ routed_to: ["a", "b", "c"][Number(id) % 3] });
    queues.place = null;
  });
});
