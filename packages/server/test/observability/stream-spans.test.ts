import { connect as connectClient, type ConnectOptions, type TrivetConnection } from "@trivet/client";
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { NodeHost } from "@trivet/engine";
import { decodeServerFrame, encodeClientFrame, encodeTracedFrame, type ServerFrame, tracedStreamProtocol } from "@trivet/wire";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { take } from "../../../client/test/take.ts";
import { EngineSpans } from "../../src/observability/engine-spans.ts";
import { Tracing } from "../../src/observability/tracing.ts";
import { scripted, serve, until, type Server } from "../http/harness.ts";
import { startQueueNode } from "../http/queue-node.ts";
import { noFault, rememberSpans, type Ended } from "./spans.ts";

const spans = rememberSpans();
const tracing = new Tracing("node1", "0.1.0", noFault);
let host: NodeHost;
let server: Server;
let port: number;
const connections: TrivetConnection[] = [];
const servers: Server[] = [];
beforeAll(async () => {
  host = await startQueueNode(undefined, {}, { spans: new EngineSpans(tracing), bound: (run) => tracing.bound(run) });
  server = await serve(host.api, { tracing, queues: host.queues, cache: host.cache, programs: host.caching.programs });
  port = await server.http.listen();
});
beforeEach(() => {
  spans.ended.length = 0;
});
afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.close();
  for (const other of servers.splice(0)) await other.http.close(0);
});
afterAll(async () => {
  await server.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
  spans.remove();
});

async function program(at = port, options: ConnectOptions = {}): Promise<TrivetConnection> {
  const connection = await connectClient(`http://127.0.0.1:${at}`, { routing: "any", ...options });
  connections.push(connection);
  return connection;
}
async function requested<T>(run: () => Promise<T>): Promise<{ readonly value: T; readonly request: string }> {
  const span = trace.getTracer("program").startSpan("request");
  const value = await context.with(trace.setSpan(ROOT_CONTEXT, span), run);
  span.end();
  return { value, request: span.spanContext().spanId };
}
/** The span of this name that is directly below the other; waits for it, as it may end after its caller was answered. */
async function below(parent: Ended | { readonly spanId: string }, name: string): Promise<Ended> {
  const find = (): Ended | undefined => spans.ended.find((span) => span.name === name && span.parent === parent.spanId);
  await until(() => find() !== undefined, `${name} below ${"name" in parent ? parent.name : "it"}`);
  return find() as Ended;
}
let queues = 0;
const fresh = (): string => `traced/${++queues}`;

