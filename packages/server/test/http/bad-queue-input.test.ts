import { httpLimits } from "@trivet/contract";
import type { NodeHost } from "@trivet/engine";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, type Server } from "./harness.ts";
import { MemoryQueues } from "./memory-queues.ts";

let host: NodeHost;
let server: Server;
const queues = new MemoryQueues();
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api, { queues });
});
afterAll(async () => {
  const { calls } = queues;
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
  // Whatever these tests sent: nothing reached the queues.
  expect(calls).toEqual([]);
});

const send = (url: string, payload: string | Buffer, type = "application/json", method: "POST" | "PUT" | "PATCH" = "POST") =>
  server.raw({ method, url, headers: { "content-type": type }, payload });

const deep = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);
const large = "a".repeat(httpLimits.maxMessageBytes);

describe("messages", () => {
  test.each([
    ["no JSON", "{body", "body", "valid JSON"],
    ["a list", "[]", "body", "object"],
    ["nothing", "{}", "body", "body_base64"],
    ["JSON and bytes", '{"body":1,"body_base64":"AA=="}', "body", "body_base64"],
    ["no base64", '{"body_base64":"%%"}', "body_base64", ""],
    ["base64 of half a byte", '{"body_base64":"A"}', "body_base64", "base64"],
    ["base64 with bits to spare", '{"body_base64":"AB=="}', "body_base64", "base64"],
    ["an infinite number", '{"body":{"a":[1e400]}}', "body", "1.8e308"],
    ["a content type beside JSON", '{"body":1,"headers":{"Content-Type":"text/plain"}}', "headers.Content-Type", "body_base64"],
    ["a header that is no text", '{"body":1,"headers":{"a":1}}', "headers.a", "string"],
    ["a header without name", '{"body":1,"headers":{"":"x"}}', "headers.", "name"],
    ["a header with a lone surrogate", '{"body":1,"headers":{"a":"\\ud800"}}', "headers.a", "UTF-8"],
    ["a header that is too long", JSON.stringify({ body: 1, headers: { a: "b".repeat(2_048) } }), "headers.a", "2048"],
    [
      "too many headers",
      JSON.stringify({ body: 1, headers: Object.fromEntries(Array.from({ length: 32 }, (_each, n) => [`h${n}`, ""])) }),
      "headers",
      "31",
    ],
    ["headers as a list", '{"body":1,"headers":[]}', "headers", "object"],
    ["a key that is no text", '{"body":1,"key":7}', "key", "string"],
    ["an empty key", '{"body":1,"key":""}', "key", ""],
    ["a key of 257 bytes", JSON.stringify({ body: 1, key: `${"é".repeat(128)}a` }), "key", "256 bytes"],
    ["a dedupe id with a lone surrogate", '{"body":1,"dedup_id":"\\udfff"}', "dedup_id", "UTF-8"],
    ["a priority of 4", '{"body":1,"priority":4}', "priority", "3"],
    ["a negative delay", '{"body":1,"delay_ms":-1}', "delay_ms", ">= 0"],
    ["a delay as text", '{"body":1,"delay_ms":"5"}', "delay_ms", "integer"],
    ["a delay over the limit", '{"body":1,"delay_ms":2147483648}', "delay_ms", "2147483647"],
    ["two times", '{"body":1,"delay_ms":1,"due_at":1}', "due_at", "delay_ms"],
    ["a time to live of 0", '{"body":1,"ttl_ms":0}', "ttl_ms", ">= 1"],
    ["an unknown field", '{"body":1,"dedupid":"x"}', "dedupid", "did you mean dedup_id"],
    ["a fence without lock", '{"body":1,"if_fence":{"fence":"1"}}', "if_fence.lock", "needed"],
    ["a fence that is no number", '{"body":1,"if_fence":{"lock":"l","fence":"x"}}', "if_fence.fence", "decimal"],
    ["two names of the content", '{"body":1,"message":2}', "message", "same value"],
    ["no messages", '{"messages":[]}', "messages", ""],
    ["a message beside messages", '{"messages":[{"body":1}],"key":"k"}', "key", "beside"],
    ["one of several without content", '{"messages":[{"body":1},{"key":"k"}]}', "messages[1].body", "needed"],
    ["one of several with a wrong field", '{"messages":[{"body":1,"colour":1}]}', "messages[0].colour", "not a known field"],
    ["1025 messages", JSON.stringify({ messages: Array.from({ length: 1_025 }, () => ({ body: 1 })) }), "messages", "1024"],
    ["__proto__", '{"body":{"__proto__":1}}', "__proto__", "not allowed"],
    ["a field of the content twice", '{"body":{"a":1,"a":2}}', "a", "twice"],
    ["nesting of 65", `{"body":${deep(64)}}`, "body", "64 levels"],
    ["nesting of 200 000", `{"body":${"[".repeat(200_000)}`, "body", "64 levels"],
  ])("%s", async (_name, payload, field, expected) => {
    const answer = await send("/v1/queues/q/messages", payload);
    expect(answer).toMatchObject({ status: 400, json: { code: "bad_request", field } });
    expect(answer.json.expected).toContain(expected);
    expect(answer.json.detail).toContain(field);
  });

  test.each([
    ["/v1/queues/q/messages", JSON.stringify({ body: large })],
    ["/v1/queues/q/messages", JSON.stringify({ body_base64: Buffer.alloc(httpLimits.maxMessageBytes + 1).toString("base64") })],
    ["/v1/queues/q/messages", JSON.stringify({ body: "a".repeat(httpLimits.maxBodyBytes) })],
    ["/queue/q", JSON.stringify({ data: large })],
    ["/queue/produce", JSON.stringify({ topic: "q", message: large })],
    ["/queue/produce", JSON.stringify({ topic: "q", message: "a".repeat(httpLimits.maxBodyBytes) })],
  ])("%s: too large is 413", async (url, payload) => {
    expect(await send(url, payload)).toMatchObject({ status: 413, json: { code: "payload_too_large" } });
  });
  test("a body over the limit is refused by its announced length, before it is sent", async () => {
    const port = await server.http.listen();
    const status = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () =>
        socket.write(
          `POST /queue/q HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${httpLimits.maxMessageBytes + 1}\r\n\r\n{`,
        ),
      );
      socket.once("data", (data) => {
        resolve(data.toString("latin1").slice(9, 12));
        socket.destroy();
      });
      socket.once("error", reject);
    });
    expect(status).toBe("413");
  });
  test.each(["text/plain", "application/x-www-form-urlencoded", "nonsense"])("content type %s", async (type) => {
    for (const url of ["/queue/q", "/v1/queues/q/messages"])
      expect(await send(url, '{"body":1}', type)).toMatchObject({ status: 400, json: { field: "content-type" } });
  });
  test("S0's message: JSON in UTF-8, not too deep", async () => {
    expect(await send("/queue/q", "Hello")).toMatchObject({ status: 400, json: { field: "body" } });
    expect(await send("/queue/q", Buffer.from([0x22, 0xff, 0x22]))).toMatchObject({ status: 400, json: { field: "body" } });
    expect(await send("/queue/q", deep(65))).toMatchObject({ status: 400, json: { expected: expect.stringContaining("64 levels") } });
    expect(await send("/queue/q", "")).toMatchObject({ status: 400, json: { field: "body" } });
    expect(await send("/queue/q", "1e400")).toMatchObject({ status: 400, json: { field: "body" } });
  });
});

