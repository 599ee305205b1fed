import { logIndex } from "@trivet/core";
import { encodeSingleCommandFrame } from "@trivet/wire";
import { expect, test } from "vitest";
import { LogSpans } from "../../src/groups/log-spans.ts";
import { Traces } from "../../src/base/traces.ts";
import { callersTrace, MemorySpans } from "../memory-spans.ts";

const frameOf = (caller: string): Uint8Array => encodeSingleCommandFrame(caller, "", 1, { type: "nothing" });

class Bench {
  readonly spans = new MemorySpans(1);
  readonly traces = new Traces(this.spans);
  readonly log = new LogSpans(3, this.traces);

  take(caller: string): Uint8Array {
    const frame = frameOf(caller);
    this.traces.set(frame, callersTrace);
    this.log.taken(frame);
    return frame;
  }
}

test("a frame's span lasts from the leader's hand until it is applied, and says when it was proposed and committed", () => {
  const { log, spans, traces } = new Bench();
  const frames = ["a", "b", "c"].map(frameOf);
  for (const frame of frames) {
    traces.set(frame, callersTrace);
    log.taken(frame);
  }
  log.entered([frames.slice(0, 2), frames.slice(2)], logIndex(8));
  log.handed(logIndex(7));
  expect(spans.ended).toEqual([]);
  log.applied(logIndex(7));
  expect(spans.ended).toHaveLength(2);
  log.handed(logIndex(8));
  log.applied(logIndex(8));
  expect(spans.ended).toHaveLength(3);
  for (const span of spans.ended) {
    expect(span).toMatchObject({
      name: "log.commit",
      parent: callersTrace.spanId,
      events: ["proposed", "committed"],
      attributes: { "trivet.group": 3, "trivet.commands": 1, "trivet.outcome": "applied" },
      fault: null,
    });
  }
});

test("a frame of no trace has none, and one that comes again has no second one", () => {
  const { log, spans, traces } = new Bench();
  const plain = frameOf("a");
  log.taken(plain);
  const traced = frameOf("b");
  traces.set(traced, callersTrace);
  log.taken(traced);
  log.taken(traced);
  log.entered([[plain, traced, traced]], logIndex(1));
  log.handed(logIndex(1));
  log.applied(logIndex(1));
  expect(spans.ended).toHaveLength(1);
});

test("where leadership is lost, what was in hand and what was proposed end there, as failures", () => {
  const bench = new Bench();
  const proposed = bench.take("a");
  bench.log.entered([[proposed]], logIndex(1));
  bench.take("b");
  bench.log.deposed();
  expect(bench.spans.ended.map(({ fault }) => fault)).toEqual(["deposed", "deposed"]);
  bench.log.applied(logIndex(1));
  expect(bench.spans.ended).toHaveLength(2);
});

test("no more than so many are open at a time", () => {
  const bench = new Bench();
  for (let n = 0; n < 3_000; n++) bench.take(`c${n}`);
  bench.log.deposed();
  expect(bench.spans.ended).toHaveLength(1024);
});
