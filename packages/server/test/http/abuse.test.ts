import type { NodeHost } from "@trivet/engine";
import { encodeClientFrame, streamProtocol } from "@trivet/wire";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { scripted, serve, startTestNode, until, type Server } from "./harness.ts";

let host: NodeHost;
let server: Server;
let port: number;
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api);
  port = await server.http.listen();
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});

const post = (path: string, body?: unknown, headers?: Record<string, string>) => server.call("POST", path, body, headers);
const waiters = async (name: string): Promise<number> =>
  (JSON.parse((await server.call("GET", `/v1/locks/${name}`)).text) as { readonly waiters: readonly unknown[] }).waiters.length;
const acquire = (name: string, owner: string): string => {
  const body = JSON.stringify({ owner, wait_ms: 60_000 });
  return `POST /v1/locks/${name}/acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
};

describe("a client that went away leaves the line (rule K4)", () => {
  test("also with every pipelined call", async () => {
    await post("/v1/locks/line/acquire", { owner: "holder" });
    const socket = connect(port, "127.0.0.1", () => socket.write(acquire("line", "p1") + acquire("line", "p2") + acquire("line", "p3")));
    await until(async () => (await waiters("line")) === 3, "three waiters");
    socket.destroy();
    await until(async () => (await waiters("line")) === 0, "an empty line");
  });

  test("also when it went while its grant was looked up", async () => {
    const first = await post("/v1/locks/up/acquire", { owner: "a", mode: "shared" });
    await post("/v1/locks/up/acquire", { owner: "b", mode: "shared" });
    let look: (() => void) | null = null;
    const node = scripted(host.api, {
      read: (consistency, timeoutMs, done) => {
        look = () => host.api.read(consistency, timeoutMs, done);
      },
    });
    const slow = await serve(node, { settle: false });
    const at = await slow.http.listen();
    const body = JSON.stringify({ fence: first.json["fence"], wait_ms: 60_000 });
    const socket = connect(at, "127.0.0.1", () =>
      socket.write(
        `POST /v1/locks/up/upgrade HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      ),
    );
    await until(() => look !== null, "the look-up");
    socket.destroy();
    await until(() => slow.http.connections.total === 0, "a closed connection");
    (look as (() => void) | null)?.();
    await until(
      () => host.api.log(1, host.api.status().groups[0]?.lastIndex ?? 0).some((line) => line.command?.type === "cancel"),
      "a cancel",
    );
    await until(async () => (await waiters("up")) === 0, "an empty line");
    await slow.http.close(0);
  });
});

