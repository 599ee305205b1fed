import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import {
  context as contexts,
  createTraceState,
  INVALID_SPAN_CONTEXT,
  isSpanContextValid,
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type Attributes,
  type Context,
  type Link,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import { formatTrace, keptState, parseTrace, sharedTraces, type TraceContext } from "@trivet/wire";
import type { IncomingHttpHeaders } from "node:http";
import { QuietSpan, TracerFaults } from "./quiet-span.ts";

/** What a caller says of the trace that it continues (W3C Trace Context). Null = nothing that is valid. */
function traceOfHeaders({ traceparent, tracestate }: IncomingHttpHeaders): TraceContext | null {
  if (typeof traceparent !== "string") return null;
  return parseTrace(traceparent, typeof tracestate === "string" ? tracestate : undefined);
}

function contextOf({ flags, spanId, state, traceId }: TraceContext): Context {
  const vendors = state === "" ? {} : { traceState: createTraceState(state) };
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: flags, isRemote: true, ...vendors });
}

/** Null = it is of no trace, as where no provider gives spans their ids. */
export function traceOf({ span }: Traced): TraceContext | null {
  const own = span.spanContext();
  if (!isSpanContextValid(own)) return null;
  const { spanId, traceFlags, traceId } = own;
  return { traceId: traceId.toLowerCase(), spanId: spanId.toLowerCase(), flags: traceFlags & 1, state: keptState(span.state()) };
}

/** A span that is under way. */
export interface Traced {
  readonly span: QuietSpan;
  readonly context: Context;
}

/**
 * Spans of the OpenTelemetry API, for whichever provider the process has registered. There is no Tracing at all where it is off: nothing asks it anything.
 * It brings its own memory of what is under way, as a process without the SDK has none.
 */
export class Tracing {
  private readonly node: string;
  private readonly version: string;
  private readonly faults: TracerFaults;
  private tracer: Tracer | null = null;
  /** Null = what runs belongs to no trace, whatever runs around it. */
  private readonly active = new AsyncLocalStorage<Traced | null>();
  private isRegistered = false;

  /** `failed` hears of what the tracer throws. */
  constructor(node: string, version: string, failed: (error: unknown) => void) {
    this.node = node;
    this.version = version;
    this.faults = new TracerFaults(failed);
  }

  /** The process has a provider: without one all spans are none. */
  get isOn(): boolean {
    this.isRegistered ||= this.faults.quietly(hasProvider, false);
    return this.isRegistered;
  }

  /** The span of a call that came over HTTP, continuing its caller's trace. */
  call(method: string, route: string, requestId: string, headers: IncomingHttpHeaders): Traced {
    // Names of locks and keys of cached values stay out of it: the route says which kind of call it is.
    const attributes = {
      "http.request.method": method,
      "http.route": route,
      "trivet.node": this.node,
      "trivet.request_id": requestId,
    };
    const caller = traceOfHeaders(headers);
    const parent = caller === null ? this.faults.quietly(() => contexts.active(), ROOT_CONTEXT) : contextOf(caller);
    return this.start(`${method} ${route}`, SpanKind.SERVER, attributes, parent);
  }

  /** The span of a frame of a stream. It continues the first of these traces that is recorded, and is linked with the others; without any it begins one. */
  frame(name: string, attributes: Attributes, traces: readonly TraceContext[]): Traced {
    const [parent, ...others] = sharedTraces(traces);
    const links = others.map((other) => ({ context: linkOf(other) }));
    const told = { ...attributes, "trivet.node": this.node };
    return this.start(name, SpanKind.SERVER, told, parent === undefined ? ROOT_CONTEXT : contextOf(parent), links);
  }

  /** A part of what is under way here; null = nothing is. */
  child(name: string, kind: SpanKind, attributes: Attributes): Traced | null {
    const parent = this.active.getStore() ?? null;
    return parent === null ? null : this.start(name, kind, attributes, parent.context);
  }

  /** A part of something in that trace, on this node. */
  part(name: string, parent: TraceContext, attributes: Attributes): Traced {
    const active = this.active.getStore() ?? null;
    const isHere = active?.span.spanContext().spanId === parent.spanId;
    const told = { ...attributes, "trivet.node": this.node };
    return this.start(name, SpanKind.INTERNAL, told, isHere && active !== null ? active.context : contextOf(parent));
  }

