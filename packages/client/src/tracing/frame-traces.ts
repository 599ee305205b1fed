import { type LaneFrame, limits, type TraceContext } from "@trivet/wire";
import type { Traces } from "./tracing.ts";

/** The traces of those whose commands share a frame, for as long as the frame may be sent again. */
export class FrameTraces {
  private readonly known = new WeakMap<LaneFrame, TraceContext[]>();
  private isUsed = false;

  add(frame: LaneFrame | undefined, traces: readonly TraceContext[]): void {
    if (frame === undefined) return;
    this.isUsed = true;
    const known = this.known.get(frame) ?? [];
    for (const trace of traces) {
      const isRoom = known.length < limits.maxTracesPerFrame;
      if (isRoom && !known.some(({ spanId, traceId }) => spanId === trace.spanId && traceId === trace.traceId)) known.push(trace);
    }
    this.known.set(frame, known);
  }

  of(frame: LaneFrame): Traces {
    return this.isUsed ? (this.known.get(frame) ?? null) : null;
  }
}