describe("everything else", () => {
  test.each<["POST" | "PUT" | "PATCH", string, unknown, string, string]>([
    ["PUT", "/v1/queues/q", { partitions: 0 }, "partitions", ">= 1"],
    ["PUT", "/v1/queues/q", { partitions: 1_025 }, "partitions", "1024"],
    ["PUT", "/v1/queues/q", { partitions: 1.5 }, "partitions", "integer"],
    ["PUT", "/v1/queues/q", { visibility_ms: 1 }, "visibility_ms", "100"],
    ["PUT", "/v1/queues/q", { paused: "yes" }, "paused", "boolean"],
    ["PUT", "/v1/queues/q", { name: "x" }, "name", "not a known field"],
    ["PATCH", "/v1/queues/q", { max_delivery: 1 }, "max_delivery", "not a known field"],
    ["PATCH", "/v1/queues/q", [], "body", "object"],
    ["PUT", "/v1/queues/q/groups/g", { start: "middle" }, "start", "earliest, latest"],
    ["PUT", `/v1/queues/q/groups/${"g".repeat(257)}`, {}, "group", "256"],
    ["POST", "/v1/queues/q/consume", { max: 0 }, "max", ">= 1"],
    ["POST", "/v1/queues/q/consume", { max: 1_025 }, "max", "1024"],
    ["POST", "/v1/queues/q/consume", { wait_ms: 600_001 }, "wait_ms", "600000"],
    ["POST", "/v1/queues/q/consume", { timeout: 601 }, "timeout", "600 seconds"],
    ["POST", "/v1/queues/q/consume", { ack: true }, "ack", "manual, auto"],
    ["POST", "/v1/queues/q/consume", { group: "" }, "group", ""],
    ["POST", "/v1/queues/q/consume", { consumer_id: 5 }, "consumer_id", "string"],
    ["POST", "/v1/queues/q/consume", { partition: 1_024 }, "partition", "1023"],
    ["POST", "/v1/queues/q/ack", {}, "receipts", "needed"],
    ["POST", "/v1/queues/q/ack", { receipts: [] }, "receipts", ""],
    ["POST", "/v1/queues/q/ack", { receipts: "r" }, "receipts", "array"],
    ["POST", "/v1/queues/q/ack", { receipts: ["r", 5] }, "receipts[1]", "string"],
    ["POST", "/v1/queues/q/ack", { receipts: ["r"], delay_ms: 1 }, "delay_ms", "not a known field"],
    ["POST", "/v1/queues/q/nack", { receipts: ["r"], delay_ms: -1 }, "delay_ms", ">= 0"],
    ["POST", "/v1/queues/q/nack", { receipts: ["r"], dead: true, delay_ms: 1 }, "delay_ms", "dead"],
    ["POST", "/v1/queues/q/nack", { receipts: ["r"], reason: "é".repeat(257) }, "reason", "512 bytes"],
    ["POST", "/v1/queues/q/extend", { receipts: ["r"], visibility_ms: 5 }, "visibility_ms", "100"],
    ["POST", "/v1/queues/q/dlq/redrive", { ids: ["a"], limit: 5 }, "limit", "ids"],
    ["POST", "/v1/fences/raise", { queue: "q", lock: "l", fence: -1 }, "fence", ""],
    ["POST", "/v1/fences/raise", { queue: "q", lock: "l", fence: "9007199254740992" }, "fence", "2^53"],
    ["POST", "/v1/fences/raise", { queue: "q", fence: "1" }, "lock", "needed"],
    ["POST", "/queue/create-group", { group_name: "g" }, "queue", "queue_name"],
    ["POST", "/queue/create-group", { queue_name: "\ud800" }, "queue_name", "UTF-8"],
  ])("%s %s %o", async (method, url, body, field, expected) => {
    const answer = await send(url, JSON.stringify(body), "application/json", method);
    expect(answer).toMatchObject({ status: 400, json: { code: "bad_request", field } });
    expect(answer.json.expected).toContain(expected);
  });

  test.each([
    ["GET", "/v1/queues?limit=0", "limit"],
    ["GET", "/v1/queues?colour=red", "colour"],
    ["GET", "/v1/queues?cursor=_w", "cursor"],
    ["GET", "/v1/queues/q/messages?state=gone", "state"],
    ["GET", "/v1/queues/q/messages?cursor=_w", "cursor"],
    ["GET", "/v1/queues/q/dlq?limit=1001", "limit"],
    ["GET", "/queue/q?wait_ms=-1", "wait_ms"],
    ["DELETE", "/v1/queues/q/messages?dead=perhaps", "dead"],
  ] as const)("%s %s", async (method, url, field) => {
    expect(await server.call(method, url)).toMatchObject({ status: 400, json: { field } });
  });
  test("an idempotency key that is too long", async () => {
    expect(await server.call("POST", "/queue/q", {}, { "idempotency-key": "k".repeat(256) })).toMatchObject({
      status: 400,
      json: { field: "Idempotency-Key" },
    });
  });
  test("methods that the paths do not have", async () => {
    for (const [method, url, allow] of [
      ["PUT", "/queue/q", "POST, GET"],
      ["GET", "/v1/queues/q/ack", "POST"],
      ["DELETE", "/v1/ring", "GET"],
    ] as const) {
      const answer = await server.call(method, url);
      expect(answer).toMatchObject({ status: 405, headers: { allow } });
    }
  });
});
