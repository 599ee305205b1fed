import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import type { NodeHost } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parsePrometheus } from "../observability/prometheus.ts";
import { serve, startTestNode, until, type Server } from "./harness.ts";

let host: NodeHost;
let server: Server;
let port: number;
const peers: { readonly url: string | undefined; readonly head: string }[] = [];
const lines: { readonly level: string; readonly event: string; readonly text: string; readonly fields: unknown }[] = [];
beforeAll(async () => {
  ({ host } = await startTestNode());
  server = await serve(host.api, {
    env: { HTTP_MAX_CONNECTIONS: "20" },
    log: { log: (level, event, text, fields) => void lines.push({ level, event, text, fields }) },
    limits: { headersTimeoutMs: 150, requestTimeoutMs: 300, connectionsCheckingIntervalMs: 50 },
    peer: (request, socket, head) => {
      peers.push({ url: request.url, head: head.toString() });
      socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: trivet-peer-1\r\n\r\n");
    },
  });
  port = await server.http.listen();
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});

/** A raw connection and everything it received until it was closed. */
function raw(...parts: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      for (const part of parts) socket.write(part);
    });
    let received = "";
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      received += text;
    });
    socket.on("close", () => resolve(received));
    socket.on("error", reject);
  });
}
const opened = (): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });
/** How many were refused for this so far, as a scrape tells. */
const refused = async (reason: string): Promise<number> =>
  parsePrometheus(await server.metrics.text())
    .get("http_rejected_connections_total")
    ?.samples.find(({ labels }) => labels["reason"] === reason)?.value ?? 0;
/** What `act` is refused for is counted once, and told once with where it came from. */
async function countedAs(reason: string, act: () => Promise<unknown>): Promise<void> {
  const before = await refused(reason);
  lines.length = 0;
  await act();
  await until(async () => (await refused(reason)) > before, `a refusal as ${reason}`);
  expect(await refused(reason)).toBe(before + 1);
  expect(lines.filter(({ event }) => event === "http.refused")).toEqual([
    {
      level: "warn",
      event: "http.refused",
      text: expect.stringMatching(/^a (?:request|connection) from 127\.0\.0\.1 was refused: /),
      fields: { reason, address: "127.0.0.1" },
    },
  ]);
}
const body = (answer: string): { code?: string } => JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)) as { code?: string };

describe("slow and silent connections", () => {
  test.each([
    ["a connection that never sends a byte", []],
    ["half of the headers", ["POST /v1/locks/a/acquire HTTP/1.1\r\nHost: x\r\n"]],
    [
      "a body that does not come",
      ["POST /v1/locks/a/acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"],
    ],
    [
      "a chunked body that does not end",
      ["POST /v1/locks/a/acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"],
    ],
  ])("%s is 408 and closed, counted and told of", async (_name, parts) => {
    await countedAs("slow", async () => {
      const answer = await raw(...parts);
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
      expect(body(answer).code).toBe("request_timeout");
    });
  });
  test("headers over the limit are 431, counted and told of", async () => {
    await countedAs("headers", async () => {
      const answer = await raw(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${"a".repeat(20_000)}\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 431 /);
      expect(body(answer).code).toBe("headers_too_large");
    });
  });
  test.each([
    "nonsense\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "\u0016\u0003\u0001\u0002\u0000",
  ])("%j is 400, counted and told of", async (text) => {
    await countedAs("malformed", async () => expect(await raw(text)).toMatch(/^HTTP\/1\.1 400 /));
  });
  test("a declared body over the limit is 413 before it is read, counted and told of", async () => {
    await countedAs("body", async () => {
      const answer = await raw(
        "POST /v1/locks/a/acquire HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n",
      );
      expect(answer).toMatch(/^HTTP\/1\.1 413 /);
      expect(body(answer).code).toBe("payload_too_large");
    });
  });
  test("a client that goes away in the middle is not refused", async () => {
    const before = await refused("malformed");
    const socket = await opened();
    socket.write("POST /v1/locks/a/acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
    await until(() => server.http.connections.clients > 0, "the headers");
    socket.resetAndDestroy();
    await until(() => server.http.connections.total === 0, "no connection");
    expect(await refused("malformed")).toBe(before);
  });
  test("a request that comes in pieces is served", async () => {
    const answer = raw("GET /health HT", "TP/1.1\r\nHost: x\r\nConnec", "tion: close\r\n\r\n");
    expect(await answer).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe("connection cap", () => {
  test("above HTTP_MAX_CONNECTIONS clients get 429 with Retry-After; room returns when they leave", async () => {
    const sockets: Socket[] = [];
    for (let index = 0; index < 20; index++) {
      const socket = await opened();
      sockets.push(socket);
      await new Promise<void>((resolve) => {
        socket.once("data", () => resolve());
        socket.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
      });
    }
    expect(server.http.connections.clients).toBe(20);
    await countedAs("total", async () => {
      const answer = await raw("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
      expect(answer).toMatch(/^HTTP\/1\.1 429 /);
      expect(answer.toLowerCase()).toContain("retry-after: 1");
    });
    for (const socket of sockets) socket.destroy();
    await until(() => server.http.connections.clients === 0);
    expect(await raw("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
  });
});

interface Upgraded {
  readonly status: number;
  readonly response: IncomingMessage;
  readonly text: string;
}
function upgrade(path: string, protocol: string, headers: Record<string, string> = {}, payload = ""): Promise<Upgraded> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      port,
      host: "127.0.0.1",
      path,
      agent: false,
      method: payload === "" ? "GET" : "POST",
      headers: { connection: "Upgrade", upgrade: protocol, ...headers },
    });
    request.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: response.statusCode ?? 0, response, text: "" });
    });
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, response, text }));
    });
    request.on("error", reject);
    request.end(payload);
  });
}

describe("upgrades", () => {
  test("peers are handed over with their first bytes", async () => {
    expect((await upgrade("/v1/peer", "trivet-peer-1")).status).toBe(101);
    expect(peers.at(-1)?.url).toBe("/v1/peer");
    await raw("GET /v1/peer HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: trivet-peer-1\r\n\r\nfirst frame");
    expect(peers.at(-1)?.head).toBe("first frame");
  });
  test("h2c without a body is answered in HTTP/1.1 (curl --http2), with a body 426", async () => {
    const answer = await upgrade("/health", "h2c", { "http2-settings": "AAMAAABkAAQCAAAAAAIAAAAA", connection: "Upgrade, HTTP2-Settings" });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({ status: "ok" });
    expect((await upgrade("/v1/locks/a/acquire", "h2c", { "content-type": "application/json" }, '{"owner":"a"}')).status).toBe(426);
  });
  test("another protocol is 426, a WebSocket elsewhere 404", async () => {
    expect((await upgrade("/", "irc")).status).toBe(426);
    expect(
      (await upgrade("/v1/locks", "websocket", { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13" })).status,
    ).toBe(404);
  });
  test("without the peer handler peers are sent to their own port", async () => {
    const other = await serve(host.api);
    const otherPort = await other.http.listen();
    const before = port;
    port = otherPort;
    try {
      expect((await upgrade("/v1/peer", "trivet-peer-1")).status).toBe(403);
    } finally {
      port = before;
      await other.http.close(0);
    }
  });
  test("a reset in the middle of an upgrade does not end the process", async () => {
    const socket = await opened();
    socket.write("GET /v1/peer HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: trivet-peer-1\r\n\r\n");
    socket.resetAndDestroy();
    await new Promise((resolve) => socket.once("close", resolve));
    expect(await raw("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
  });
});
