import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { checkFrame, formatTrace, limits, tracedStreamProtocol } from "@trivet/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Ended, failSpans, type Fault, rememberSpans } from "../../server/test/observability/spans.ts";
import { tracingOf } from "../src/tracing/tracing.ts";
import { cluster, connected, failure, until } from "./support.ts";
import { take } from "./take.ts";

let spans: ReturnType<typeof rememberSpans>;
/** What the tracer threw: nothing, unless it is made to. */
let warnings: string[];
const warned = ({ message, name }: Error): void => {
  if (name === "TrivetTracingWarning") warnings.push(message);
};
beforeEach(() => {
  spans = rememberSpans();
  warnings = [];
  process.on("warning", warned);
});
afterEach(async () => {
  spans.remove();
  // A warning comes with the next turn.
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", warned);
  expect(warnings).toEqual([]);
});

/** Runs as a part of a request of the program; resolves with the id of that span, too. */
async function requested<T>(run: () => Promise<T>): Promise<{ readonly value: T; readonly request: string }> {
  const span = trace.getTracer("program").startSpan("request");
  const value = await context.with(trace.setSpan(ROOT_CONTEXT, span), run);
  span.end();
  return { value, request: span.spanContext().spanId };
}
const named = (name: string): readonly Ended[] => spans.ended.filter((span) => span.name === name);
function one(name: string): Ended {
  expect(named(name)).toHaveLength(1);
  return named(name)[0] as Ended;
}
const contextOf = ({ spanId, traceId }: Ended): { readonly traceId: string; readonly spanId: string } => ({ traceId, spanId });

describe("a message", () => {
  test("is sent as a part of what the program does, and says so to the node and to who consumes it", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const orders = trivet.queue<number>("orders");
    const { request } = await requested(() => orders.produce(1, { key: "k" }));
    const sent = one("send orders");
    expect(sent).toMatchObject({
      kind: SpanKind.PRODUCER,
      parent: request,
      attributes: {
        "messaging.system": "trivet",
        "messaging.destination.name": "orders",
        "messaging.operation.type": "send",
        "messaging.operation.name": "produce",
        "messaging.destination.partition.id": "0",
      },
      status: { code: SpanStatusCode.UNSET },
    });
    expect(fake.node(0).traced).toEqual([{ type: "shard-commands", traces: [{ ...contextOf(sent), flags: 1, state: "" }] }]);
    const [message] = await take(orders.consume({ group: "g" }), 1);
    expect(message?.headers["traceparent"]).toBe(formatTrace({ ...contextOf(sent), flags: 1, state: "" }));
    expect(message?.headers["content-type"]).toBe("application/json");
  });

  test("is received with a link to the span that sent it, of no trace but its own", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const orders = trivet.queue<number>("orders");
    await requested(() => orders.produceMany([{ body: 1 }, { body: 2 }]));
    const { value: messages } = await requested(() => take(orders.consume({ group: "g" }), 2));
    const received = named("receive orders").find(({ attributes }) => attributes["messaging.batch.message_count"] === 2);
    expect(received).toMatchObject({ kind: SpanKind.CLIENT, parent: "", links: [one("send orders").spanId] });
    await requested(() => Promise.all(messages.map((message) => message.ack())));
    expect(one("settle orders")).toMatchObject({
      kind: SpanKind.CLIENT,
      attributes: { "messaging.operation.name": "ack", "messaging.operation.type": "settle", "messaging.batch.message_count": 2 },
    });
  });

  test("is worked on in the trace that it was made in; its settlement belongs to that", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const orders = trivet.queue<number>("orders");
    await requested(() => orders.produce(1));
    const within: (string | undefined)[] = [];
    const worker = orders.worker(
      () => {
        within.push(trace.getActiveSpan()?.spanContext().spanId);
      },
      { group: "g" },
    );
    await until(() => named("process orders").length === 1, "it is done");
    await worker.stop();
    const [sent, processed] = [one("send orders"), one("process orders")];
    expect(processed).toMatchObject({ kind: SpanKind.CONSUMER, traceId: sent.traceId, parent: sent.spanId, links: [sent.spanId] });
    expect(within).toEqual([processed.spanId]);
    expect(one("settle orders").parent).toBe(processed.spanId);
  });

  test("whose work fails is a failure of that span", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const orders = trivet.queue<number>("orders");
    await orders.produce(1);
    const worker = orders.worker(
      () => {
        throw new TypeError("no");
      },
      { group: "g", onError: () => undefined },
    );
    await until(() => named("process orders").length > 0, "it failed");
    await worker.stop();
    expect(named("process orders")[0]).toMatchObject({
      attributes: { "error.type": "TypeError" },
      status: { code: SpanStatusCode.ERROR, message: "no" },
    });
    expect(named("settle orders")[0]?.attributes["messaging.operation.name"]).toBe("nack");
  });

  test("that says its trace itself keeps it, and none is added where there is no room", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const orders = trivet.queue<number>("orders");
    const own = "00-11111111111111111111111111111111-2222222222222222-01";
    const many = Object.fromEntries(Array.from({ length: limits.maxHeadersPerMessage - 1 }, (_, at) => [`h${at}`, "x"]));
    await orders.produceMany([
      { body: 1, headers: { traceparent: own } },
      { body: 2, headers: many },
    ]);
    const [first, second] = await take(orders.consume({ group: "g" }), 2);
    expect(first?.headers["traceparent"]).toBe(own);
    expect(Object.keys(second?.headers ?? {})).toHaveLength(limits.maxHeadersPerMessage);
    expect(second?.headers["traceparent"]).toBeUndefined();
  });

  test("of those that share a frame: the frame tells of all who asked", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const orders = trivet.queue<number>("orders");
    await orders.produce(0);
    await Promise.all(Array.from({ length: 20 }, (_, n) => requested(() => orders.produce(n, { key: "k" }))));
    const told = fake
      .node(0)
      .traced.slice(1)
      .flatMap(({ traces }) => traces.map(({ spanId }) => spanId));
    expect(new Set(told).size).toBe(told.length);
    expect(told.length).toBeGreaterThanOrEqual(limits.maxTracesPerFrame);
    for (const spanId of told) expect(named("send orders").some((span) => span.spanId === spanId)).toBe(true);
  });

  test("that has to be sent again goes under the same trace", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const orders = trivet.queue<number>("orders");
    fake.node(0).shardPolicies.push({ refuse: "overloaded" }, "answer");
    await orders.produce(1);
    const frames = fake.node(0).traced;
    expect(frames).toHaveLength(2);
    expect(frames[1]).toEqual(frames[0]);
    expect(named("send orders")).toHaveLength(1);
  });

  test("produced with others stays in one command: where they no longer fit with their trace they do without", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const orders = trivet.queue<string>("orders");
    await orders.produce("first");
    fake.node(0).shardFrames.length = 0;
    // Less than 512 KiB as they are, more with a header each.
    await orders.produceMany(Array.from({ length: limits.maxMessagesPerCommand }, () => ({ body: "x".repeat(380), key: "k" })));
    expect(fake.node(0).shardFrames.map(({ frame }) => checkFrame(frame).count)).toEqual([1]);
    const [, message] = await take(orders.consume({ group: "g" }), 2);
    expect(message?.headers["traceparent"]).toBeUndefined();
  });

  test("that nobody awaits fails as loudly as without spans, also with nothing for a reason", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const stopped = new AbortController();
    fake.node(0).shardPolicies.push("ignore");
    const produced = trivet.queue<number>("orders").produce(1, { signal: stopped.signal });
    stopped.abort(null);
    await expect(produced.then(() => "stored")).rejects.toBeNull();
    expect(one("send orders").status.code).toBe(SpanStatusCode.ERROR);
  });

  test("that is not stored is a failure that says its code", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    fake.node(0).shardPolicies.push({ refuse: "forbidden" });
    const error = await failure(trivet.queue<number>("orders").produce(1));
    expect(error).toMatchObject({ code: "forbidden" });
    // The text of an error may name keys.
    expect(one("send orders")).toMatchObject({ attributes: { "error.type": "forbidden" } });
    expect(one("send orders").status).toEqual({ code: SpanStatusCode.ERROR });
  });
});

