import type { NodeHost } from "@trivet/engine";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, until, type Answer, type Server } from "./harness.ts";
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
const put = (path: string, body?: unknown, headers?: Record<string, string>) => server.call("PUT", path, body, headers);

interface Message {
  readonly id: string;
  readonly receipt: string;
  readonly body: unknown;
  readonly acquired: number;
  readonly deliveries: number;
}
const messagesOf = (answer: Answer): readonly Message[] => (JSON.parse(answer.text) as { readonly messages: readonly Message[] }).messages;
const receiptsOf = (answer: Answer): readonly string[] => messagesOf(answer).map((message) => message.receipt);

describe("a queue", () => {
  test("is made once, kept by a second PUT, changed by PUT and PATCH", async () => {
    expect(await put("/v1/queues/made", { partitions: 4, visibility_ms: 5_000 })).toMatchObject({
      status: 201,
      json: {
        name: "made",
        created: true,
        version: 1,
        settings: { partitions: 4, visibility_ms: 5_000, max_deliveries: 5, paused: false },
      },
    });
    expect(await put("/v1/queues/made")).toMatchObject({ status: 200, json: { created: false, settings: { partitions: 4 } } });
    expect(await server.call("PATCH", "/v1/queues/made", { max_deliveries: 9, dedup_window_ms: 1_000 })).toMatchObject({
      status: 200,
      json: { settings: { max_deliveries: 9, dedup_window_ms: 1_000, visibility_ms: 5_000 } },
    });
  });
  test("keeps its partitions (409), and is 409 for who wants a new one", async () => {
    await put("/v1/queues/fixed", { partitions: 2 });
    for (const answer of [
      await put("/v1/queues/fixed", { partitions: 3 }),
      await server.call("PATCH", "/v1/queues/fixed", { partitions: 3 }),
    ])
      expect(answer).toMatchObject({ status: 409, json: { code: "queue_fixed", field: "partitions", expected: "2" } });
    expect(await put("/v1/queues/fixed", {}, { "if-none-match": "*" })).toMatchObject({ status: 409, json: { code: "queue_exists" } });
    expect(await put("/v1/queues/fixed-2", {}, { "if-none-match": "*" })).toMatchObject({ status: 201 });
  });
  test("that is not there is 404 for everything but a consume", async () => {
    for (const [method, path, body] of [
      ["PATCH", "/v1/queues/none", {}],
      ["DELETE", "/v1/queues/none", undefined],
      ["GET", "/v1/queues/none", undefined],
      ["POST", "/v1/queues/none/pause", undefined],
      ["GET", "/v1/queues/none/messages", undefined],
      ["GET", "/v1/queues/none/dlq", undefined],
      ["DELETE", "/v1/queues/none/messages", undefined],
      ["POST", "/v1/queues/none/dlq/redrive", undefined],
      ["PUT", "/v1/queues/none/groups/g", undefined],
      ["DELETE", "/v1/queues/none/groups/g", undefined],
    ] as const)
      expect(await server.call(method, path, body), `${method} ${path}`).toMatchObject({ status: 404, json: { code: "queue_unknown" } });
    expect(await post("/v1/queues/none/consume")).toMatchObject({ status: 200, json: { messages: [] } });
  });
  test("is listed by prefix, in pages", async () => {
    for (const name of ["list/é", "list/a", "list/b"]) await put(`/v1/queues/${encodeURIComponent(name)}`);
    const first = (await get("/v1/queues?prefix=list/&limit=2")).json as unknown as { queues: { name: string }[]; next_cursor: string };
    expect(first.queues.map((queue) => queue.name)).toEqual(["list/a", "list/b"]);
    expect(await get(`/v1/queues?prefix=list/&limit=2&cursor=${first.next_cursor}`)).toMatchObject({
      json: { queues: [{ name: "list/é" }], next_cursor: null },
    });
  });
  test("shows numbers, groups, storage and durability; is deleted", async () => {
    await post("/v1/queues/shown/messages", { messages: [{ body: 1 }, { body: 2 }] });
    const [receipt] = receiptsOf(await post("/v1/queues/shown/consume", { group: "g" }));
    expect(await get("/v1/queues/shown")).toMatchObject({
      status: 200,
      json: {
        backend: "memory",
        durability: "memory",
        totals: { messages: 2, produced: 2, dead: 0 },
        groups: [{ group: "g", ready: 1, leased: 1 }],
        partitions: [{ partition: 0, leader: null, messages: 2 }],
      },
    });
    await post("/v1/queues/shown/ack", { receipts: [receipt] });
    expect(await server.call("DELETE", "/v1/queues/shown")).toMatchObject({ status: 200, json: { deleted: true, name: "shown" } });
    expect((await get("/v1/queues/shown")).status).toBe(404);
  });
  test("hands out nothing while paused", async () => {
    await post("/v1/queues/pausing/messages", { body: 1 });
    expect(await post("/v1/queues/pausing/pause")).toMatchObject({ status: 200, json: { settings: { paused: true } } });
    expect(messagesOf(await post("/v1/queues/pausing/consume"))).toEqual([]);
    expect(await post("/v1/queues/pausing/resume")).toMatchObject({ status: 200, json: { settings: { paused: false } } });
    expect(messagesOf(await post("/v1/queues/pausing/consume"))).toHaveLength(1);
  });
  test("has groups: made once, deleted, unknown", async () => {
    await put("/v1/queues/grouped");
    expect(await put("/v1/queues/grouped/groups/g", { start: "latest" })).toMatchObject({ status: 201, json: { created: true } });
    expect(await put("/v1/queues/grouped/groups/g")).toMatchObject({ status: 200, json: { queue: "grouped", group: "g", created: false } });
    expect(await server.call("DELETE", "/v1/queues/grouped/groups/g")).toMatchObject({ status: 200, json: { deleted: true } });
    expect(await server.call("DELETE", "/v1/queues/grouped/groups/g")).toMatchObject({ status: 404, json: { code: "group_unknown" } });
  });
  test("has a limit of groups, which one more is told: made or consumed by", async () => {
    await put("/v1/queues/crowded");
    for (let group = 0; group < 64; group++) expect((await put(`/v1/queues/crowded/groups/g${group}`)).status).toBe(201);
    const tooMany = { status: 429, json: { code: "quota_exceeded", limit: "groups", max: 64, retryable: true } };
    expect(await put("/v1/queues/crowded/groups/one-more")).toMatchObject(tooMany);
    expect(await post("/v1/queues/crowded/consume", { group: "one-more" })).toMatchObject(tooMany);
    expect(await post("/v1/queues/crowded/consume", { group: "one-more", wait_ms: 5_000 })).toMatchObject(tooMany);
    expect((await put("/v1/queues/crowded/groups/g0")).status).toBe(200);
  });
  test("may have any name of 1 to 512 bytes, reserved words of the aliases too", async () => {
    for (const name of ["produce", "a/b", "é:%", " ", "é".repeat(256)])
      expect((await put(`/v1/queues/${encodeURIComponent(name)}`)).json).toMatchObject({ name });
    expect(await put(`/v1/queues/${"é".repeat(257)}`)).toMatchObject({ status: 400, json: { field: "queue" } });
  });
});

