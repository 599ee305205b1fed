import type { Unavailable } from "@trivet/engine";
import type { FrameHeader, Result, TraceContext } from "@trivet/wire";
import { endSpan, type Traced, type Tracing } from "../../observability/tracing.ts";
import { StreamRoute, type StreamSink } from "./stream-route.ts";

interface OpenFrame {
  readonly first: number;
  readonly count: number;
  readonly traced: Traced;
  left: number;
  /** Handed out by its answers so far. */
  handedOut: number;
}
/** Frames whose answers are awaited with a span; of more the oldest one's ends. */
const maxOpenFrames = 1_024;

/** The spans of one caller's frames on one stream: each from its arrival to the answer of its last command. */
export class OpenFrames {
  private readonly open: OpenFrame[] = [];

  add({ count, firstSequence: first }: FrameHeader, traced: Traced): void {
    this.open.push({ first, count, traced, left: count, handedOut: 0 });
    const oldest = this.open.length > maxOpenFrames ? this.open.shift() : undefined;
    if (oldest !== undefined) endSpan(oldest.traced, { "trivet.outcome": "unknown" }, null);
  }

  /** `handedOut`: messages that these answers hand out. */
  answered(sequence: number, count: number, outcome: string, fault: string | null, handedOut = 0): void {
    if (this.open.length === 0) return;
    // A frame that is sent again is open twice; both are answered by one answer.
    for (const frame of this.open.filter(({ first, count: all }) => sequence >= first && sequence < first + all)) {
      frame.left -= count;
      frame.handedOut += handedOut;
      if (frame.left > 0) continue;
      const batch = frame.handedOut === 0 ? {} : { "messaging.batch.message_count": frame.handedOut };
      endSpan(frame.traced, { "trivet.outcome": outcome, ...batch }, fault);
      this.open.splice(this.open.indexOf(frame), 1);
    }
  }

  /** The connection is over: what had no answer gets it elsewhere, or asks again. */
  end(): void {
    for (const { traced } of this.open.splice(0)) endSpan(traced, { "trivet.outcome": "disconnected" }, null);
  }
}

/** A route of a node that traces: each frame of commands is a span. */
export class TracedRoute extends StreamRoute {
  private readonly tracing: Tracing;
  private readonly frames = new OpenFrames();

  constructor(caller: string, connection: StreamSink, tracing: Tracing) {
    super(caller, connection);
    this.tracing = tracing;
  }

  /** Gives the frame to the node, as what belongs to its span. */
  submit(header: FrameHeader, traces: readonly TraceContext[], submit: () => Unavailable | null): Unavailable | null {
    const { tracing } = this;
    if (!tracing.isOn) return submit();
    const traced = tracing.frame("stream commands", { "trivet.commands": header.count }, traces);
    if (traced.span.isRecording()) this.frames.add(header, traced);
    return tracing.within(traced, submit);
  }

  override answer(sequence: number, result: Result): void {
    super.answer(sequence, result);
    this.frames.answered(sequence, 1, "answered", null);
  }

  override refused(firstSequence: number, count: number, reason: Unavailable): void {
    super.refused(firstSequence, count, reason);
    this.frames.answered(firstSequence, count, "unavailable", reason.code);
  }

  ends(): void {
    this.frames.end();
  }
}

/** Without tracing nothing of this file is used but this. */
export const routeOf = (caller: string, connection: StreamSink, tracing: Tracing | null): StreamRoute =>
  tracing === null ? new StreamRoute(caller, connection) : new TracedRoute(caller, connection, tracing);