describe("cached values and locks", () => {
  test("a miss and a write are spans that their frames tell of; a hit is none; no span holds a key", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const items = trivet.cache<number>("default");
    const { request } = await requested(() => items.set("secret", 1));
    expect(one("set default")).toMatchObject({
      kind: SpanKind.CLIENT,
      parent: request,
      attributes: { "db.system.name": "trivet", "db.namespace": "default", "db.operation.name": "set", "trivet.outcome": "cache-written" },
    });
    expect(fake.node(0).traced.at(-1)).toMatchObject({ type: "to-homes", traces: [contextOf(one("set default"))] });
    await until(() => items.peek("secret") !== undefined, "there is a copy");
    const before = spans.ended.length;
    await items.get("secret");
    expect(spans.ended).toHaveLength(before);
    await items.get("other");
    expect(fake.node(0).traced.at(-1)).toMatchObject({ type: "to-homes", traces: [contextOf(one("get default"))] });
    await items.getMany(["a", "b", "c"]);
    expect(one("getMany default").attributes).toMatchObject({ "db.operation.batch.size": 3 });
    expect(named("get default")).toHaveLength(1);
    await items.invalidate();
    expect(fake.node(0).traced.at(-1)).toMatchObject({ type: "invalidate-cache", traces: [contextOf(one("invalidate default"))] });
    expect(JSON.stringify(spans.ended)).not.toContain("secret");
  });

  test("a lock's commands are spans without its name", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const { request } = await requested(() => trivet.locks.with("secret", {}, () => undefined));
    expect(one("trivet acquire")).toMatchObject({ kind: SpanKind.CLIENT, parent: request, attributes: { "trivet.outcome": "granted" } });
    expect(fake.node(0).traced.map(({ type }) => type)).toContain("commands");
    expect(one("trivet release").parent).toBe(request);
    expect(JSON.stringify(spans.ended)).not.toContain("secret");
  });
});

