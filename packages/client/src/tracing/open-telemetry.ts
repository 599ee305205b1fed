import {
  context as contexts,
  createTraceState,
  isSpanContextValid,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  trace as traces,
  type Context,
  type Span,
  SpanKind,
  SpanStatusCode,
} from "@opentelemetry/api";
import { keptState, type TraceContext } from "@trivet/wire";
import { TrivetError } from "../errors.ts";
import type { ClientSpan, ClientTracing, SpanAttributes, Traces } from "./tracing.ts";

type Kind = Parameters<ClientTracing["begin"]>[0];
const kinds: Readonly<Record<Kind, SpanKind>> = { client: SpanKind.CLIENT, producer: SpanKind.PRODUCER, consumer: SpanKind.CONSUMER };

/** Spans by the OpenTelemetry API, for whichever provider the program has registered. */
export class OpenTelemetry implements ClientTracing {
  isOn = false;
  private readonly tracer = traces.getTracer("@trivet/client");

  constructor() {
    this.refresh();
  }

  refresh(): void {
    const provider = traces.getTracerProvider();
    this.isOn = !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer("@trivet/client") !== undefined;
  }

  current(): TraceContext | null {
    const span = traces.getSpan(contexts.active());
    return span === undefined ? null : traceOf(span);
  }

  begin(kind: Kind, name: string, attributes: SpanAttributes, parent: "caller" | "none" | TraceContext): ClientSpan {
    const below =
      parent === "caller" ? contexts.active() : parent === "none" ? ROOT_CONTEXT : traces.setSpanContext(ROOT_CONTEXT, remote(parent));
    const span = this.tracer.startSpan(name, { kind: kinds[kind], attributes }, below);
    return new Recorded(span, traces.setSpan(below, span));
  }
}

class Recorded implements ClientSpan {
  readonly traces: Traces;
  private readonly span: Span;
  private readonly context: Context;

  constructor(span: Span, context: Context) {
    this.span = span;
    this.context = context;
    const trace = traceOf(span);
    this.traces = trace === null ? null : [trace];
  }

  run<T>(work: () => T): T {
    return contexts.with(this.context, work);
  }

  link(trace: TraceContext): void {
    // Spans of an API before 1.9 have none.
    (this.span as Partial<Pick<Span, "addLink">>).addLink?.({ context: remote(trace) });
  }

  end(attributes: SpanAttributes, error: unknown): void {
    const { span } = this;
    if (error === null) span.setAttributes(attributes);
    else if (error instanceof TrivetError) {
      // Its text names keys and locks.
      span.setAttributes({ ...attributes, "error.type": error.code });
      span.setStatus({ code: SpanStatusCode.ERROR });
    } else {
      span.setAttributes({ ...attributes, "error.type": error instanceof Error ? error.name : "_OTHER" });
      span.setStatus({ code: SpanStatusCode.ERROR, ...(error instanceof Error ? { message: error.message } : {}) });
    }
    span.end();
  }
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