  /** Runs what belongs to `traced`: what it starts are its children, also those of other libraries. */
  within<T>(traced: Traced, run: () => T): T {
    return this.active.run(traced, () => contexts.with(traced.context, run));
  }

  /** The same of a trace that was begun elsewhere; null = what is run belongs to none. */
  withinTrace<T>(of: TraceContext | null, run: () => T): T {
    if (of === null) return this.active.run(null, () => contexts.with(ROOT_CONTEXT, run));
    const context = contextOf(of);
    const span = trace.getSpan(context);
    return span === undefined ? run() : this.within({ span: new QuietSpan(span, this.faults), context }, run);
  }

  /** Which trace what runs now belongs to. */
  current(): TraceContext | null {
    const active = this.active.getStore() ?? null;
    return active === null ? null : traceOf(active);
  }

  /** What is run later than this, in a turn that it shares with others, belongs where this does. */
  bound(run: () => void): () => void {
    return this.isOn ? AsyncResource.bind(run) : run;
  }

  /** Without a span that could be begun it is as if nobody recorded: what is below goes on in the trace above. */
  private start(name: string, kind: SpanKind, attributes: Attributes, parent: Context, links: Link[] = []): Traced {
    const { faults } = this;
    const begin = (): Traced => {
      this.tracer ??= trace.getTracer("trivet", this.version);
      const span = this.tracer.startSpan(name, { kind, attributes, links }, parent);
      return { span: new QuietSpan(span, faults), context: trace.setSpan(parent, span) };
    };
    return (
      faults.quietly<Traced | null>(begin, null) ?? {
        span: new QuietSpan(trace.wrapSpanContext(INVALID_SPAN_CONTEXT), faults),
        context: parent,
      }
    );
  }
}

function hasProvider(): boolean {
  const provider = trace.getTracerProvider();
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegateTracer("trivet") !== undefined;
}

function linkOf({ flags, spanId, traceId }: TraceContext): SpanContext {
  return { traceId, spanId, traceFlags: flags, isRemote: true };
}

/** Ends a span; `fault` = why what it is about failed. */
export function endSpan({ span }: Traced, attributes: Attributes, fault: string | null): void {
  span.setAttributes(attributes);
  if (fault !== null) span.setStatus({ code: SpanStatusCode.ERROR, message: fault });
  span.end();
}

/** Headers that continue a trace at another node, or in a message. */
export function traceHeaders(of: TraceContext): Record<string, string> {
  return { traceparent: formatTrace(of), ...(of.state === "" ? {} : { tracestate: of.state }) };
}

type Callback = (outcome: unknown, ...more: readonly unknown[]) => unknown;
type Method = (...args: readonly unknown[]) => unknown;

/** What an outcome says besides its type: the call took no effect, or nobody knows. */
const faults: ReadonlySet<string> = new Set(["unavailable", "unknown", "timeout"]);
/** Why an outcome of this type is a failure; null = it is none. */
export const faultOf = (type: string): string | null => (faults.has(type) ? type : null);
const typeOf = (outcome: unknown): string => {
  const type = typeof outcome === "object" && outcome !== null ? (outcome as { readonly type?: unknown }).type : undefined;
  return typeof type === "string" ? type : "done";
};

/** The same API, whose calls to `names` are spans: from the call until it is told the outcome. They are those of a call that is under way, and no others. */
export function traced<Api extends object>(api: Api, what: string, names: readonly (keyof Api & string)[], tracing: Tracing): Api {
  const spans = new Set<string | symbol>(names);
  return new Proxy(api, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      const method = value.bind(target) as Method;
      return spans.has(name) ? withSpan(`${what}.${String(name)}`, method, tracing) : method;
    },
  });
}

const withSpan =
  (name: string, method: Method, tracing: Tracing): Method =>
  (...args) => {
    const done = args.at(-1);
    const span = typeof done === "function" ? tracing.child(name, SpanKind.INTERNAL, {}) : null;
    if (span === null) return method(...args);
    const [first] = args;
    // Commands are told apart by their type.
    const command = typeof first === "object" && first !== null && "type" in first ? { "trivet.command": typeOf(first) } : {};
    const answered: Callback = (outcome, ...more) => {
      const type = typeOf(outcome);
      endSpan(span, { ...command, "trivet.outcome": type }, faultOf(type));
      return (done as Callback)(outcome, ...more);
    };
    return tracing.within(span, () => method(...args.slice(0, -1), answered));
  };
