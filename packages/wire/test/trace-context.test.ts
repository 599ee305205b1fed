import {
  CodecError,
  type TraceContext,
  decodeClientFrame,
  encodeClientFrame,
  encodeTracedFrame,
  formatTrace,
  limits,
  parseTrace,
  sharedTraces,
  streamProtocol,
  traceOfMessage,
  tracedHeaders,
  tracedMessages,
} from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { unhex } from "./arbitraries.ts";

const trace: TraceContext = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", flags: 1, state: "" };
const parent = `00-${trace.traceId}-${trace.spanId}-01`;
const ping = encodeClientFrame({ type: "ping", nonce: 1 });

const some = (count: number): readonly (readonly [string, string])[] => Array.from({ length: count }, (_, at) => [`h${at}`, "x"] as const);

describe("the headers of a trace", () => {
  test("come back as they were written", () => {
    expect(formatTrace(trace)).toBe(parent);
    expect(parseTrace(parent, "vendor=1")).toEqual({ ...trace, state: "vendor=1" });
    expect(parseTrace(parent.replace(/1$/, "0"), undefined)).toEqual({ ...trace, flags: 0 });
  });

  test("of a later version may say more, and of its flags only what is known is kept", () => {
    expect(parseTrace(`01${parent.slice(2, -2)}ff-more`, undefined)).toEqual(trace);
  });

  test.each([
    ["none", undefined],
    ["nonsense", "nonsense"],
    ["a trace of zeros", `00-${"0".repeat(32)}-${trace.spanId}-01`],
    ["a span of zeros", `00-${trace.traceId}-${"0".repeat(16)}-01`],
    ["a version that is none", parent.replace("00-", "ff-")],
    ["more than its version has", `${parent}-more`],
    ["capitals", parent.toUpperCase()],
  ])("that say %s say nothing", (_name, text) => {
    expect(parseTrace(text, "vendor=1")).toBeNull();
  });

  test("keep no state that is too long, or that no header could carry", () => {
    expect(parseTrace(parent, "v".repeat(limits.maxTraceStateBytes))?.state).toHaveLength(limits.maxTraceStateBytes);
    expect(parseTrace(parent, "v".repeat(limits.maxTraceStateBytes + 1))?.state).toBe("");
    expect(parseTrace(parent, "v=\u00e9")?.state).toBe("");
  });
});

describe("headers of a message", () => {
  test("say in which trace it was made, and tell it again", () => {
    const made = { ...trace, state: "vendor=1" };
    const headers = tracedHeaders([["content-type", "application/json"]], made);
    expect(headers).toEqual([
      ["content-type", "application/json"],
      ["traceparent", parent],
      ["tracestate", "vendor=1"],
    ]);
    expect(traceOfMessage(headers)).toEqual(made);
    expect(traceOfMessage([["content-type", "application/json"]])).toBeNull();
  });

  test("that say one themselves keep it, however they spell it", () => {
    const own = [["TraceParent", parent]] as const;
    expect(tracedHeaders(own, { ...trace, spanId: "00000000000000ff" })).toBe(own);
    expect(traceOfMessage(own)).toEqual(trace);
  });

  test("are never more than a message may have", () => {
    const full = some(limits.maxHeadersPerMessage);
    expect(tracedHeaders(full, trace)).toBe(full);
    const almost = tracedHeaders(some(limits.maxHeadersPerMessage - 1), { ...trace, state: "vendor=1" });
    expect(almost).toHaveLength(limits.maxHeadersPerMessage);
    expect(almost.at(-1)).toEqual(["traceparent", parent]);
  });
});

const sized = (most: number) => (made: readonly { readonly headers: readonly unknown[] }[]) =>
  made.reduce((sum, { headers }) => sum + headers.length, 0) <= most;

describe("messages that are made together", () => {
  const messages = [{ headers: some(1) }, { headers: some(2) }];
  const counts = (most: number): readonly number[] =>
    tracedMessages(messages, { ...trace, state: "vendor=1" }, sized(most)).map(({ headers }) => headers.length);

  test("all say their trace where they fit with it, without what vendors add where they fit so, or not at all", () => {
    expect(counts(7)).toEqual([3, 4]);
    expect(counts(6)).toEqual([2, 3]);
    expect(counts(5)).toEqual([2, 3]);
    expect(counts(4)).toEqual([1, 2]);
  });
});

const of = (spanId: number, flags: number): TraceContext => ({ ...trace, spanId: spanId.toString(16).padStart(16, "0"), flags });

describe("traces of those who share something", () => {
  test("are those that are recorded, each once; one that is not is told where no other is", () => {
    expect(sharedTraces([of(1, 0), of(2, 1), of(3, 0), of(2, 1), of(4, 1)])).toEqual([of(2, 1), of(4, 1)]);
    expect(sharedTraces([of(1, 0), of(3, 0)])).toEqual([of(1, 0)]);
    expect(sharedTraces([])).toEqual([]);
  });
});

describe("traced frames", () => {
  test("tell of no more traces than they may, the first of them first", () => {
    const traces = Array.from({ length: limits.maxTracesPerFrame + 5 }, (_, at) => ({
      ...trace,
      spanId: (at + 1).toString(16).padStart(16, "0"),
    }));
    const decoded = decodeClientFrame(encodeTracedFrame(traces, ping));
    expect(decoded).toEqual({ type: "traced", traces: traces.slice(0, limits.maxTracesPerFrame), frame: { type: "ping", nonce: 1 } });
  });

  const ids = `${trace.traceId}${trace.spanId}`;
  test.each([
    ["of no trace", "0e0004"],
    ["of too many", `0e${(limits.maxTracesPerFrame + 1).toString(16)}${`${ids}0100`.repeat(limits.maxTracesPerFrame + 1)}0401`],
    ["of a trace of zeros", `0e01${"00".repeat(16)}${trace.spanId}01000401`],
    ["of a span of zeros", `0e01${trace.traceId}${"00".repeat(8)}01000401`],
    ["with flags that nobody knows", `0e01${ids}02000401`],
    ["whose state no header can carry", `0e01${ids}01010a0401`],
    ["that end too early", `0e01${ids}`],
    ["without a frame", `0e01${ids}0100`],
    ["of a frame with a trace", `0e01${ids}01000e01${ids}01000401`],
    ["of a frame that is none", `0e01${ids}0100ff`],
  ])("%s are refused", (_name, bytes) => {
    expect(() => decodeClientFrame(unhex(bytes))).toThrow(CodecError);
  });

  test("of a greeting are refused: nothing is agreed on yet", () => {
    const hello = encodeClientFrame({ type: "hello", protocol: streamProtocol, caller: "c", label: "", session: 0 });
    expect(() => decodeClientFrame(encodeTracedFrame([trace], hello))).toThrow(CodecError);
  });
});
