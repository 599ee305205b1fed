import type { OpenSpan, SpanAttributes, Spans } from "@trivet/engine";
import type { TraceContext } from "@trivet/wire";
import { endSpan, traceOf, type Traced, type Tracing } from "./tracing.ts";

class EngineSpan implements OpenSpan {
  readonly trace: TraceContext;
  private readonly traced: Traced;

  constructor(traced: Traced, trace: TraceContext) {
    this.traced = traced;
    this.trace = trace;
  }

  event(name: string, attributes: SpanAttributes): void {
    this.traced.span.addEvent(name, attributes);
  }

  end(attributes: SpanAttributes, fault: string | null): void {
    endSpan(this.traced, attributes, fault);
  }
}

/** What the engine traces by. */
export class EngineSpans implements Spans {
  private readonly tracing: Tracing;

  constructor(tracing: Tracing) {
    this.tracing = tracing;
  }

  get isOn(): boolean {
    return this.tracing.isOn;
  }

  current(): TraceContext | null {
    return this.tracing.current();
  }

  begin(name: string, parent: TraceContext, attributes: SpanAttributes): OpenSpan | null {
    const traced = this.tracing.part(name, parent, attributes);
    if (!traced.span.isRecording()) return null;
    const trace = traceOf(traced);
    return trace === null ? null : new EngineSpan(traced, trace);
  }

  within<T>(trace: TraceContext | null, run: () => T): T {
    return this.tracing.withinTrace(trace, run);
  }
}
