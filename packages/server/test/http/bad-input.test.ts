import { httpLimits } from "@trivet/contract";
import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, type Server } from "./harness.ts";

let host: NodeHost;
let server: Server;
/** Of a leader that founds its cluster. */
const ownCommands: ReadonlySet<string> = new Set(["set-node", "raise-level"]);
/** Commands in the log that a client asked for. */
function clientCommands(): readonly string[] {
  const group = host.api.status().groups[0];
  const lines = group === undefined ? [] : host.api.log(group.firstIndex, group.lastIndex);
  return lines.flatMap((line) => (line.command === null || ownCommands.has(line.command.type) ? [] : [line.command.type]));
}
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api);
});
afterAll(async () => {
  // Whatever these tests sent: nothing reached the log.
  const commands = clientCommands();
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
  expect(commands).toEqual([]);
});

const path = "/v1/locks/a/acquire";
const json = (payload: string, type = "application/json") =>
  server.raw({ method: "POST", url: path, headers: { "content-type": type }, payload });

test("a call without a body is told to send JSON", async () => {
  const { json: problem } = await server.call("POST", path);
  expect(problem).toMatchObject({
    code: "bad_request",
    field: "body",
    expected: "object",
    detail: expect.stringContaining("content-type: application/json"),
  });
});

test.each([
  ["POST", "/v1/locks/orders/42/acquire", "/v1/locks/orders%2F42/acquire"],
  ["POST", "/v1/queues/a/b/c/messages", "/v1/queues/a%2Fb%2Fc/messages"],
  ["GET", "/v1/cache/items/7", "/v1/cache/items%2F7"],
])("%s %s, which is no path, is told how a / in a name is written", async (method, wrong, right) => {
  const { json: problem, status } = await server.call(method as "GET", wrong);
  expect(status).toBe(404);
  expect(problem).toMatchObject({ code: "not_found", next: expect.stringContaining(`%2F: ${method} ${right}.`) });
});

test("a path that no name explains is told where the paths are", async () => {
  expect((await server.call("GET", "/v2/locks")).json).toMatchObject({ code: "not_found", next: "/docs lists every path." });
});

describe("bodies that are not what they should be: 400 naming the field, nothing changes", () => {
  test.each([
    ["no JSON", "{owner", "body", "valid JSON"],
    ["a truncated body", '{"owner":"a"', "body", "position 13"],
    ["an array", "[]", "body", "object"],
    ["a string", '"owner"', "body", "object"],
    ["a number", "1", "body", "object"],
    ["null", "null", "body", "object"],
    ["a number as owner", '{"owner":1}', "owner", "string"],
    ["null as owner", '{"owner":null}', "owner", "string"],
    ["an empty owner", '{"owner":""}', "owner", ""],
    ["an owner of 257 bytes", JSON.stringify({ owner: "é".repeat(129) }), "owner", "256 bytes"],
    ["an owner with a lone surrogate", '{"owner":"\\ud800"}', "owner", "UTF-8"],
    ["an unknown field", '{"owner":"a","colour":"red"}', "colour", "not a known field"],
    ["an unknown mode", '{"owner":"a","mode":"wild"}', "mode", "exclusive, shared, update"],
    ["a text where a number belongs", '{"owner":"a","ttl_ms":"5000"}', "ttl_ms", "integer"],
    ["a fraction", '{"owner":"a","ttl_ms":5000.5}', "ttl_ms", "integer"],
    ["a number too large", '{"owner":"a","ttl_ms":1e300}', "ttl_ms", ""],
    ["a negative wait", '{"owner":"a","wait_ms":-1}', "wait_ms", ">= 0"],
    ["a wait too long", '{"owner":"a","wait_ms":600001}', "wait_ms", "600000"],
    ["a flag that is no flag", '{"owner":"a","reentrant":"yes"}', "reentrant", "boolean"],
    ["a session id that is no number", '{"session_id":"abc"}', "session_id", "decimal"],
    ["a negative session id", '{"session_id":-1}', "session_id", ""],
    ["an object as session id", '{"session_id":{}}', "session_id", ""],
    ["two permits", '{"owner":"a","permits":2,"of":3}', "permits", "1"],
    ["a semaphore of size 0", '{"owner":"a","permits":1,"of":0}', "of", ""],
    ["a field twice", '{"owner":"a","owner":"b"}', "owner", "twice"],
    ["a field twice under two names", '{"owner":"a","client_id":"b"}', "client_id", "owner"],
    ["__proto__", '{"owner":"a","__proto__":{"x":1}}', "__proto__", "not allowed"],
    ["an escaped __proto__", '{"owner":"a","\\u005f_proto__":{"x":1}}', "__proto__", "not allowed"],
    ["constructor.prototype", '{"owner":"a","constructor":{"prototype":{"x":1}}}', "constructor", ""],
    ["a NUL between", '{"owner":"a"}\u0000', "body", "end of the text"],
    ["a byte order mark", '\uFEFF{"owner":"a"}', "body", ""],
    ["nesting of 65", `{"owner":${"[".repeat(64)}${"]".repeat(64)}}`, "body", "64 levels"],
    ["nesting of 200 000", "[".repeat(200_000), "body", "64 levels"],
    ["nesting of 200 000 objects", '{"a":'.repeat(200_000), "body", "64 levels"],
  ])("%s", async (_name, payload, field, expected) => {
    const answer = await json(payload);
    expect(answer).toMatchObject({ status: 400, json: { code: "bad_request", field, retryable: false } });
    expect(answer.json.expected).toContain(expected);
    expect(answer.json.detail).toContain(field);
  });

  test.each([
    ["/locks/acquire", { resorce: "r1" }, "resorce", "resorce: not a known field here (did you mean resource?)."],
    ["/locks/acquire", {}, "name", "name: needed, but missing (also accepted: resource, lock_name, lock_id)."],
    [path, { owner: "a", ttl: -5 }, "ttl", "ttl: expected at least 0.1 seconds."],
    [path, { owner: "a", timeout: "soon" }, "timeout", "timeout: expected a number of seconds."],
    [path, { owner: "a", ttl: 80_000 }, "ttl", "ttl: at most 3600000 ms (LOCK_MAX_TTL_MS)."],
    [path, { owner: "a", ttl_ms: -5 }, "ttl_ms", "ttl_ms: expected >= 100."],
    [path, { owner: "a", reentrent: true }, "reentrent", "reentrent: not a known field here (did you mean reentrant?)."],
    [path, { client: 5 }, "client", "client: expected string."],
  ])("%s %o names the field as it was sent", async (url, body, field, text) => {
    const answer = await server.call("POST", url, body);
    expect(answer).toMatchObject({ status: 400, json: { code: "bad_request", field } });
    expect(answer.json.detail).toContain(text);
  });

  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/xml",
    "application/jsonx",
    "nonsense",
  ])("content type %s", async (type) => {
    expect(await json('{"owner":"a"}', type)).toMatchObject({ status: 400, json: { field: "content-type", expected: "application/json" } });
  });
  test("a charset behind the content type is fine", async () => {
    expect(await json('{"owner":1}', "application/json; charset=utf-8")).toMatchObject({ json: { field: "owner" } });
  });
  test("a body where none is taken, and none where one is needed", async () => {
    expect(await server.raw({ method: "POST", url: path })).toMatchObject({ status: 400, json: { field: "body" } });
    expect(await server.raw({ method: "POST", url: path, headers: { "content-type": "application/json" }, payload: "" })).toMatchObject({
      status: 400,
      json: { field: "body" },
    });
  });
  test("a body over the limit is 413", async () => {
    expect(await json(`{"owner":"${"a".repeat(httpLimits.maxBodyBytes)}"}`)).toMatchObject({
      status: 413,
      json: { code: "payload_too_large" },
    });
  });
});

