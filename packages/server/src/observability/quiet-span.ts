import { INVALID_SPAN_CONTEXT, type Attributes, type Span, type SpanContext, type SpanStatus } from "@opentelemetry/api";

/**
 * The edge to whatever the process has registered as its tracer. A span is beside the work: what the tracer throws may cost the span, and never an answer, a
 * turn of the node, or the node. What is called is the tracer's alone; errors of the work pass by.
 */
export class TracerFaults {
  private readonly told: (error: unknown) => void;

  constructor(told: (error: unknown) => void) {
    this.told = told;
  }

  quietly<T>(run: () => T, otherwise: T): T {
    try {
      return run();
    } catch (error) {
      this.told(error);
      return otherwise;
    }
  }
}

/** A span of the tracer, which throws nothing. */
export class QuietSpan {
  private readonly span: Span;
  private readonly faults: TracerFaults;

  constructor(span: Span, faults: TracerFaults) {
    this.span = span;
    this.faults = faults;
  }

  isRecording(): boolean {
    return this.faults.quietly(() => this.span.isRecording(), false);
  }
  spanContext(): SpanContext {
    return this.faults.quietly(() => this.span.spanContext(), INVALID_SPAN_CONTEXT);
  }
  /** What vendors have added; "" = nothing that can be said. */
  state(): string {
    return this.faults.quietly(() => this.span.spanContext().traceState?.serialize() ?? "", "");
  }
  addEvent(name: string, attributes: Attributes): void {
    this.faults.quietly(() => void this.span.addEvent(name, attributes), undefined);
  }
  setAttributes(attributes: Attributes): void {
    this.faults.quietly(() => void this.span.setAttributes(attributes), undefined);
  }
  setStatus(status: SpanStatus): void {
    this.faults.quietly(() => void this.span.setStatus(status), undefined);
  }
  end(): void {
    this.faults.quietly(() => this.span.end(), undefined);
  }
}
