import { httpLimits } from "@trivet/contract";
import type { NodeHost } from "@trivet/engine";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, type Server } from "./harness.ts";
import { MemoryCache } from "./memory-cache.ts";

let host: NodeHost;
let server: Server;
const cache = new MemoryCache();
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api, { cache });
});
afterAll(async () => {
  const { calls } = cache;
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
  // Whatever these tests sent: nothing reached the cache.
  expect(calls).toEqual([]);
});

type Sending = "POST" | "PUT" | "PATCH" | "DELETE";
const send = (method: Sending, url: string, payload: string | Buffer, type = "application/json") =>
  server.raw({ method, url, headers: { "content-type": type }, payload });

const deep = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);
const large = "a".repeat(httpLimits.maxCacheValueBytes);
const key = "/v1/cache/k";

describe("values", () => {
  test.each([
    ["no JSON", "{value", "body", "valid JSON"],
    ["a list", "[]", "body", "object"],
    ["nothing", "{}", "value", "value_base64"],
    ["JSON and bytes", '{"value":1,"value_base64":"AA=="}', "value", "one of"],
    ["a value that is none", '{"value":null,"negative":true}', "value", "one of"],
    ["`negative` that is false", '{"negative":false}', "negative", "true"],
    ["no base64", '{"value_base64":"%%"}', "value_base64", ""],
    ["base64 of half a byte", '{"value_base64":"A"}', "value_base64", "base64"],
    ["an infinite number", '{"value":{"a":[1e400]}}', "value", "1.8e308"],
    ["two names of the value", '{"value":1,"data":2}', "data", "same value"],
    ["a time to live of 0", '{"value":1,"ttl_ms":0}', "ttl_ms", ">= 1"],
    ["a time to live over the limit", '{"value":1,"ttl_ms":2147483648}', "ttl_ms", "2147483647"],
    ["a time to live in seconds that is too long", '{"value":1,"ttl":2147484}', "ttl", "seconds"],
    ["a time to live as text", '{"value":1,"ttl_ms":"5"}', "ttl_ms", "integer"],
    ["tags as text", '{"value":1,"tags":"a"}', "tags", "array"],
    ["17 tags", JSON.stringify({ value: 1, tags: Array.from({ length: 17 }, (_each, n) => `t${n}`) }), "tags", "16"],
    ["a tag twice", '{"value":1,"tags":["a","a"]}', "tags", "duplicate"],
    ["an empty tag", '{"value":1,"tags":[""]}', "tags[0]", ""],
    ["a tag of 257 bytes", JSON.stringify({ value: 1, tags: [`${"é".repeat(128)}a`] }), "tags[0]", "256 bytes"],
    ["a tag with a lone surrogate", '{"value":1,"tags":["\\ud800"]}', "tags[0]", "UTF-8"],
    ["a version that is no number", '{"value":1,"if_version":"new"}', "if_version", "decimal"],
    ["a version beyond 2^53", '{"value":1,"if_version":"9007199254740992"}', "if_version", "2^53"],
    ["two conditions", '{"value":1,"if_version":1,"only_if":"absent"}', "only_if", "if_version"],
    ["an unknown condition", '{"value":1,"only_if":"newer"}', "only_if", "absent, present"],
    ["a token that is none", '{"value":1,"token":"latest"}', "token", "text like"],
    ["a token beyond 2^53", '{"value":1,"token":"1.9007199254740992"}', "token", "token"],
    ["a fence without lock", '{"value":1,"if_fence":{"fence":"1"}}', "if_fence.lock", "needed"],
    ["a fence beyond 2^53", '{"value":1,"if_fence":{"lock":"l","fence":"9007199254740992"}}', "fence", "2^53"],
    ["an unknown field", '{"value":1,"if_versoin":1}', "if_versoin", "did you mean if_version"],
    ["__proto__", '{"value":{"__proto__":1}}', "__proto__", "not allowed"],
    ["a field of the value twice", '{"value":{"a":1,"a":2}}', "a", "twice"],
    ["nesting of 65", `{"value":${deep(64)}}`, "body", "64 levels"],
    ["nesting of 200 000", `{"value":${"[".repeat(200_000)}`, "body", "64 levels"],
  ])("%s", async (_name, payload, field, expected) => {
    const answer = await send("PUT", key, payload);
    expect(answer).toMatchObject({ status: 400, json: { code: "bad_request", field } });
    expect(answer.json.expected).toContain(expected);
    expect(answer.json.detail).toContain(field);
  });

  test.each<[Sending, string, string]>([
    ["PUT", key, JSON.stringify({ value: large })],
    ["PUT", key, JSON.stringify({ value_base64: Buffer.alloc(httpLimits.maxCacheValueBytes + 1).toString("base64") })],
    ["PUT", key, JSON.stringify({ value: "a".repeat(httpLimits.maxBodyBytes) })],
    ["POST", "/cache/k", JSON.stringify({ data: large })],
    ["POST", "/cache/put", JSON.stringify({ key: "k", value: large })],
    ["POST", "/cache/put", JSON.stringify({ key: "k", value: "a".repeat(httpLimits.maxBodyBytes) })],
  ])("%s %s: too large is 413", async (method, url, payload) => {
    expect(await send(method, url, payload)).toMatchObject({ status: 413, json: { code: "payload_too_large" } });
  });
  test("a body over the limit is refused by its announced length, before it is sent", async () => {
    const port = await server.http.listen();
    const status = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () =>
        socket.write(
          `PUT ${key} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${httpLimits.maxBodyBytes + 1}\r\n\r\n{`,
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
    for (const url of ["/cache/k", "/cache/put"])
      expect(await send("POST", url, '{"value":1}', type)).toMatchObject({ status: 400, json: { field: "content-type" } });
    expect(await send("PUT", key, '{"value":1}', type)).toMatchObject({ status: 400 });
  });
  test("bytes that are no UTF-8", async () => {
    expect(await send("PUT", key, Buffer.from([0x7b, 0xff, 0x7d]))).toMatchObject({ status: 400, json: { field: "body" } });
  });
});

describe("everything else", () => {
  test.each<[Sending, string, unknown, string, string]>([
    ["POST", `${key}/increment`, { by: 1.5 }, "by", "integer"],
    ["POST", `${key}/increment`, { by: "1" }, "by", "integer"],
    ["POST", `${key}/increment`, { by: 9_007_199_254_740_992 }, "by", "9007199254740991"],
    ["POST", `${key}/increment`, { value: 1 }, "value", "not a known field"],
    ["POST", "/v1/cache-bulk", {}, "keys", "needed"],
    ["POST", "/v1/cache-bulk", { keys: [] }, "keys", ""],
    ["POST", "/v1/cache-warm", { keys: [] }, "keys", ""],
    ["POST", "/v1/cache-warm", { keys: Array.from({ length: 129 }, (_, at) => `k${at}`) }, "keys", ""],
    ["POST", "/v1/cache-warm", { keys: ["k"], consistency: "stale" }, "consistency", ""],
    ["PUT", "/v1/cache-namespaces/n", { write: "through" }, "write", ""],
    ["PUT", "/v1/cache-namespaces/n", { max_behind: 100_001 }, "max_behind", ""],
    ["PUT", "/v1/cache-namespaces/n", { revalidate_ms: -1 }, "revalidate_ms", ""],
    ["POST", "/v1/cache-bulk", { keys: "k" }, "keys", "array"],
    ["POST", "/v1/cache-bulk", { keys: ["k", ""] }, "keys[1]", ""],
    ["POST", "/v1/cache-bulk", { keys: ["\ud800"] }, "keys[0]", "UTF-8"],
    ["POST", "/v1/cache-bulk", { keys: Array.from({ length: 129 }, (_each, n) => `k${n}`) }, "keys", "128"],
    ["POST", "/v1/cache-bulk", { keys: ["k"], consistency: "eventual" }, "consistency", "linearizable, strict, stale"],
    ["POST", "/v1/cache-invalidate", {}, "tag", "all"],
    ["POST", "/v1/cache-invalidate", { tag: "a", all: true }, "all", "tag"],
    ["POST", "/v1/cache-invalidate", { all: false }, "all", "true"],
    ["POST", "/v1/cache-invalidate", { tag: "" }, "tag", ""],
    ["POST", "/v1/cache-invalidate", { namespace: "é".repeat(257), all: true }, "namespace", "512"],
    ["PUT", "/v1/cache-namespaces/n", { mode: "loose" }, "mode", "write-through, strict, ttl"],
    ["PUT", "/v1/cache-namespaces/n", { policy: "random" }, "policy", "wtinylfu"],
    ["PUT", "/v1/cache-namespaces/n", { origin: "mysql" }, "origin", "postgres"],
    ["PUT", "/v1/cache-namespaces/n", { ttl_ms: -1 }, "ttl_ms", ">= 0"],
    ["PUT", "/v1/cache-namespaces/n", { copy_entries: 16_777_217 }, "copy_entries", "16777216"],
    ["PATCH", "/v1/cache-namespaces/n", { max_entires: 1 }, "max_entires", "did you mean max_entries"],
    ["PATCH", "/v1/cache-namespaces/n", [], "body", "object"],
    ["POST", "/cache/put", { key: "k".repeat(513), value: 1 }, "key", "512"],
    ["POST", "/cache/invalidate", { key: "\ud800" }, "key", "UTF-8"],
    ["POST", "/cache/k", { data: 1, ttl: "soon" }, "ttl", "seconds"],
  ])("%s %s %o", async (method, url, body, field, expected) => {
    const answer = await send(method, url, JSON.stringify(body));
    expect(answer).toMatchObject({ status: 400, json: { code: "bad_request", field } });
    expect(answer.json.expected).toContain(expected);
  });

  test.each([
    ["GET", `${key}?explain=yes`, "explain"],
    ["GET", `${key}?consistency=eventual`, "consistency"],
    ["GET", `${key}?consistency=strict&allow_stale=1`, "allow_stale"],
    ["GET", `${key}?encoding=xml`, "encoding"],
    ["GET", `${key}?namespce=a`, "namespce"],
    ["GET", `${key}?namespace=`, "namespace"],
    ["GET", `/v1/cache/${"%C3%A9".repeat(257)}`, "key"],
    ["GET", "/v1/cache/%FF", "path"],
    ["DELETE", `${key}?if_version=-1`, "if_version"],
    ["DELETE", `${key}?if_version=9007199254740992`, "if_version"],
    ["DELETE", `${key}?fence=1`, "fence_lock"],
    ["DELETE", `${key}?fence_lock=l`, "fence"],
    ["DELETE", `${key}?fence_lock=l&fence=9007199254740992`, "fence"],
    ["GET", "/v1/cache-state?limit=0", "limit"],
    ["GET", "/v1/cache-state?cursor=_w", "cursor"],
    ["GET", "/v1/cache-verify?deep=1", "deep"],
    ["GET", "/v1/cache-namespaces?limit=1001", "limit"],
    ["GET", "/v1/cache-namespaces?cursor=_w", "cursor"],
    ["GET", "/v1/cache-watch?from=", "from"],
    ["GET", "/cache/k?value=1", "value"],
    ["GET", "/cache/state?cursor=_w", "cursor"],
  ] as const)("%s %s", async (method, url, field) => {
    expect(await server.call(method, url)).toMatchObject({ status: 400, json: { field } });
  });
  test("an idempotency key that is too long", async () => {
    expect(await server.call("POST", "/cache/k", { data: 1 }, { "idempotency-key": "k".repeat(256) })).toMatchObject({
      status: 400,
      json: { field: "Idempotency-Key" },
    });
  });
  test("methods that the paths do not have", async () => {
    for (const [method, url, allow] of [
      ["DELETE", "/cache/k", "GET, POST"],
      ["POST", key, "GET, PUT, DELETE"],
      ["GET", `${key}/increment`, "POST"],
      ["POST", "/v1/cache-verify", "GET"],
    ] as const)
      expect(await server.call(method, url)).toMatchObject({ status: 405, headers: { allow } });
  });
});
