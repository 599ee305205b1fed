/** A tracer that fails does so at every span; so often nobody wants to read it. */
const quietMs = 60_000;

/**
 * The edge to whatever the program has registered as its tracer. A span is beside the work: what the tracer throws may cost the span, and never what was
 * asked, which may have happened already. What is called is the tracer's alone; errors of the work pass by.
 */
export class TracerFaults {
  private quietUntil = 0;
  private unsaid = 0;

  quietly<T>(run: () => T, otherwise: T): T {
    try {
      return run();
    } catch (error) {
      this.warn(error);
      return otherwise;
    }
  }

  private warn(error: unknown): void {
    if (performance.now() < this.quietUntil) {
      this.unsaid++;
      return;
    }
    const more = this.unsaid === 0 ? "" : ` (and ${this.unsaid} more since the last warning)`;
    const why = error instanceof Error ? error.message : typeof error;
    process.emitWarning(`The OpenTelemetry provider of this program failed: ${why}${more}. Spans are missing, and nothing else.`, {
      type: "TrivetTracingWarning",
      detail: error instanceof Error ? (error.stack ?? "") : "",
    });
    this.quietUntil = performance.now() + quietMs;
    this.unsaid = 0;
  }
}
