import type { ByteReader, ByteWriter } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import { limits } from "./limits.ts";

/** Which trace something belongs to, and which of its spans it is below (W3C Trace Context). Ids in lower-case hexadecimal, never all zeros. */
export interface TraceContext {
  readonly traceId: string;
  readonly spanId: string;
  /** 1 = it is recorded, 0 = it is not. */
  readonly flags: number;
  /** What vendors add, as the header `tracestate` says it; "" = nothing. */
  readonly state: string;
}

const traceBytes = 16;
const spanBytes = 8;
const format = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const nothing = /^0+$/;
const printable = /^[\x20-\x7e]*$/;

/** Of the headers `traceparent` and `tracestate`. Null = none, or none that is valid. */
export function parseTrace(parent: string | undefined, state: string | undefined): TraceContext | null {
  const [, version, traceId = "", spanId = "", flags = "0", more] = format.exec(parent ?? "") ?? [];
  // Version 00 has four parts; a later one may have more, and ff is none.
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) return null;
  if (nothing.test(traceId) || nothing.test(spanId)) return null;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) & 1, state: keptState(state ?? "") };
}

/** As the header `traceparent`. */
export function formatTrace({ flags, spanId, traceId }: TraceContext): string {
  return `00-${traceId}-${spanId}-${flags.toString(16).padStart(2, "0")}`;
}

/** What may be left out (W3C Trace Context, 3.3.1.5) is left out where it is longer than it has to be passed on. */
export function keptState(state: string): string {
  return state.length <= limits.maxTraceStateBytes && printable.test(state) ? state : "";
}

type Headers = readonly (readonly [name: string, text: string])[];
const isNamed =
  (name: string) =>
  ([given]: readonly [string, string]): boolean =>
    given.toLowerCase() === name;

/**
 * Headers of a message with the trace that it was made in, so that whoever consumes it can link to that. They are as they were where they say one
 * themselves, or where a message has no room for more.
 */
export function tracedHeaders(headers: Headers, trace: TraceContext): Headers {
  if (headers.length >= limits.maxHeadersPerMessage || headers.some(isNamed("traceparent"))) return headers;
  const traced: Headers = [...headers, ["traceparent", formatTrace(trace)]];
  const isWhole = trace.state === "" || traced.length >= limits.maxHeadersPerMessage || headers.some(isNamed("tracestate"));
  return isWhole ? traced : [...traced, ["tracestate", trace.state]];
}

/** The trace that a message was made in; null = it does not say. */
export function traceOfMessage(headers: Headers): TraceContext | null {
  const [, parent] = headers.find(isNamed("traceparent")) ?? [];
  const [, state] = headers.find(isNamed("tracestate")) ?? [];
  return parseTrace(parent, state);
}

/**
 * What is told of those who share something: each once, and no more than may be told. Whose trace is not recorded says nothing beside one whose is: it would
 * hide that.
 */
export function sharedTraces(traces: readonly TraceContext[]): readonly TraceContext[] {
  const recorded = new Map<string, TraceContext>();
  for (const trace of traces)
    if (trace.flags === 1 && recorded.size < limits.maxTracesPerFrame) recorded.set(`${trace.traceId}/${trace.spanId}`, trace);
  return recorded.size > 0 ? [...recorded.values()] : traces.slice(0, 1);
}

/**
 * Messages that say the trace that they are made in (see `tracedHeaders`), where all of them still fit with it: what vendors add is left out first, then the
 * rest. What fits without it must not be refused, or be parted, for its sake.
 */
export function tracedMessages<M extends { readonly headers: Headers }>(
  messages: readonly M[],
  trace: TraceContext,
  fits: (messages: readonly M[]) => boolean,
): readonly M[] {
  for (const told of trace.state === "" ? [trace] : [trace, { ...trace, state: "" }]) {
    const traced = messages.map((message) => ({ ...message, headers: tracedHeaders(message.headers, told) }));
    if (fits(traced)) return traced;
  }
  return messages;
}

export function encodeTrace(writer: ByteWriter, { flags, spanId, state, traceId }: TraceContext): void {
  writer.raw(bytesOf(traceId, traceBytes));
  writer.raw(bytesOf(spanId, spanBytes));
  writer.u8(flags);
  writer.string(state);
}

/** Throws CodecError. */
export function decodeTrace(reader: ByteReader): TraceContext {
  const traceId = hexOf(reader.raw(traceBytes));
  const spanId = hexOf(reader.raw(spanBytes));
  const flags = reader.u8();
  const state = reader.string(limits.maxTraceStateBytes);
  if (nothing.test(traceId) || nothing.test(spanId)) throw new CodecError("a trace without an id");
  if (flags > 1) throw new CodecError(`unknown flags ${flags} of a trace`);
  if (!printable.test(state)) throw new CodecError("a state of a trace that no header can carry");
  return { traceId, spanId, flags, state };
}

function bytesOf(id: string, length: number): Uint8Array {
  if (id.length !== 2 * length || !/^[0-9a-f]+$/.test(id)) throw new CodecError("an id of a trace that is none");
  return Uint8Array.from({ length }, (_, at) => Number.parseInt(id.slice(2 * at, 2 * at + 2), 16));
}

function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}
