import type { NodeHost } from "@trivet/engine";
import { createServer, type IncomingMessage, type RequestListener, type Server as NodeServer } from "node:http";
import { type AddressInfo, connect as connectSocket } from "node:net";
import { text as textOf } from "node:stream/consumers";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { serve, startTestNode, until, type Server } from "./harness.ts";
import { MemoryQueues } from "./memory-queues.ts";

let host: NodeHost;
beforeAll(async () => {
  ({ host } = await startTestNode());
});
afterAll(() => new Promise<void>((resolve) => host.api.stop(resolve)));

const opened: Server[] = [];
const plain: NodeServer[] = [];
afterEach(async () => {
  for (const server of opened.splice(0)) await server.http.close(0);
  for (const server of plain.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function node(env: Record<string, string>, queues: MemoryQueues = new MemoryQueues()): Promise<{ server: Server; url: string }> {
  const server = await serve(host.api, { env, queues });
  opened.push(server);
  return { server, url: `http://127.0.0.1:${await server.http.listen()}` };
}
/** A server that is no node of ours, to see what arrives. */
async function stranger(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  plain.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
const nobody = "http://127.0.0.1:1";
const lockNode = (peers: string): Promise<{ server: Server; url: string }> => node({ NODE_ROLES: "lock", QUEUE_NODES: peers });

describe("calls of a service that another node runs (T-14)", () => {
  test("queues are used through a node that has only locks: produce, consume, settle, look", async () => {
    const queues = new MemoryQueues();
    const { url } = await node({ NODE_ROLES: "queue" }, queues);
    const { server } = await lockNode(url);
    const produced = await server.call("POST", "/queue/produce", { queue_name: "jobs", message: { n: 1 } }, { "idempotency-key": "one" });
    expect(produced).toMatchObject({ status: 200, json: { status: "ok" }, headers: { via: "1.1 node1 (trivet)" } });
    // The caller's key came along.
    expect(queues.calls.at(-1)?.options.idempotency).toBeDefined();
    const consumed = await server.call("GET", "/queue/jobs?ack=auto");
    expect(consumed).toMatchObject({ status: 200, json: { message: { n: 1 }, ack_token: null } });
    expect(await server.call("POST", "/v1/queues/jobs/consume", { wait_ms: 5 })).toMatchObject({ status: 200, json: { messages: [] } });
    expect(await server.call("GET", "/v1/queues?prefix=job")).toMatchObject({ status: 200, json: { queues: [{ name: "jobs" }] } });
    expect(await server.call("GET", "/queue/jobs")).toMatchObject({ status: 404, json: { code: "queue_empty", detail: "Queue is empty" } });
    expect((await server.call("POST", "/lock/mine")).status).toBe(200);
    expect(await server.metrics.text()).toContain(`http_passed_on_total{to="${url}"}`);
  });

  test("go to that node whatever the address of the request line says, and with the path as it came", async () => {
    const seen: string[] = [];
    const url = await stranger((request, response) => {
      seen.push(request.url ?? "");
      response.end("{}");
    });
    const elsewhere = await stranger((request, response) => {
      seen.push(`elsewhere ${request.url ?? ""}`);
      response.end("{}");
    });
    const { url: own } = await lockNode(url);
    const path = `${elsewhere}/v1/queues/..\\..\\secret`;
    const socket = connectSocket(Number(new URL(own).port), "127.0.0.1");
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    await textOf(socket);
    expect(seen).toEqual([path]);
  });

  test("locks are used through a node that has only queues, also without a body", async () => {
    const { url } = await node({});
    const { server } = await node({ NODE_ROLES: "queue", RAFT_PEERS: url });
    expect(await server.call("POST", "/lock/passed?lock_type=exclusive")).toMatchObject({ status: 200 });
    expect(await server.call("GET", "/v1/locks/passed")).toMatchObject({ status: 200, json: { name: "passed" } });
    expect(await server.call("POST", "/locks/acquire", {})).toMatchObject({ status: 400, json: { success: false } });
  });

  test("cached values are used through a node that has only locks, S0's and S4's paths too", async () => {
    const { server: cacheNode } = await node({ NODE_ROLES: "cache", NODE_ID: "cache1" });
    const { server } = await node({
      NODE_ROLES: "lock",
      CACHE_PEERS: `http://127.0.0.1:${(cacheNode.http.app.server.address() as AddressInfo).port}`,
    });
    expect(await server.call("POST", "/cache/item:1", { data: { n: 1 } })).toMatchObject({ status: 200, json: { new_data: { n: 1 } } });
    expect(await server.call("GET", "/cache/get?key=item:1")).toMatchObject({ status: 200, json: { value: { n: 1 } } });
    expect(await server.call("GET", "/v1/cache/item:1?explain=1")).toMatchObject({ status: 200, json: { key: "item:1" } });
    expect(await server.call("GET", "/v1/cache/none")).toMatchObject({ status: 404, json: { code: "cache_miss" } });
    // Of the node that answered.
    expect(await server.call("GET", "/v1/cache-state")).toMatchObject({ status: 200, json: { node_id: "cache1" } });
  });

  test("nothing is changed on the way but what is of one connection", async () => {
    const seen: { request: IncomingMessage; body: string }[] = [];
    const url = await stranger((request, response) => {
      void textOf(request).then((body) => {
        seen.push({ request, body });
        response.writeHead(207, { "x-answer": "as it was", "keep-alive": "timeout=5", "content-type": "application/json" });
        response.end('{"n":9007199254740993}');
      });
    });
    const { url: through } = await lockNode(url);
    const answer = await fetch(`${through}/v1/queues/a%2Fb/messages?x=%20y&x=2`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-request-id": "mine",
        "x-client-id": "ann",
        "x-own": "1",
        "x-forwarded-for": "203.0.113.9",
        connection: "close",
      },
      body: '{"body": 9007199254740993 }',
    });
    expect([answer.status, answer.headers.get("x-answer"), answer.headers.get("x-request-id")]).toEqual([207, "as it was", "mine"]);
    expect(await answer.text()).toBe('{"n":9007199254740993}');
    const [{ request, body } = { request: null, body: "" }] = seen;
    expect([request?.method, request?.url, body]).toEqual(["POST", "/v1/queues/a%2Fb/messages?x=%20y&x=2", '{"body": 9007199254740993 }']);
    expect(request?.headers).toMatchObject({
      host: new URL(url).host,
      via: "1.1 node1 (trivet)",
      "x-client-id": "ann",
      "x-forwarded-for": "203.0.113.9, 127.0.0.1",
      "x-forwarded-host": new URL(through).host,
      "x-own": "1",
      "x-request-id": "mine",
    });
  });

  test("a node that is down is passed by; when all are, it is 503 and nothing happened", async () => {
    const { url } = await node({ NODE_ROLES: "queue" });
    const { server } = await lockNode(`${nobody},${url}`);
    for (let call = 0; call < 4; call++) expect((await server.call("POST", "/queue/some", { call })).status).toBe(200);
    const { server: alone } = await lockNode(nobody);
    expect(await alone.call("POST", "/queue/some", {})).toMatchObject({
      status: 503,
      json: { code: "role_unreachable", retryable: true, peers: [nobody] },
      headers: { "retry-after": "1" },
    });
  });

  test("one hop: two nodes that name each other send nothing in circles", async () => {
    const other = await stranger((request, response) => {
      // The other one would send it back with both marks.
      void fetch(`${String(request.headers["x-back"])}${request.url ?? ""}`, { headers: { via: String(request.headers.via) } }).then(
        async (answer) =>
          response.writeHead(answer.status, { "content-type": "application/problem+json; charset=utf-8" }).end(await answer.text()),
      );
    });
    const { url } = await lockNode(other);
    const answer = await fetch(`${url}/v1/queues/q`, { headers: { "x-back": url } });
    expect([answer.status, await answer.json()]).toMatchObject([404, { code: "role_not_enabled", roles: ["lock"], peers: [other] }]);
  });

  test("an answer that is lost is of unknown outcome, unless the call only reads", async () => {
    const url = await stranger((request) => request.socket.destroy());
    const { server } = await lockNode(url);
    expect(await server.call("POST", "/v1/queues/q/messages", { body: 1 })).toMatchObject({
      status: 504,
      json: { code: "commit_timeout", outcome: "unknown", next: expect.stringContaining("Idempotency-Key") },
    });
    expect(await server.call("GET", "/queue/q")).toMatchObject({ status: 504, json: { outcome: "unknown" } });
    expect(await server.call("GET", "/v1/queues/q")).toMatchObject({ status: 503, json: { code: "role_unreachable" } });
  });

  test("a client that leaves ends its wait on the other node too", async () => {
    const queues = new MemoryQueues();
    const { url } = await node({ NODE_ROLES: "queue" }, queues);
    const { url: through } = await lockNode(url);
    const leaving = new AbortController();
    const call = fetch(`${through}/v1/queues/q/consume`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ wait_ms: 600_000 }),
      signal: leaving.signal,
    });
    await until(() => queues.waiting === 1);
    leaving.abort();
    await expect(call).rejects.toThrow();
    await until(() => queues.abandoned.length === 1);
  });

  test("a page of another site is judged by the first node only", async () => {
    const { url } = await node({ NODE_ROLES: "queue" });
    const { server, url: through } = await lockNode(url);
    expect(await server.call("POST", "/queue/q", {}, { "sec-fetch-site": "cross-site" })).toMatchObject({ status: 403 });
    const own = { origin: through, host: new URL(through).host };
    expect((await server.call("POST", "/queue/q", {}, own)).status).toBe(200);
  });
});
