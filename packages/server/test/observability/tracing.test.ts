import { connect as connectClient } from "@trivet/client";
import { SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { NodeHost } from "@trivet/engine";
import { createServer, type IncomingHttpHeaders, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ConfigError } from "../../src/config/index.ts";
import { startExport } from "../../src/observability/trace-export.ts";
import { Tracing } from "../../src/observability/tracing.ts";
import { scripted, serve, startTestNode, until, type Server } from "../http/harness.ts";
import { follow } from "../http/sse.ts";
import { noFault, rememberSpans, type Ended } from "./spans.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const parent = `00-${traceId}-b7ad6b7169203331-01`;

let host: NodeHost;
let server: Server;
let spans: ReturnType<typeof rememberSpans>;
beforeAll(async () => {
  ({ host } = await startTestNode());
});
afterAll(() => new Promise<void>((resolve) => host.api.stop(resolve)));
beforeEach(async () => {
  spans = rememberSpans();
  server = await serve(host.api, { tracing: new Tracing("node1", "0.1.0", noFault) });
  await until(() => spans.ended.length > 0, "the spans of the first health checks");
  spans.ended.length = 0;
});
afterEach(async () => {
  await server.http.close(0);
  spans.remove();
});

const ended = async (...names: readonly string[]): Promise<readonly Ended[]> => {
  await until(() => names.every((name) => spans.ended.some((span) => span.name === name)), `spans ${names.join(", ")}`);
  return names.map((name) => spans.ended.find((span) => span.name === name) as Ended);
};

describe("a call", () => {
  test("is a span that continues its caller's trace; its command through the log is a child", async () => {
    await server.call("POST", "/v1/locks/secret-name/acquire", { owner: "o" }, { traceparent: parent, tracestate: "vendor=1" });
    const [call, command] = await ended("POST /v1/locks/:name/acquire", "node.submit");
    expect(call).toMatchObject({
      kind: SpanKind.SERVER,
      traceId,
      parent: "b7ad6b7169203331",
      attributes: { "http.route": "/v1/locks/:name/acquire", "http.response.status_code": 200, "trivet.node": "node1" },
      status: { code: SpanStatusCode.UNSET },
    });
    expect(command).toMatchObject({
      kind: SpanKind.INTERNAL,
      traceId,
      parent: call?.spanId,
      attributes: { "trivet.command": "acquire", "trivet.outcome": "answered" },
    });
    expect(JSON.stringify(spans.ended)).not.toContain("secret-name");
  });

  test.each([
    ["none", {}],
    ["not one", { traceparent: "nonsense" }],
    ["of zeros", { traceparent: `00-${"0".repeat(32)}-b7ad6b7169203331-01` }],
    ["of a span of zeros", { traceparent: `00-${traceId}-${"0".repeat(16)}-01` }],
    ["of a version that is none", { traceparent: parent.replace("00-", "ff-") }],
    ["with more than its version has", { traceparent: `${parent}-more` }],
    ["in capitals", { traceparent: parent.toUpperCase() }],
  ])("begins a trace of its own where the traceparent is %s", async (_name, headers) => {
    await server.call("GET", "/v1/locks/a", undefined, headers);
    const [call, read] = await ended("GET /v1/locks/:name", "node.read");
    expect(call?.parent).toBe("");
    expect(call?.traceId).not.toBe(traceId);
    expect(read).toMatchObject({ parent: call?.spanId, traceId: call?.traceId });
  });

  test("that is refused, or of no path, is a span as well; one that fails says so", async () => {
    await server.call("GET", "/v1/nowhere");
    const [unknown] = await ended("GET other");
    expect(unknown).toMatchObject({ attributes: { "http.response.status_code": 404 }, status: { code: SpanStatusCode.UNSET } });
    const deaf = scripted(host.api, {
      submit: (_command, _options, done) => {
        done({ type: "unavailable", code: "no_leader", retryAfterMs: 100, detail: "" });
        return { requestId: "r", abandon: () => undefined };
      },
    });
    const failing = await serve(deaf, { tracing: new Tracing("node1", "0.1.0", noFault) });
    await failing.call("POST", "/v1/locks/a/release", { owner: "o", fence: "1" });
    const [call, command] = await ended("POST /v1/locks/:name/release", "node.submit");
    expect(call?.status).toEqual({ code: SpanStatusCode.ERROR, message: "HTTP 503" });
    expect(command?.status).toEqual({ code: SpanStatusCode.ERROR, message: "unavailable" });
    await failing.http.close(0);
  });

  test("of messages and cached values has what it asks of them below it", async () => {
    await server.call("PUT", "/v1/cache/k", { value: 1 });
    await server.call("GET", "/v1/cache/k");
    await server.call("POST", "/v1/queues/q/messages", { body: 1 });
    const [put, stored] = await ended("PUT /v1/cache/:key", "cache.put");
    expect(stored?.parent).toBe(put?.spanId);
    const [get, read] = await ended("GET /v1/cache/:key", "cache.get");
    expect(read?.parent).toBe(get?.spanId);
    const [post, produced] = await ended("POST /v1/queues/:queue/messages", "queues.produce");
    expect(produced?.parent).toBe(post?.spanId);
  });

  test("that goes on for long is a span until its connection ends", async () => {
    const watch = await follow(await server.http.listen(), "/v1/locks/a/watch");
    await until(() => watch.events.length === 1);
    expect(spans.ended.some(({ name }) => name.endsWith("/watch"))).toBe(false);
    watch.close();
    await ended("GET /v1/locks/:name/watch");
  });

  test("at the same time as others keeps its own trace", async () => {
    const ids = Array.from({ length: 20 }, (_, n) => (n + 1).toString(16).padStart(32, "0"));
    await Promise.all(
      ids.map((id) => server.call("POST", `/v1/locks/l${id}/acquire`, { owner: "o" }, { traceparent: `00-${id}-b7ad6b7169203331-01` })),
    );
    await until(() => spans.ended.filter(({ name }) => name === "node.submit").length === ids.length);
    for (const id of ids) {
      const [call] = spans.ended.filter(({ name, traceId: of }) => of === id && name.startsWith("POST"));
      const [command] = spans.ended.filter(({ name, traceId: of }) => of === id && name === "node.submit");
      expect(command?.parent).toBe(call?.spanId);
    }
  });
});

describe("a call that is passed on", () => {
  let other: HttpServer;
  let seen: IncomingHttpHeaders[];
  let url: string;
  beforeEach(async () => {
    seen = [];
    other = createServer((request, response) => {
      seen.push(request.headers);
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
  });
  afterEach(() => new Promise<void>((resolve) => other.close(() => resolve())));
  const lockNode = (tracing: Tracing | null): Promise<Server> =>
    serve(host.api, { tracing, settle: false, env: { NODE_TYPE: "lock", QUEUE_NODES: JSON.stringify({ q1: url }) } });

  test("continues its trace at the other node, below the span of the passing on", async () => {
    const node = await lockNode(new Tracing("node1", "0.1.0", noFault));
    // Not by the harness: what the other node of this test says is no answer of ours.
    await node.http.app.inject({ method: "GET", url: "/v1/queues/q", headers: { traceparent: parent, tracestate: "vendor=1" } });
    const [call, passed] = await ended("GET /v1/queues/:queue", "pass on");
    expect(passed).toMatchObject({
      kind: SpanKind.CLIENT,
      traceId,
      parent: call?.spanId,
      attributes: { "http.response.status_code": 200 },
    });
    expect(seen[0]?.["traceparent"]).toBe(`00-${traceId}-${passed?.spanId}-01`);
    expect(seen[0]?.["tracestate"]).toBe("vendor=1");
    await node.http.close(0);
  });

  test("keeps its caller's trace where this node does not trace", async () => {
    const node = await lockNode(null);
    await node.http.app.inject({ method: "GET", url: "/v1/queues/q", headers: { traceparent: parent } });
    expect(seen[0]?.["traceparent"]).toBe(parent);
    expect(spans.ended).toEqual([]);
    await node.http.close(0);
  });
});

describe("streams", () => {
  test("have a span for each frame of commands, until its last answer or the end of the connection", async () => {
    const trivet = await connectClient(`http://127.0.0.1:${await server.http.listen()}`, { routing: "any" });
    await trivet.locks.with("a", {}, () => undefined);
    await until(() =>
      spans.ended.some(({ name, attributes }) => name === "stream commands" && attributes["trivet.outcome"] === "answered"),
    );
    const held = await trivet.locks.acquire("b", {});
    const waiting = trivet.locks.acquire("b", { waitMs: 60_000 }).catch(String);
    await until(() => trivet.openCommands > 0);
    const before = spans.ended.length;
    await trivet.close();
    await waiting;
    await until(() => spans.ended.length > before);
    expect(held.fence).toBeGreaterThan(0n);
    const frames = spans.ended.filter(({ name }) => name === "stream commands");
    expect(frames.length).toBeGreaterThan(1);
  });
});

describe("without tracing", () => {
  test("nothing is asked of the API, and the node's own parts are used as they are", async () => {
    const plain = await serve(host.api);
    await plain.call("POST", "/v1/locks/a/acquire", { owner: "o" }, { traceparent: parent });
    expect(spans.ended).toEqual([]);
    await plain.http.close(0);
  });
});

const fault = async (load: (name: string) => Promise<unknown>): Promise<ConfigError> => {
  const error: unknown = await startExport("node1", {}, load).then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof ConfigError) return error;
  throw new Error("it was taken");
};

describe("the exporter", () => {
  test("that is not installed keeps the node from starting, and how to install it is told", async () => {
    const error = await fault((name) => import(name));
    expect(error.message).toMatch(/TRACING=otlp: @opentelemetry\/sdk-trace-node cannot be loaded/);
    expect(error.next).toMatch(/^npm install @opentelemetry\/sdk-trace-node @opentelemetry\/resources/);
    expect((await fault(() => Promise.resolve({}))).message).toMatch(/have no NodeTracerProvider/);
  });

  test("is registered with the node's name, and sends the rest at the end", async () => {
    const said: string[] = [];
    class NodeTracerProvider {
      constructor(options: { readonly resource: unknown; readonly spanProcessors: readonly unknown[] }) {
        said.push(JSON.stringify(options.resource), String(options.spanProcessors.length));
      }
      register(): void {
        said.push("registered");
      }
      async shutdown(): Promise<void> {
        said.push("shut down");
      }
    }
    class Part {
      readonly isPart = true;
    }
    const parts = {
      NodeTracerProvider,
      BatchSpanProcessor: Part,
      OTLPTraceExporter: Part,
      resourceFromAttributes: (given: object) => given,
    };
    const end = await startExport("node7", { OTEL_SERVICE_NAME: "locks" }, () => Promise.resolve(parts));
    await end();
    expect(said).toEqual(['{"service.name":"locks","service.instance.id":"node7"}', "1", "registered", "shut down"]);
    // Whoever has not registered a provider gets spans that cost nothing and go nowhere.
    spans.remove();
    expect(trace.getTracer("x").startSpan("y").isRecording()).toBe(false);
  });
});
