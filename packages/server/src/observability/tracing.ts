import { AsyncLocalStorage } from "node:async_hooks";
import {
  context as contexts,
  createTraceState,
  ROOT_CONTEXT,
  type Attributes,
  type Context,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { IncomingHttpHeaders } from "node:http";

const traceparent = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
/** Longer ones may be left out (W3C Trace Context, 3.3.1.5). */
const maxStateLength = 512;

/** What the caller's headers say of the trace this call belongs to (W3C Trace Context); none, or none that is valid = it begins one. */
function remoteContext(headers: IncomingHttpHeaders): Context {
  const { traceparent: parent, tracestate } = headers;
  const [, version, traceId = "", spanId = "", flags = "0", more] = traceparent.exec(typeof parent === "string" ? parent : "") ?? [];
  // Version 00 has four parts; a later one may have more, and ff is none.
  if (version === undefined || version === "ff" || (version === "00" && more !== undefined)) return contexts.active();
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return contexts.active();
  const state = typeof tracestate === "string" && tracestate.length <= maxStateLength ? { traceState: createTraceState(tracestate) } : {};
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true, ...state });
}

/** A span that is under way. */
export interface Traced {
  readonly span: Span;
  readonly context: Context;
}

/**
 * Spans of the OpenTelemetry API, for whichever provider the process has registered. There is no Tracing at all where it is off: nothing asks it anything.
 * It brings its own memory of what is under way, as a process without the SDK has none.
 */
export class Tracing {
  private readonly tracer: Tracer;
  private readonly node: string;
  private readonly active = new AsyncLocalStorage<Traced>();

  constructor(node: string, version: string) {
    this.node = node;
    this.tracer = trace.getTracer("trivet", version);
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
    return this.start(`${method} ${route}`, SpanKind.SERVER, attributes, remoteContext(headers));
  }

  /** The span of what came over a stream, which tells of no trace. */
  begin(name: string, attributes: Attributes): Traced {
    return this.start(name, SpanKind.SERVER, { ...attributes, "trivet.node": this.node }, contexts.active());
  }

  /** A part of what is under way here; null = nothing is. */
  child(name: string, kind: SpanKind, attributes: Attributes): Traced | null {
    const parent = this.active.getStore();
    return parent === undefined ? null : this.start(name, kind, attributes, parent.context);
  }

  /** Runs what belongs to `traced`: what it starts are its children, also those of other libraries. */
  within<T>(traced: Traced, run: () => T): T {
    return this.active.run(traced, () => contexts.with(traced.context, run));
  }

  private start(name: string, kind: SpanKind, attributes: Attributes, parent: Context): Traced {
    const span = this.tracer.startSpan(name, { kind, attributes }, parent);
    return { span, context: trace.setSpan(parent, span) };
  }
}

/** Ends a span; `fault` = why what it is about failed. */
export function endSpan({ span }: Traced, attributes: Attributes, fault: string | null): void {
  span.setAttributes(attributes);
  if (fault !== null) span.setStatus({ code: SpanStatusCode.ERROR, message: fault });
  span.end();
}

/** Headers that continue a trace at another node. */
export function traceHeaders({ span }: Traced): Record<string, string> {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const state = traceState?.serialize() ?? "";
  return {
    traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`,
    ...(state === "" ? {} : { tracestate: state }),
  };
}

type Callback = (outcome: unknown, ...more: readonly unknown[]) => unknown;
type Method = (...args: readonly unknown[]) => unknown;

/** What an outcome says besides its type: the call took no effect, or nobody knows. */
const faults: ReadonlySet<string> = new Set(["unavailable", "unknown", "timeout"]);
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
      endSpan(span, { ...command, "trivet.outcome": type }, faults.has(type) ? type : null);
      return (done as Callback)(outcome, ...more);
    };
    return tracing.within(span, () => method(...args.slice(0, -1), answered));
  };