describe("a message over the SDK's stream", () => {
  test("is one trace from the program to the log, where it waits longest", async () => {
    const name = fresh();
    const trivet = await program();
    const { request } = await requested(() => trivet.queue<number>(name).produce(1));
    const sent = await below({ spanId: request }, `send ${name}`);
    const frame = await below(sent, "stream produce");
    expect(frame).toMatchObject({
      kind: SpanKind.SERVER,
      traceId: sent.traceId,
      attributes: {
        "messaging.system": "trivet",
        "messaging.operation.name": "produce",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": 1,
        "trivet.commands": 1,
        "trivet.node": "node1",
        "trivet.outcome": "answered",
      },
      status: { code: SpanStatusCode.UNSET },
    });
    const commit = await below(frame, "log.commit");
    expect(commit).toMatchObject({
      kind: SpanKind.INTERNAL,
      events: ["proposed", "committed"],
      attributes: { "trivet.group": frame.attributes["trivet.group"], "trivet.outcome": "applied" },
    });
    expect(JSON.stringify([frame, commit])).not.toContain(name);
  });

  test("is handed out and settled in spans of those who ask for that", async () => {
    const name = fresh();
    const trivet = await program();
    const queue = trivet.queue<number>(name);
    await requested(() => queue.produceMany([{ body: 1 }, { body: 2 }, { body: 3 }]));
    const consumer = queue.consume({ group: "g" });
    const messages = await take(consumer, 3);
    await until(() =>
      spans.ended.some((span) => span.name === `receive ${name}` && span.attributes["messaging.batch.message_count"] === 3),
    );
    const received = spans.ended.find((span) => span.attributes["messaging.batch.message_count"] === 3 && span.name === `receive ${name}`);
    const handedOut = await below(received as Ended, "stream consume");
    expect(handedOut.attributes).toMatchObject({ "messaging.operation.type": "receive", "messaging.batch.message_count": 3 });
    await below(handedOut, "log.commit");
    const { request } = await requested(() => Promise.all(messages.map((message) => message.ack())));
    const settled = await below({ spanId: request }, `settle ${name}`);
    const told = await below(settled, "stream settle");
    expect(told.attributes).toMatchObject({ "messaging.operation.type": "settle", "messaging.batch.message_count": 3 });
    await below(told, "log.commit");
    await consumer.return();
  });

  test("many of which share a frame: one span with their number, linked with those who asked beside the first", async () => {
    const name = fresh();
    const queue = (await program()).queue<number>(name);
    await queue.produce(0);
    spans.ended.length = 0;
    await Promise.all(Array.from({ length: 10 }, (_, n) => requested(() => queue.produce(n, { key: "k" }))));
    const frames = (): readonly Ended[] => spans.ended.filter((span) => span.name === "stream produce");
    const counted = (): number => frames().reduce((sum, { attributes }) => sum + Number(attributes["messaging.batch.message_count"]), 0);
    await until(() => counted() === 10, "all are in spans");
    expect(frames().length).toBeLessThan(10);
    const asked = frames().flatMap(({ links, parent }) => [parent, ...links]);
    const sent = spans.ended.filter((span) => span.name === `send ${name}`).map(({ spanId }) => spanId);
    expect(new Set(asked)).toEqual(new Set(sent));
  });

  test("of a program that traces nothing begins a trace at the node", async () => {
    const trivet = await program(port, { tracing: false });
    await trivet.queue<number>(fresh()).produce(1);
    await until(() => spans.ended.some(({ name }) => name === "stream produce"));
    expect(spans.ended.filter(({ name }) => name.startsWith("send"))).toEqual([]);
    expect(spans.ended.find(({ name }) => name === "stream produce")?.parent).toBe("");
  });

  test("whose caller keeps no spans leaves none here", async () => {
    const trivet = await program();
    const queue = trivet.queue<number>(fresh());
    await queue.produce(0);
    await until(() => spans.ended.filter(({ name }) => name === "log.commit").length > 0);
    spans.ended.length = 0;
    const caller = { traceId: "11111111111111111111111111111111", spanId: "2222222222222222", traceFlags: 0 };
    await context.with(trace.setSpanContext(ROOT_CONTEXT, caller), () => queue.produce(1));
    const { request } = await requested(() => queue.produce(2));
    const sent = await below({ spanId: request }, `send ${queue.name}`);
    await below(await below(sent, "stream produce"), "log.commit");
    expect(spans.ended.filter(({ traceId }) => traceId === caller.traceId)).toEqual([]);
  });

  test("that is refused, or never answered, says so", async () => {
    const shards = scripted(
      host.api.shards as never,
      {
        submitFrame: () => ({ type: "unavailable", code: "no_quorum", retryAfterMs: 10, detail: "" }),
      } as never,
    );
    const refusing = await serve(scripted(host.api, { shards: shards as never }), { tracing, queues: host.queues });
    servers.push(refusing);
    const at = await refusing.http.listen();
    const queue = (await program(at)).queue<number>(fresh());
    const stopped = queue.produce(1).catch(String);
    const refusal = (): Ended | undefined => spans.ended.find(({ name }) => name === "stream produce");
    await until(() => refusal() !== undefined, "it was refused");
    const refused = refusal();
    await connections.splice(0)[0]?.close();
    await stopped;
    expect(refused).toMatchObject({
      attributes: { "trivet.outcome": "unavailable" },
      status: { code: SpanStatusCode.ERROR, message: "no_quorum" },
    });

    let taken = 0;
    const silent: NodeHost["api"]["shards"] = Object.assign(Object.create(host.api.shards), {
      submitFrame: () => {
        taken++;
        return null;
      },
    });
    const deaf = await serve(scripted(host.api, { shards: silent }), { tracing, queues: host.queues });
    servers.push(deaf);
    const trivet = await program(await deaf.http.listen());
    spans.ended.length = 0;
    const waiting = trivet.queue<number>(fresh()).produce(1).catch(String);
    await until(() => taken > 0, "the node has it");
    await trivet.close();
    await waiting;
    await until(
      () => spans.ended.some(({ attributes }) => attributes["trivet.outcome"] === "disconnected"),
      "the frame's span ends with its stream",
    );
  });

  test("reaches a node that traces nothing, with what its consumer can link to", async () => {
    const plain = await serve(host.api, { queues: host.queues });
    servers.push(plain);
    const name = fresh();
    const queue = (await program(await plain.http.listen())).queue<number>(name);
    await requested(() => queue.produce(1));
    const [message] = await take(queue.consume({ group: "g" }), 1);
    const sent = spans.ended.find((span) => span.name === `send ${name}`);
    expect(message?.headers["traceparent"]).toBe(`00-${sent?.traceId}-${sent?.spanId}-01`);
    expect(spans.ended.filter((span) => span.name.startsWith("stream"))).toEqual([]);
  });
});

