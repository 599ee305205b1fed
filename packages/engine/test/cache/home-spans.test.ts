import type { HolderMessage, HomeMessage } from "@trivet/wire";
import { expect, test } from "vitest";
import { HomeSpans } from "../../src/cache/home-spans.ts";
import { Traces } from "../../src/base/traces.ts";
import { callersTrace, MemorySpans } from "../memory-spans.ts";

const line = "1\u0000k";
const record = { version: 1, value: null, tags: [], ttlMs: 0, asOf: 1 };
const fetched = (txn: number): HolderMessage => ({ type: "fetch", term: 1, incarnation: 1, line, txn, confirmed: false });
const written = (txn: number): HolderMessage & { readonly type: "write" } => ({
  type: "write",
  term: 1,
  incarnation: 1,
  line,
  txn,
  command: new Uint8Array([txn]),
  keep: true,
});
const data = (txn: number): HomeMessage => ({ type: "data", term: 1, incarnation: 1, line, txn, grant: "S", record, sequence: 0 });

class Bench {
  readonly spans = new MemorySpans(1);
  readonly traces = new Traces(this.spans);
  readonly home = new HomeSpans(2, this.traces);

  hear(from: string, message: HolderMessage, now = 0): void {
    this.spans.within(callersTrace, () => this.home.heard(from, message, now));
  }
}

test("what is asked is a span until it is answered, also when it was asked twice", () => {
  const bench = new Bench();
  const { home, spans } = bench;
  bench.hear("n2", fetched(4));
  bench.hear("n2", fetched(4));
  bench.hear("n3", fetched(4));
  home.said("n2", data(5));
  expect(spans.ended).toEqual([]);
  home.said("n2", data(4));
  home.said("n2", data(4));
  expect(spans.ended).toHaveLength(1);
  expect(spans.ended[0]).toMatchObject({
    name: "home.fetch",
    attributes: { "trivet.grant": "S", "trivet.outcome": "answered" },
    fault: null,
  });
});

test("a write's command takes its place in the trace", () => {
  const { home, spans, traces } = new Bench();
  const message = written(1);
  spans.within(callersTrace, () => home.heard("n2", message, 0));
  const trace = traces.of(message.command);
  expect(trace).toMatchObject({ traceId: callersTrace.traceId });
  expect(trace?.spanId).not.toBe(callersTrace.spanId);
});

test("so does that of the second copy, which nobody has to have heard of before", () => {
  const { home, spans, traces } = new Bench();
  const [first, second] = [written(1), written(1)];
  spans.within(callersTrace, () => home.heard("n2", first, 0));
  home.heard("n2", second, 5_000);
  expect(traces.of(second.command)).not.toBeNull();
  expect(traces.of(second.command)).toEqual(traces.of(first.command));
});

test("what has had no answer for a minute ends; an answer after that ends nothing", () => {
  const bench = new Bench();
  const { home, spans } = bench;
  bench.hear("n2", fetched(1), 0);
  bench.hear("n2", fetched(2), 0);
  bench.hear("n2", fetched(3), 1);
  home.tick(59_999);
  expect(spans.ended).toEqual([]);
  home.tick(60_000);
  expect(spans.ended.map(({ attributes, fault }) => [attributes["trivet.outcome"], fault])).toEqual([
    ["unknown", null],
    ["unknown", null],
  ]);
  home.said("n2", data(1));
  home.said("n2", data(3));
  home.tick(999_999);
  expect(spans.ended).toHaveLength(3);
});

test("what belongs to no trace, and what only acknowledges, has none", () => {
  const { home, spans } = new Bench();
  home.heard("n2", fetched(1), 0);
  spans.within(callersTrace, () => home.heard("n2", { type: "inv-ack", term: 1, incarnation: 1, sequence: 1 }, 0));
  home.deposed();
  expect(spans.ended).toEqual([]);
});

test("who asked a home that is deposed asks the next one: here it failed", () => {
  const bench = new Bench();
  bench.hear("n2", fetched(1));
  const told: unknown[] = [];
  const asked = bench.spans.within(callersTrace, () =>
    bench.home.call("home.invalidate", new Uint8Array(1), (answer) => told.push(answer)),
  );
  bench.home.deposed();
  asked(null);
  expect(told).toEqual([null]);
  expect(bench.spans.ended.map(({ fault, name }) => `${name} ${fault}`)).toEqual(["home.fetch deposed", "home.invalidate deposed"]);
});

test("of more than can be kept the oldest one's ends", () => {
  const bench = new Bench();
  for (let txn = 1; txn <= 1_030; txn++) bench.hear("n2", fetched(txn));
  expect(bench.spans.ended.map(({ attributes }) => attributes["trivet.outcome"])).toEqual(Array.from({ length: 6 }, () => "unknown"));
});