const untraced = async (options: Parameters<typeof connected>[1], prepare: (protocol: (of: number) => void) => void): Promise<void> => {
  const fake = await cluster();
  prepare((protocol) => (fake.node(0).protocol = protocol));
  const trivet = await connected(fake, options);
  await trivet.queue<number>("orders").produce(1);
  await trivet.cache<number>("default").set("a", 1);
  await trivet.locks.with("a", {}, () => undefined);
  expect(fake.node(0).traced).toEqual([]);
  const [message] = await take(trivet.queue<number>("orders").consume({ group: "g" }), 1);
  expect(message?.body).toBe(1);
};

describe("nothing is traced, and nothing is sent that was not sent before,", () => {
  test("where the program says so", async () => {
    await untraced({ tracing: false }, () => undefined);
    expect(spans.ended).toEqual([]);
  });

  test("where it has registered no provider", async () => {
    spans.remove();
    await untraced({}, () => undefined);
    expect(spans.ended).toEqual([]);
  });

  test("to a node of before: it would end the stream; the program has its spans all the same", async () => {
    await untraced({}, (protocol) => protocol(tracedStreamProtocol - 1));
    expect(named("send orders")).toHaveLength(1);
  });

  test("where the API is not installed; another fault of it is told", async () => {
    const missing = Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
    const tracing = await tracingOf(true, () => Promise.reject(missing));
    expect(tracing.isOn).toBe(false);
    await expect(tracingOf(true, () => Promise.reject(new SyntaxError("broken")))).rejects.toThrow("broken");
  });
});

test("a provider that comes later is found with the next link", async () => {
  spans.remove();
  const fake = await cluster();
  const trivet = await connected(fake);
  spans = rememberSpans();
  await trivet.queue<number>("orders").produce(1);
  expect(spans.ended).toEqual([]);
  fake.node(0).cutConnections();
  await until(() => fake.node(0).hellos.length === 2 && trivet.node !== null, "there is another link");
  await trivet.queue<number>("orders").produce(2);
  expect(named("send orders")).toHaveLength(1);
});

test("what is not recorded is told to be not recorded", async () => {
  const fake = await cluster();
  const trivet = await connected(fake);
  const caller = { traceId: "11111111111111111111111111111111", spanId: "2222222222222222", traceFlags: 0 };
  await context.with(trace.setSpanContext(ROOT_CONTEXT, caller), () => trivet.queue<number>("orders").produce(1));
  expect(spans.ended).toEqual([]);
  expect(fake.node(0).traced).toMatchObject([{ traces: [{ traceId: caller.traceId, flags: 0 }] }]);
});

describe("a tracer that fails", () => {
  test.each<Fault>(["startSpan", "spanContext", "setAttributes", "addLink", "end"])(
    "at %s costs its spans, and no answer: what is sent is sent once, and the worker goes on",
    async (fault) => {
      spans.remove();
      const fake = await cluster();
      spans = failSpans(fault);
      const trivet = await connected(fake);
      const orders = trivet.queue<number>("orders");
      await orders.produce(1);
      await orders.produceMany([{ body: 2 }, { body: 3 }]);
      await trivet.cache<number>("default").set("a", 1);
      await trivet.locks.with("a", {}, () => undefined);
      const done: number[] = [];
      const failed: unknown[] = [];
      const worker = orders.worker(({ body }) => void done.push(body), { group: "g", onError: (error) => void failed.push(error) });
      await until(() => done.length >= 3, "the worker has them");
      await orders.produce(4);
      await until(() => done.length >= 4, "the worker goes on");
      await worker.stop();
      expect([done.toSorted((a, b) => a - b), failed]).toEqual([[1, 2, 3, 4], []]);
      await until(() => warnings.length > 0, "it is told");
      // Once a minute, of a connection.
      expect(warnings.splice(0)).toEqual([
        expect.stringMatching(`^The OpenTelemetry provider of this program failed: the tracer fails: ${fault}\\. Spans are missing`),
      ]);
    },
  );

  test("leaves the errors of the work as they are", async () => {
    spans.remove();
    const fake = await cluster();
    spans = failSpans("end");
    const trivet = await connected(fake);
    const failed: unknown[] = [];
    const no = new TypeError("no");
    await trivet.queue<number>("orders").produce(1);
    const worker = trivet.queue<number>("orders").worker(
      () => {
        throw no;
      },
      { group: "g", onError: (error) => void failed.push(error) },
    );
    await until(() => failed.length > 0, "it failed");
    await worker.stop();
    expect(failed[0]).toBe(no);
    await until(() => warnings.length > 0, "it is told");
    warnings.length = 0;
  });
});