const consumed = async (at: Server, name: string): Promise<Record<string, string>> => {
  const { json } = await at.call("POST", `/v1/queues/${encodeURIComponent(name)}/consume`, { group: "g" });
  const { messages } = json as unknown as { readonly messages: readonly { readonly headers: Record<string, string> }[] };
  return messages[0]?.headers ?? {};
};

describe("a message over HTTP", () => {
  const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  test("carries the span of its call, whose part its place in the log is", async () => {
    const name = fresh();
    // What waits for a queue to come into being is done in a turn that belongs to nobody.
    await server.call("PUT", `/v1/queues/${encodeURIComponent(name)}`, {});
    const headers = { traceparent: parent, tracestate: "vendor=1" };
    await server.call("POST", `/v1/queues/${encodeURIComponent(name)}/messages`, { body: 1 }, headers);
    await until(() => spans.ended.some((span) => span.name === "POST /v1/queues/:queue/messages"));
    const call = spans.ended.find((span) => span.name === "POST /v1/queues/:queue/messages") as Ended;
    expect(await consumed(server, name)).toMatchObject({ traceparent: `00-${call.traceId}-${call.spanId}-01`, tracestate: "vendor=1" });
    await below(await below(call, "queues.produce"), "log.commit");
  });

  test("is as it came where the node traces nothing, and keeps a trace that it says itself", async () => {
    const plain = await serve(host.api, { queues: host.queues });
    servers.push(plain);
    const [name, other] = [fresh(), fresh()];
    await plain.call("POST", `/v1/queues/${encodeURIComponent(name)}/messages`, { body: 1 }, { traceparent: parent });
    expect(await consumed(plain, name)).toEqual({ "content-type": "application/json" });
    const own = parent.replace("0af7", "1111");
    await server.call(
      "POST",
      `/v1/queues/${encodeURIComponent(other)}/messages`,
      { body: 1, headers: { traceparent: own } },
      { traceparent: parent },
    );
    expect(await consumed(server, other)).toMatchObject({ traceparent: own });
  });

  test("among as many as a frame takes is taken as without a trace, and then says none", async () => {
    const name = fresh();
    const messages = Array.from({ length: 1_000 }, () => ({ body: "x".repeat(930) }));
    const { status } = await server.call("POST", `/v1/queues/${encodeURIComponent(name)}/messages`, { messages }, { traceparent: parent });
    expect(status).toBe(201);
    expect((await consumed(server, name))["traceparent"]).toBeUndefined();
  });
});