describe("produce and consume", () => {
  test.each<[string, unknown]>([
    ["an object", { order: 7, lines: [1, 2.5, null, "é"] }],
    ["null", null],
    ["false", false],
    ["a number", 1e300],
    ["a text with a lone surrogate", "\ud800"],
    ["an empty text", ""],
    ["a list", []],
    ["fields that we have too", { request_id: "r", body: 1, key: "k" }],
  ])("%s comes back as it was", async (name, body) => {
    const queue = encodeURIComponent(`json ${name}`);
    const produced = await post(`/v1/queues/${queue}/messages`, { body, key: "k", priority: 2, headers: { trace: "t" } });
    expect(produced).toMatchObject({
      status: 201,
      json: { ack: "memory", messages: [{ partition: 0, sequence: "1", duplicate: false }] },
    });
    const consumed = await post(`/v1/queues/${queue}/consume`);
    expect(consumed.headers["cache-control"]).toBe("no-store");
    const [message] = messagesOf(consumed);
    expect(message).toMatchObject({
      body,
      headers: { "content-type": "application/json", trace: "t" },
      key: "k",
      priority: 2,
      acquired: 1,
      deliveries: 0,
    });
    expect(produced.json).toMatchObject({ message_ids: [message?.id] });
  });
  test("what is asked for is passed on, and what was reached is told", async () => {
    for (const ack of ["primary", "aof", "replicas:2", "quorum"])
      expect(await post("/v1/queues/asked/messages", { body: 1, ack })).toMatchObject({ status: 201, json: { ack } });
    expect(await post("/v1/queues/asked/messages", { messages: [{ body: 1 }], ack: "aof" })).toMatchObject({ json: { ack: "aof" } });
    for (const ack of ["all", "replicas:0", "replicas:10", "memory", 1])
      expect(await post("/v1/queues/asked/messages", { body: 1, ack })).toMatchObject({ status: 400, json: { field: "ack" } });
    const { json } = await server.call("GET", "/v1/queues/asked");
    expect(json).toMatchObject({ totals: { messages: 5 } });
  });

  test("other content travels as base64", async () => {
    const body_base64 = Buffer.from([0, 255, 1]).toString("base64");
    await post("/v1/queues/bytes/messages", { body_base64, headers: { "Content-Type": "image/png" } });
    expect(messagesOf(await post("/v1/queues/bytes/consume"))[0]).toMatchObject({
      body: null,
      body_base64,
      headers: { "Content-Type": "image/png" },
      key: null,
    });
  });
  test.each([
    ["no JSON", Buffer.from("{"), null],
    ["JSON too deep to be written", Buffer.from("[".repeat(5_000) + "]".repeat(5_000)), null],
    ["not UTF-8", Buffer.from([0xff]), null],
    ["JSON of a kind", Buffer.from('{"a":1}'), { a: 1 }],
  ])("what calls itself JSON and is %s", async (name, bytes, body) => {
    const queue = encodeURIComponent(`claims ${name}`);
    await post(`/v1/queues/${queue}/messages`, {
      body_base64: bytes.toString("base64"),
      headers: { "content-type": "application/problem+json; charset=utf-8" },
    });
    const [message] = messagesOf(await post(`/v1/queues/${queue}/consume`));
    expect(message?.body).toEqual(body);
    expect("body_base64" in (message ?? {})).toBe(body === null);
  });

  test("field names of the documents", async () => {
    for (const name of ["body", "message", "data", "payload"]) {
      await post("/v1/queues/fields/messages", { [name]: name });
      const consumed = await post("/v1/queues/fields/consume", { group_name: "g", consumer_id: "c", timeout: 0.01 });
      expect(messagesOf(consumed)[0]?.body).toBe(name);
    }
  });
  test("a batch keeps its order; every group gets all of it; `ack: auto` settles at once", async () => {
    expect(await post("/v1/queues/batch/messages", { messages: [{ body: 1 }, { body: 2 }, { body: 3 }] })).toMatchObject({
      status: 201,
      json: { messages: [{ sequence: "1" }, { sequence: "2" }, { sequence: "3" }] },
    });
    for (const group of ["a", "b"])
      expect(messagesOf(await post("/v1/queues/batch/consume", { group, max: 10, ack: "auto" })).map((message) => message.body)).toEqual([
        1, 2, 3,
      ]);
    queues.leasesEnd();
    expect(messagesOf(await post("/v1/queues/batch/consume", { group: "a", max: 10 }))).toEqual([]);
  });
  test("a dedup id stores once; an Idempotency-Key answers twice the same, and another body is 422 (W-48)", async () => {
    const first = await post("/v1/queues/once/messages", { body: 1, dedup_id: "d" });
    expect(await post("/v1/queues/once/messages", { body: 1, dedup_id: "d" })).toMatchObject({
      json: { message_ids: first.json["message_ids"], messages: [{ duplicate: true }] },
    });
    const keyed = await post("/v1/queues/once/messages", { body: { request_id: "x" } }, { "idempotency-key": "k" });
    expect((await post("/v1/queues/once/messages", { body: { request_id: "x" } }, { "idempotency-key": "k" })).text).toBe(keyed.text);
    // A field of the message, not of the call.
    expect(await post("/v1/queues/once/messages", { body: { request_id: "y" } }, { "idempotency-key": "k" })).toMatchObject({
      status: 422,
      json: { code: "idempotency_key_reused" },
    });
    expect(await post("/v1/queues/once/messages", { body: 1, request_id: "in-body" })).toMatchObject({ status: 201 });
    expect((await get("/v1/queues/once")).json).toMatchObject({ totals: { produced: 3 } });
  });
  test("a full queue is 429 with Retry-After and the limit", async () => {
    await put("/v1/queues/small", { max_messages: 1 });
    await post("/v1/queues/small/messages", { body: 1 });
    expect(await post("/v1/queues/small/messages", { body: 2 })).toMatchObject({
      status: 429,
      headers: { "retry-after": "1" },
      json: { code: "queue_full", retryable: true, limit: "messages", max: 1 },
    });
  });
  test("without QUEUE_AUTO_CREATE an unknown queue is 404", async () => {
    const strict = await serve(host.api, { env: { QUEUE_AUTO_CREATE: "false" } });
    expect(await strict.call("POST", "/v1/queues/q/messages", { body: 1 })).toMatchObject({ status: 404, json: { code: "queue_unknown" } });
    await strict.http.close(0);
  });
  test("a wait is answered when something comes; the deadline is the wait and the request timeout", async () => {
    const waiting = post("/v1/queues/poll/consume", { wait_ms: 60_000 });
    await until(() => queues.waiting === 1, "a waiting consumer");
    await post("/v1/queues/poll/messages", { body: "now" });
    expect(messagesOf(await waiting)[0]?.body).toBe("now");
    expect(queues.calls.findLast((call) => call.name === "consume")?.options.timeoutMs).toBe(60_000 + server.config.http.requestTimeoutMs);
  });
  test("a client that goes away abandons its wait", async () => {
    const own = await serve(host.api, { queues });
    const port = await own.http.listen();
    const before = queues.abandoned.length;
    const body = JSON.stringify({ wait_ms: 60_000, consumer: "gone" });
    const head = `POST /v1/queues/gone/consume HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
    const socket = connect(port, "127.0.0.1", () => socket.write(head + body));
    await until(() => queues.waiting === 1, "a waiting consumer");
    socket.destroy();
    await until(() => queues.abandoned.length === before + 1, "an abandoned wait");
    expect(queues.abandoned.at(-1)).toMatchObject({ queue: "gone", consumer: "gone" });
    await own.http.close(0);
  });
});

describe("receipts", () => {
  test("all held: 200; else 409 that names each, and those held took effect (W-40)", async () => {
    await post("/v1/queues/acks/messages", { messages: [{ body: 1 }, { body: 2 }, { body: 3 }] });
    const [one = "", two = "", three = ""] = receiptsOf(await post("/v1/queues/acks/consume", { max: 3 }));
    expect(await post("/v1/queues/acks/ack", { receipts: [one] })).toMatchObject({
      status: 200,
      json: { settled: 1, results: [{ receipt: one, outcome: "settled" }] },
    });
    expect(await post("/v1/queues/acks/ack", { receipts: [two, one, "nonsense"] })).toMatchObject({
      status: 409,
      json: {
        code: "receipt_stale",
        results: [
          { receipt: two, outcome: "settled" },
          { receipt: one, outcome: "unknown" },
          { receipt: "nonsense", outcome: "foreign" },
        ],
      },
    });
    expect((await post("/v1/queues/acks/ack", { receipts: ["nonsense"] })).json).toMatchObject({
      detail: expect.stringContaining("not a receipt of this queue in this cluster"),
      next: expect.not.stringContaining("stale"),
      results: [{ outcome: "foreign" }],
    });
    queues.leasesEnd();
    expect(messagesOf(await post("/v1/queues/acks/consume", { max: 3 }))).toMatchObject([{ body: 3, acquired: 2 }]);
    expect(await post("/v1/queues/acks/ack", { receipts: [three] })).toMatchObject({
      status: 409,
      json: { results: [{ outcome: "stale" }] },
    });
  });
  test("nack counts a failure, release does not, extend keeps", async () => {
    await post("/v1/queues/back/messages", { body: 1 });
    const [first] = receiptsOf(await post("/v1/queues/back/consume"));
    expect((await post("/v1/queues/back/extend", { receipts: [first], visibility_ms: 60_000 })).status).toBe(200);
    expect((await post("/v1/queues/back/release", { receipts: [first] })).status).toBe(200);
    const second = await post("/v1/queues/back/consume");
    expect(messagesOf(second)[0]).toMatchObject({ acquired: 2, deliveries: 0 });
    expect((await post("/v1/queues/back/nack", { receipts: receiptsOf(second), delay_ms: 0, reason: "no" })).status).toBe(200);
    expect(messagesOf(await post("/v1/queues/back/consume"))[0]).toMatchObject({ acquired: 3, deliveries: 1 });
  });
  test("dead letters: browse, redrive, purge", async () => {
    const path = "/v1/queues/dying";
    await post(`${path}/messages`, { messages: [{ body: "a" }, { body: "b" }] });
    const receipts = receiptsOf(await post(`${path}/consume`, { max: 2 }));
    expect((await post(`${path}/nack`, { receipts, dead: true, reason: "poison" })).status).toBe(200);
    const page = await get(`${path}/dlq?limit=1`);
    expect(page).toMatchObject({
      status: 200,
      json: { messages: [{ body: "a", state: "dead", dead: { group: "default", reason: "poison", acquired: 1 } }] },
    });
    const { next_cursor: next } = page.json as unknown as { next_cursor: string };
    const [last] = messagesOf(await get(`${path}/messages?state=dead&cursor=${next}`));
    expect(await post(`${path}/dlq/redrive`, { ids: [last?.id] })).toMatchObject({ status: 200, json: { redriven: 1 } });
    expect(messagesOf(await get(`${path}/messages`))).toMatchObject([{ body: "b", state: "ready", dead: null, due_at: null }]);
    expect((await server.call("DELETE", `${path}/messages?dead=true`)).json).toMatchObject({ purged: 1 });
    expect((await server.call("DELETE", `${path}/messages`)).json).toMatchObject({ purged: 1 });
    expect((await post(`${path}/dlq/redrive`)).json).toMatchObject({ redriven: 0 });
    queues.refuse({ type: "queue-full", limit: "messages", max: 2 });
    expect(await post(`${path}/dlq/redrive`)).toMatchObject({ status: 429, json: { code: "queue_full", limit: "messages", max: 2 } });
    queues.refuse({ type: "unavailable", code: "feature_level", retryAfterMs: 1_000, detail: "node3 knows 4" });
    expect(await post(`${path}/dlq/redrive`)).toMatchObject({ status: 503, json: { code: "feature_level" } });
  });
  test("of unknown fate: 504 that names them", async () => {
    const node = new MemoryQueues();
    node.settle = (_request, _options, done) => setImmediate(() => done({ type: "settled", outcomes: ["settled", "unknown-fate"] }));
    const lost = await serve(host.api, { queues: node });
    expect(await lost.call("POST", "/v1/queues/q/ack", { receipts: ["a", "b"] })).toMatchObject({
      status: 504,
      json: { code: "commit_timeout", outcome: "unknown", results: [{ outcome: "settled" }, { outcome: "unknown_fate" }] },
    });
    await lost.http.close(0);
  });
});

describe("fences (rule K5)", () => {
  test("an older fence writes nothing once a newer one was seen", async () => {
    const produce = (fence: unknown) => post("/v1/queues/fenced/messages", { body: 1, if_fence: { lock: "l", fence } });
    expect((await produce("7")).status).toBe(201);
    expect((await produce(7)).status).toBe(201);
    expect(await post("/v1/fences/raise", { queue: "fenced", lock: "l", fencing_token: "9" })).toMatchObject({
      status: 200,
      json: { raised: true, fence: "9" },
    });
    expect(await produce("8")).toMatchObject({ status: 412, json: { code: "fence_behind", highest: "9", retryable: false } });
    expect(await post("/v1/fences/raise", { queue: "fenced", lock: "l", fence: 8 })).toMatchObject({ status: 412 });
    expect(await produce("9007199254740992")).toMatchObject({ status: 400, json: { field: "fence" } });
  });
});

test("counted: what was stored, handed out again, settled, refused", async () => {
  const text = await server.metrics.text();
  for (const line of [
    'queue_produced_total{outcome="stored"}',
    'queue_produced_total{outcome="duplicate"}',
    'queue_produce_refused_total{reason="queue_full"}',
    'queue_consumed_total{delivery="again"}',
    'queue_settled_total{settlement="ack",outcome="settled"}',
    "queue_redriven_total 1",
  ])
    expect(text).toContain(line);
  expect(text).toMatch(/^queues [1-9]/m);
  expect(text).toMatch(/^queue_ready [1-9]/m);
  expect(text).toMatch(/^queue_accepted\{queue="[^"]+"\} [1-9]/m);
  expect(text).toMatch(/^queue_left\{queue="[^"]+",how="purged"\} [1-9]/m);
  const { queue } = (await get("/metrics")).json as unknown as { readonly queue: Record<string, number> };
  expect(queue).toMatchObject({ produced: expect.any(Number), consumed: expect.any(Number), ready: expect.any(Number), dead: 0 });
  expect(queue["produced"]).toBeGreaterThan(10);
});