const at = (name: string) => server.call("GET", `/v1/locks/${encodeURIComponent(name)}?consistency=stale`);

describe("paths and queries", () => {
  test("names of 1 to 512 bytes, counted in UTF-8", async () => {
    expect((await at("a".repeat(512))).status).toBe(200);
    expect((await at("é".repeat(256))).status).toBe(200);
    expect(await at("a".repeat(513))).toMatchObject({ status: 400, json: { field: "name" } });
    expect(await at("é".repeat(257))).toMatchObject({
      status: 400,
      json: { field: "name", expected: "a name of 1 to 512 bytes of UTF-8" },
    });
  });
  test("a name of thousands of characters is refused before routing", async () => {
    const answer = await server.raw({ method: "GET", url: `/v1/locks/${"a".repeat(5_000)}` });
    expect([400, 404, 414]).toContain(answer.status);
  });
  test.each(["a%2Fb", "a:b", "%C3%A9", "%25", "%20", "a;b", "a%00b", "%F0%9F%94%92"])("the name %s travels by path", async (name) => {
    expect((await server.call("GET", `/v1/locks/${name}?consistency=stale`)).json).toMatchObject({ name: decodeURIComponent(name) });
  });
  test.each(["/v1/locks/%zz", "/v1/locks/%ff", "/v1/locks/%"])("%s is a bad path", async (url) => {
    expect(await server.raw({ method: "GET", url })).toMatchObject({ status: 400 });
  });
  test("unknown and doubled query parameters are refused", async () => {
    expect(await server.call("GET", "/v1/locks?colour=red")).toMatchObject({ status: 400, json: { field: "colour" } });
    expect(await server.call("GET", "/v1/locks?limit=1&limit=2")).toMatchObject({ status: 400, json: { field: "limit" } });
    expect(await server.call("POST", "/v1/locks/a/acquire?wait_ms=5", { owner: "a" })).toMatchObject({
      status: 400,
      json: { field: "wait_ms" },
    });
    expect(await server.call("GET", "/v1/locks/a?consistency=eventual")).toMatchObject({ status: 400, json: { field: "consistency" } });
  });
  test("an idempotency key that is too long, and a session id that is no number", async () => {
    expect(await server.call("POST", path, { owner: "a" }, { "idempotency-key": "k".repeat(256) })).toMatchObject({
      status: 400,
      json: { field: "Idempotency-Key" },
    });
    expect(await server.call("GET", "/v1/sessions/abc")).toMatchObject({ status: 400, json: { field: "session_id" } });
    expect(await server.call("POST", "/v1/fences/check", { name: "a", fence: "-1" })).toMatchObject({
      status: 400,
      json: { field: "fence" },
    });
    expect(await server.call("POST", "/v1/fences/check", { name: "a", fence: "9007199254740992" })).toMatchObject({
      status: 400,
      json: { field: "fence" },
    });
    expect(await server.call("POST", "/v1/fences/check", { name: "\ud800", fence: "1" })).toMatchObject({
      status: 400,
      json: { field: "name" },
    });
  });
});