describe("cached values over the SDK's stream", () => {
  test("a write, a read that is a miss, an invalidation: from the program to the home and its log", async () => {
    const items = (await program()).cache<number>("default");
    await items.set("warm", 1);
    spans.ended.length = 0;
    const writing = await requested(() => items.set("secret", 1));
    const set = await below({ spanId: writing.request }, "set default");
    const wrote = await below(set, "stream cache");
    expect(wrote).toMatchObject({
      kind: SpanKind.SERVER,
      attributes: { "trivet.writes": 1, "trivet.outcome": "answered" },
    });
    await below(await below(wrote, "home.write"), "log.commit");

    const reading = await requested(() => items.get("absent"));
    const read = await below(await below({ spanId: reading.request }, "get default"), "stream cache");
    expect(read.attributes).toMatchObject({ "trivet.reads": 1, "trivet.writes": 0 });
    // Without a lease yet it is this node that asks, on the program's behalf (decision 0027).
    await below(await below(read, "holder.fetch"), "home.fetch");
    await until(() => items.peek("absent") !== undefined, "a copy of nothing");
    const before = spans.ended.length;
    await items.get("absent");
    expect(spans.ended).toHaveLength(before);

    const ending = await requested(() => items.invalidate());
    const invalidated = await below(await below({ spanId: ending.request }, "invalidate default"), "stream invalidate");
    await below(await below(await below(invalidated, "cache.invalidate"), "home.invalidate"), "log.commit");
    expect(JSON.stringify(spans.ended)).not.toContain("secret");
  });

  test("a read of many keys is one span of the program and as many at the node as there are frames", async () => {
    const items = (await program(port, {})).cache<number>("default");
    await items.set("warm", 1);
    spans.ended.length = 0;
    const { request } = await requested(() => items.getMany(Array.from({ length: 20 }, (_, n) => `many-${n}`)));
    const many = await below({ spanId: request }, "getMany default");
    const frame = await below(many, "stream cache");
    expect(frame.attributes["trivet.reads"]).toBeGreaterThanOrEqual(20);
    expect(spans.ended.filter(({ parent }) => parent === many.spanId)).toHaveLength(1);
  });

  test("what was asked and not answered ends with the stream", async () => {
    let asked = 0;
    const programs = scripted(host.caching.programs as never, { toHome: () => void asked++ } as never);
    const deaf = await serve(host.api, { tracing, queues: host.queues, cache: host.cache, programs: programs as never });
    servers.push(deaf);
    const trivet = await program(await deaf.http.listen(), { commandTimeoutMs: 30_000 });
    const reading = trivet.cache<number>("default").get("k").catch(String);
    await until(() => asked > 0, "the node has passed it on");
    await trivet.close();
    await reading;
    await until(() =>
      spans.ended.some(({ attributes, name }) => name === "stream cache" && attributes["trivet.outcome"] === "disconnected"),
    );
  });
});

test("a lock's commands continue the program's trace", async () => {
  const trivet = await program();
  const { request } = await requested(() => trivet.locks.with("secret", {}, () => undefined));
  const acquired = await below({ spanId: request }, "trivet acquire");
  await below(await below(acquired, "stream commands"), "log.commit");
  expect(JSON.stringify(spans.ended)).not.toContain("secret");
});

test("a stream of a protocol before traces may not tell of any", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/stream`);
  const frames: ServerFrame[] = [];
  socket.on("message", (data: Buffer) => frames.push(decodeServerFrame(data)));
  await new Promise((resolve) => socket.once("open", resolve));
  socket.send(encodeClientFrame({ type: "hello", protocol: tracedStreamProtocol - 1, caller: "c", label: "", session: 0 }));
  await until(() => frames.length > 0);
  const own = { traceId: "11111111111111111111111111111111", spanId: "2222222222222222", flags: 1, state: "" };
  socket.send(encodeTracedFrame([own], encodeClientFrame({ type: "ping", nonce: 1 })));
  await until(() => frames.some(({ type }) => type === "closing"));
  expect(frames.find(({ type }) => type === "closing")).toMatchObject({ code: "protocol" });
  socket.terminate();
});
