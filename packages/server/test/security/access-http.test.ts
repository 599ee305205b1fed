import { connect as connectClient } from "@trivet/client";
import { routeIds, routeOf } from "@trivet/contract";
import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rights } from "../../src/security/rights.ts";
import { serve, startTestNode, type Answer, type Server } from "../http/harness.ts";
import { TestAccess } from "./access.ts";

let host: NodeHost;
let server: Server;
let files: TestAccess;
const lines: string[] = [];
const keys = { admin: "", writer: "", reader: "", billing: "" };
beforeAll(async () => {
  ({ host } = await startTestNode());
  files = new TestAccess();
  for (const role of ["admin", "writer", "reader", "billing"] as const) keys[role] = files.add(role, role);
  server = await serve(host.api, {
    access: files.open(),
    log: { log: (level, event, text, fields) => void lines.push(JSON.stringify({ level, event, text, fields })) },
  });
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
  files.remove();
});

const as = (who: keyof typeof keys, method: Parameters<Server["call"]>[0], url: string, body?: unknown): Promise<Answer> =>
  server.call(method, url, body, { authorization: `Bearer ${keys[who]}` });

describe("without a key", () => {
  test("every path is 401 but probes and documents, before anything else is looked at", async () => {
    for (const id of routeIds) {
      const { method, path } = routeOf(id);
      const { status } = await server.call(method, path.replaceAll(/:[a-z_]+/g, "x"), method === "GET" ? undefined : { nonsense: true });
      if (rights[id] === null) expect(status, id).not.toBe(401);
      else expect(status, id).toBe(401);
    }
  });

  test("so are paths that do not exist, and the stream; the answer says what is wanted", async () => {
    expect((await server.call("GET", "/v1/nowhere")).status).toBe(401);
    const answer = await server.call("GET", "/v1/locks");
    expect(answer.headers["www-authenticate"]).toBe("Bearer");
    expect(answer.json.code).toBe("unauthorized");
    const port = await server.http.listen();
    await expect(connectClient(`http://127.0.0.1:${port}`, { connectTimeoutMs: 2_000 })).rejects.toMatchObject({ code: "unauthorized" });
  });
});

describe("with a key", () => {
  test("a caller does what its role allows, as its own principal", async () => {
    const granted = await as("billing", "POST", "/v1/locks/orders%2F1/acquire", { owner: "b" });
    expect(granted.status, granted.text).toBe(200);
    expect((await as("billing", "POST", "/v1/locks/other/acquire", { owner: "b" })).json).toMatchObject({ code: "forbidden", status: 403 });
    expect((await as("reader", "GET", "/v1/locks")).status).toBe(200);
    expect((await as("reader", "POST", "/v1/locks/a/acquire", { owner: "b" })).status).toBe(403);
    expect((await as("writer", "POST", "/v1/locks/orders%2F1/force-release", { reason: "x" })).status).toBe(403);
    expect((await as("admin", "POST", "/v1/locks/orders%2F1/force-release", { reason: "x" })).status).toBe(200);
    expect((await as("writer", "POST", "/v1/raft/transfer-leader", {})).status).toBe(403);
  });

  test("what a role does not reach is refused, counted and told of", async () => {
    const before = files.said.counted.length;
    expect((await as("billing", "POST", "/v1/locks/other/acquire", { owner: "b" })).status).toBe(403);
    expect(files.said.counted.slice(before)).toEqual(["access_refused_total forbidden"]);
    expect(files.said.lines.at(-1)).toBe('warn access.forbidden key:billing may not write the lock "other".');
  });

  test("a session is only its opener's: others are told that there is none", async () => {
    const opened = await as("billing", "POST", "/v1/sessions", {});
    const path = `/v1/sessions/${String(opened.json["session_id"])}`;
    expect((await as("writer", "GET", path)).status).toBe(404);
    expect((await as("writer", "PUT", `${path}/keepalive`)).status).toBe(404);
    expect((await as("writer", "DELETE", path)).status).toBe(404);
    expect((await as("billing", "GET", path)).status).toBe(200);
    expect((await as("billing", "DELETE", path)).status).toBe(200);
  });

  test("the stream is for those that may write everywhere, and acts for nobody else", async () => {
    const url = `http://127.0.0.1:${await portOf()}`;
    await using trivet = await connectClient(url, { token: keys.writer, routing: "any" });
    await trivet.locks.with("anything", {}, (lock) => lock.assertHeld());
    // What is administration over HTTP is so here.
    const dropping = trivet.execute({ type: "delete-namespace", name: "users", principal: "" });
    await expect(dropping).rejects.toThrow(/may not admin cache/);
    const foreign = await trivet
      .execute({ type: "open-session", ttlMs: 5_000, lockDelayMs: 0, principal: "key:billing", label: "" })
      .catch(String);
    expect(foreign).toMatch(/principal/);
    for (const key of [keys.billing, keys.reader]) {
      await expect(connectClient(url, { token: key, connectTimeoutMs: 2_000 })).rejects.toMatchObject({ code: "forbidden" });
    }
  });

  test("answers say to browsers that nothing is to be guessed, framed or kept", async () => {
    const { headers } = await as("reader", "GET", "/v1/locks");
    expect(headers).toMatchObject({ "x-content-type-options": "nosniff", "x-frame-options": "DENY", "cache-control": "no-store" });
    expect(headers["strict-transport-security"]).toBeUndefined();
  });

  test("no key is in a log line, a metric or an answer", async () => {
    await server.call("GET", "/v1/locks", undefined, { authorization: `Bearer ${keys.admin}x` });
    const secrets = Object.values(keys).map((key) => key.slice(-43));
    const told = [...lines, JSON.stringify(files.said), await server.metrics.text()].join("\n");
    for (const secret of secrets) expect(told).not.toContain(secret);
    expect(await server.metrics.text()).toMatch(/http_requests_total/);
  });
});

test("a caller over its rate is 429 with the time to wait; probes go on, and so do other callers", async () => {
  let now = 0;
  const limited = await serve(host.api, {
    access: files.open(),
    env: { RATE_LIMIT_PER_SECOND: "10", RATE_LIMIT_BURST: "3" },
    now: () => now,
    settle: false,
  });
  const call = (who: keyof typeof keys): Promise<Answer> =>
    limited.call("GET", "/v1/ring", undefined, { authorization: `Bearer ${keys[who]}` });
  for (let n = 0; n < 3; n += 1) expect((await call("reader")).status).toBe(200);
  const refused = await call("reader");
  expect(refused.status).toBe(429);
  expect(refused.json).toMatchObject({ code: "too_many_requests", retry_after_ms: 100 });
  expect((await call("admin")).status).toBe(200);
  expect((await limited.call("GET", "/v1/health/live")).status).toBe(200);
  now += 100;
  expect((await call("reader")).status).toBe(200);
  await limited.http.close(0);
});

const portOf = async (): Promise<number> => {
  const address = server.http.app.server.address();
  return address !== null && typeof address === "object" ? address.port : await server.http.listen();
};
