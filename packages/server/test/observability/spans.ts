import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import {
  context,
  ROOT_CONTEXT,
  SpanKind,
  trace,
  type Attributes,
  type Context,
  type ContextManager,
  type Link,
  type Span,
  type SpanContext,
  type SpanOptions,
  type SpanStatus,
} from "@opentelemetry/api";

/** A span as it ended. */
export interface Ended {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  /** "" = it began the trace. */
  readonly parent: string;
  readonly attributes: Attributes;
  readonly status: SpanStatus;
  /** Ids of the spans that it is linked with. */
  readonly links: readonly string[];
  readonly events: readonly string[];
}

class MemorySpan implements Span {
  private readonly ended: Ended[];
  private readonly name: string;
  private readonly kind: SpanKind;
  private readonly own: SpanContext;
  private readonly parent: string;
  private attributes: Attributes;
  private status: SpanStatus = { code: 0 };
  private readonly links: string[];
  private readonly events: string[] = [];
  private isOver = false;

  constructor(ended: Ended[], name: string, options: SpanOptions, parent: SpanContext | undefined) {
    this.ended = ended;
    this.name = name;
    this.kind = options.kind ?? SpanKind.INTERNAL;
    this.attributes = options.attributes ?? {};
    this.links = (options.links ?? []).map(({ context: of }) => of.spanId);
    this.parent = parent?.spanId ?? "";
    const traceId = parent?.traceId ?? randomBytes(16).toString("hex");
    const state = parent?.traceState === undefined ? {} : { traceState: parent.traceState };
    this.own = { traceId, spanId: randomBytes(8).toString("hex"), traceFlags: parent?.traceFlags ?? 1, ...state };
  }
  spanContext(): SpanContext {
    return this.own;
  }
  setAttribute(name: string, value: Attributes[string]): this {
    return this.setAttributes({ [name]: value });
  }
  setAttributes(attributes: Attributes): this {
    this.attributes = { ...this.attributes, ...attributes };
    return this;
  }
  setStatus(status: SpanStatus): this {
    this.status = status;
    return this;
  }
  end(): void {
    if (this.isOver) throw new Error(`the span ${this.name} ended twice`);
    this.isOver = true;
    if (!this.isKept) return;
    const { name, kind, own, parent, attributes, status, links, events } = this;
    this.ended.push({ name, kind, traceId: own.traceId, spanId: own.spanId, parent, attributes, status, links, events });
  }
  isRecording(): boolean {
    return !this.isOver && this.isKept;
  }
  /** A caller that keeps no spans wants none kept (a sampler by the parent). */
  private get isKept(): boolean {
    return (this.own.traceFlags & 1) === 1;
  }
  addEvent(name: string): this {
    this.events.push(name);
    return this;
  }
  addLink({ context: of }: Link): this {
    this.links.push(of.spanId);
    return this;
  }
  addLinks(): this {
    return this;
  }
  updateName(): this {
    return this;
  }
  recordException(): void {
    return;
  }
}

/** As the SDK does it: what is active belongs to the asynchronous flow. */
class MemoryContexts implements ContextManager {
  private readonly storage = new AsyncLocalStorage<Context>();
  active(): Context {
    return this.storage.getStore() ?? ROOT_CONTEXT;
  }
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    of: Context,
    run: F,
    self?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.storage.run(of, () => run.call(self, ...args));
  }
  bind<T>(_of: Context, target: T): T {
    return target;
  }
  enable(): this {
    return this;
  }
  disable(): this {
    return this;
  }
}

/** Where the tracer is one that throws nothing. */
export function noFault(error: unknown): void {
  throw error;
}

export type Fault = "startSpan" | "spanContext" | "isRecording" | "addEvent" | "addLink" | "setAttributes" | "setStatus" | "end";
const fails = (name: string): never => {
  throw new Error(`the tracer fails: ${name}`);
};
/** A provider of this process that throws, always, where it is told to; its spans are good otherwise. `remove` takes it away again. */
export function failSpans(...faults: readonly Fault[]): { readonly ended: Ended[]; remove(): void } {
  const kept = rememberSpans();
  const failing = <T extends object>(target: T): T =>
    new Proxy(target, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (typeof value !== "function") return value;
        if ((faults as readonly unknown[]).includes(name)) return () => fails(String(name));
        return value.bind(of);
      },
    });
  const inner = trace.getTracer("inner");
  const tracer = { ...inner, startSpan: (...args: Parameters<typeof inner.startSpan>) => failing(inner.startSpan(...args)) };
  trace.disable();
  trace.setGlobalTracerProvider({ getTracer: () => (faults.includes("startSpan") ? failing(tracer) : tracer) });
  return kept;
}

/** Registers a provider of this process that keeps its spans; `remove` takes it away again. */
export function rememberSpans(): { readonly ended: Ended[]; remove(): void } {
  const ended: Ended[] = [];
  const startSpan = (name: string, options: SpanOptions = {}, parent: Context = context.active()): Span =>
    new MemorySpan(ended, name, options, trace.getSpanContext(parent));
  const tracer = {
    startSpan,
    startActiveSpan: (): never => {
      throw new Error("not used here");
    },
  };
  trace.setGlobalTracerProvider({ getTracer: () => tracer });
  context.setGlobalContextManager(new MemoryContexts());
  return {
    ended,
    remove: () => {
      trace.disable();
      context.disable();
    },
  };
}
