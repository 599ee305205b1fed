import { type LaneFrame, sharedTraces, type TraceContext } from "@trivet/wire";
import type { Traces } from "./tracing.ts";

/** The traces of those whose commands share a frame, for as long as the frame may be sent again. */
export class FrameTraces {
  private readonly known = new WeakMap<LaneFrame, readonly TraceContext[]>();
  private isUsed = false;

  add(frame: LaneFrame | undefined, traces: readonly TraceContext[]): void {
    if (frame === undefined) return;
    this.isUsed = true;
    this.known.set(frame, sharedTraces([...(this.known.get(frame) ?? []), ...traces]));
  }

  of(frame: LaneFrame): Traces {
    return this.isUsed ? (this.known.get(frame) ?? null) : null;
  }
}
