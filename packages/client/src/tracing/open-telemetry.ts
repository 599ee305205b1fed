import {
  context as contexts,
  createTraceState,
  INVALID_SPAN_CONTEXT,
  isSpanContextValid,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  trace as traces,
  type Context,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
} from "@opentelemetry/api";
import { keptState, type TraceContext } from "@trivet/wire";
import { TrivetError } from "../errors.ts";
import { TracerFaults } from "./tracer-faults.ts";
import type { ClientSpan, ClientTracing, SpanAttributes, Traces } from "./tracing.ts";

type Kind = Parameters<ClientTracing["begin"]>[0];
const kinds: Readonly<Record<Kind, SpanKind>> = { client: SpanKind.CLIENT, producer: SpanKind.PRODUCER, consumer: SpanKind.CONSUMER };

/** Spans by the OpenTelemetry API, for whichever provider the program has registered. */
export class OpenTelemetry implements ClientTracing {
  isOn = false;
  private readonly faults = new TracerFaults();
  private tracer: Tracer | null = null;

  constructor() {
    this.refresh();
  }

  refresh(): void {
    this.isOn = this.faults.quietly(hasProvider, false);
  }

  current(): TraceContext | null {
    return this.faults.quietly(() => {
      const span = traces.getSpan(contexts.active());
      return span === undefined ? null : traceOf(span);
    }, null);
  }

  begin(kind: Kind, name: string, attributes: SpanAttributes, parent: "caller" | "none" | TraceContext): ClientSpan {
    const { faults } = this;
    const below = faults.quietly(() => contextOf(parent), ROOT_CONTEXT);
    const begun = faults.quietly<Recorded | null>(() => {
      this.tracer ??= traces.getTracer("@trivet/client");
      const span = this.tracer.startSpan(name, { kind: kinds[kind], attributes }, below);
      return new Recorded(span, traces.setSpan(below, span), faults);
    }, null);
    // What it begins goes on in the trace above, as where nobody records this.
    return begun ?? new Recorded(traces.wrapSpanContext(INVALID_SPAN_CONTEXT), below, faults);
  }
}

function hasProvider(): boolean {
  const provider = traces.getTracerProvider();
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer("@trivet/client") !== undefined;
}

function contextOf(parent: "caller" | "none" | TraceContext): Context {
  if (parent === "caller") return contexts.active();
  return parent === "none" ? ROOT_CONTEXT : traces.setSpanContext(ROOT_CONTEXT, remote(parent));
}

class Recorded implements ClientSpan {
  readonly traces: Traces;
  private readonly span: Span;
  private readonly context: Context;
  private readonly faults: TracerFaults;

  constructor(span: Span, context: Context, faults: TracerFaults) {
    this.span = span;
    this.context = context;
    this.faults = faults;
    const trace = faults.quietly(() => traceOf(span), null);
    this.traces = trace === null ? null : [trace];
  }

  run<T>(work: () => T): T {
    return contexts.with(this.context, work);
  }

  link(trace: TraceContext): void {
    // Spans of an API before 1.9 have none.
    const span = this.span as Partial<Pick<Span, "addLink">>;
    this.faults.quietly(() => void span.addLink?.({ context: remote(trace) }), undefined);
  }

  end(attributes: SpanAttributes, error: unknown): void {
    this.faults.quietly(() => tell(this.span, attributes, error), undefined);
    this.faults.quietly(() => this.span.end(), undefined);
  }
}

/** `error`: null = there is none. */
function tell(span: Span, attributes: SpanAttributes, error: unknown): void {
  if (error === null) {
    span.setAttributes(attributes);
    return;
  }
  const isError = error instanceof Error;
  // The text of ours names keys and locks.
  const type = error instanceof TrivetError ? error.code : isError ? error.name : "_OTHER";
  const message = isError && !(error instanceof TrivetError) ? { message: error.message } : {};
  span.setAttributes({ ...attributes, "error.type": type });
  span.setStatus({ code: SpanStatusCode.ERROR, ...message });
}

function remote({ flags, spanId, state, traceId }: TraceContext): ReturnType<Span["spanContext"]> {
  const vendors = state === "" ? {} : { traceState: createTraceState(state) };
  return { traceId, spanId, traceFlags: flags, isRemote: true, ...vendors };
}

/** Null = it is of no trace. */
function traceOf(span: Span): TraceContext | null {
  const own = span.spanContext();
  if (!isSpanContextValid(own)) return null;
  const { spanId, traceFlags, traceId, traceState } = own;
  return {
    traceId: traceId.toLowerCase(),
    spanId: spanId.toLowerCase(),
    flags: traceFlags & 1,
    state: keptState(traceState?.serialize() ?? ""),
  };
}