describe("a page of another site", () => {
  const foreign: Record<string, string>[] = [
    { "sec-fetch-site": "cross-site" },
    { origin: "http://evil.example", host: "10.0.0.4:8001" },
    { origin: "null", host: "10.0.0.4:8001" },
  ];
  test.each(foreign)("changes nothing: %o", async (headers) => {
    expect(await post("/lock/foreign", undefined, headers)).toMatchObject({ status: 403, json: { code: "forbidden" } });
  });

  const own: Record<string, string>[] = [
    {},
    { origin: "http://10.0.0.4:8001", host: "10.0.0.4:8001" },
    { origin: "http://node1", host: "NODE1:80" },
    { "sec-fetch-site": "same-origin", origin: "https://proxy.example", host: "node1:8001" },
  ];
  test.each(own)("is told apart from our own page and from programs: %o", async (headers) => {
    expect(await post(`/lock/own-${JSON.stringify(headers).length}`, undefined, headers)).toMatchObject({ status: 200 });
  });

  test("opens no stream: no same-origin policy guards a WebSocket", async () => {
    const status = await new Promise((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/stream`, { origin: "http://evil.example" });
      socket.on("unexpected-response", (_request, response) => resolve(response.statusCode));
      socket.on("open", () => resolve("open"));
      socket.on("error", () => undefined);
    });
    expect(status).toBe(403);
  });
});

describe("what is not text is refused, not repaired: two names must not become one", () => {
  test("a body that is not UTF-8", async () => {
    const payload = Buffer.concat([Buffer.from('{"resource":"x'), Buffer.from([0xff]), Buffer.from('"}')]);
    const answer = await server.raw({ method: "POST", url: "/locks/acquire", headers: { "content-type": "application/json" }, payload });
    expect(answer).toMatchObject({ status: 400, json: { field: "body" } });
  });

  test.each(["/v1/locks?prefix=%ff", "/v1/locks?prefix=%zz", "/locks?limit=5&prefix=%e9"])("the query of %s", async (url) => {
    expect(await server.call("GET", url)).toMatchObject({ status: 400, json: { field: "query" } });
  });

  test.each(["/v1/locks?cursor=_w", "/locks?cursor=_w"])("the cursor of %s", async (url) => {
    expect(await server.call("GET", url)).toMatchObject({ status: 400, json: { field: "cursor" } });
  });

  test("labels and reasons: lone surrogates, too many bytes", async () => {
    for (const label of ["\ud800", "é".repeat(129)])
      expect(await post("/v1/sessions", { label })).toMatchObject({ status: 400, json: { field: "label" } });
    for (const reason of ["\ud800", "é".repeat(257)])
      expect(await post("/v1/locks/x/force-release", { reason })).toMatchObject({ status: 400, json: { field: "reason" } });
    expect(await post("/v1/sessions", { label: "" })).toMatchObject({ status: 201 });
  });

  test("X-Client-Id: UTF-8 like an owner in a body; one that is too long does not become anonymous", async () => {
    const asHeader = Buffer.from("zoë").toString("latin1");
    expect(await post("/lock/client-id", undefined, { "x-client-id": asHeader })).toMatchObject({ status: 200, json: { owner: "zoë" } });
    expect(await post("/lock/client-id-2", undefined, { "x-client-id": "a".repeat(257) })).toMatchObject({
      status: 400,
      json: { field: "X-Client-Id" },
    });
  });

  test.each(["http://[", "http://a:99999", "http://user:pw@a:1", "http://a:1/path", "http://a:1?x", `http://${"a.".repeat(250)}a`])(
    "the address %s of a new member",
    async (url) => {
      let asked = false;
      const node = scripted(host.api, {
        changeMembers: (_change, _timeout, done) => {
          asked = true;
          done({ type: "refused", reason: "asked" });
        },
      });
      const guarded = await serve(node, { settle: false });
      const answer = await guarded.call("POST", "/v1/raft/members", { node: "n9", url });
      expect(asked).toBe(url.includes("a.a"));
      if (!asked) expect(answer).toMatchObject({ status: 400, json: { field: "url" } });
      await guarded.http.close(0);
    },
  );
});

describe("renew looks at whose lease it prolongs", () => {
  test("name and owner must be those of the fence", async () => {
    const { json } = await post("/v1/locks/mine/acquire", { owner: "a" });
    expect(await post("/v1/locks/other/renew", { fence: json["fence"] })).toMatchObject({ status: 412, json: { code: "lock_lost" } });
    for (const ttl of [{}, { ttl_ms: 5_000 }]) {
      expect(await post("/v1/locks/mine/renew", { fence: json["fence"], owner: "b", ...ttl })).toMatchObject({
        status: 403,
        json: { code: "not_holder" },
      });
      expect(await post("/v1/locks/mine/renew", { fence: json["fence"], owner: "a", ...ttl })).toMatchObject({ status: 200 });
    }
  });

  test("a grant of a session is kept by the session, not lost", async () => {
    const session = (await post("/v1/sessions")).json["session_id"];
    const { json } = await post("/v1/locks/kept/acquire", { session_id: session });
    for (const ttl of [{}, { ttl_ms: 5_000 }])
      expect(await post("/v1/locks/kept/renew", { fence: json["fence"], ...ttl })).toMatchObject({
        status: 409,
        json: { code: "conflict" },
      });
  });
});

describe("a stream that invents sessions", () => {
  test("is answered, and nothing of it is remembered; too many unanswered keepalives end it", async () => {
    const answers: (() => void)[] = [];
    const node = scripted(host.api, {
      keepAlive: (sessions, _timeout, done) => void answers.push(() => done({ type: "alive", sessions: [], lost: sessions })),
    });
    const held = await serve(node, { settle: false });
    const socket = new WebSocket(`ws://127.0.0.1:${await held.http.listen()}/v1/stream`);
    let closed = "";
    socket.on("close", (_code, reason) => {
      closed = reason.toString();
    });
    await new Promise((resolve) => socket.once("open", resolve));
    socket.send(encodeClientFrame({ type: "hello", protocol: streamProtocol, caller: "c", label: "", session: 0 }));
    for (let batch = 1; batch <= 128; batch++) socket.send(encodeClientFrame({ type: "keep-alive", batch, sessions: [1_000_000 + batch] }));
    await until(() => answers.length === 128, "128 batches");
    for (const answer of answers.splice(0)) answer();
    for (let batch = 1; batch <= 129; batch++) socket.send(encodeClientFrame({ type: "keep-alive", batch, sessions: [1_000_000 + batch] }));
    await until(() => closed !== "", "a closed stream");
    expect(closed).toBe("overloaded");
    for (const answer of answers) answer();
    await held.http.close(0);
  });
});
