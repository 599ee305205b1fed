import type { Unavailable } from "@trivet/engine";
import type { Result } from "@trivet/wire";
import { endSpan, type Traced, type Tracing } from "../observability/tracing.ts";
import { StreamRoute, type StreamSink } from "./stream-route.ts";

interface OpenFrame {
  readonly first: number;
  readonly count: number;
  readonly traced: Traced;
  left: number;
}
/** Frames whose answers are awaited with a span; of more the oldest one's ends. */
const maxOpenFrames = 1_024;

/** A route of a node that traces: each frame of commands is a span, from its arrival to the answer of its last command. */
export class TracedRoute extends StreamRoute {
  private readonly tracing: Tracing;
  private readonly open: OpenFrame[] = [];

  constructor(caller: string, connection: StreamSink, tracing: Tracing) {
    super(caller, connection);
    this.tracing = tracing;
  }

  begins(first: number, count: number): void {
    const traced = this.tracing.begin("stream commands", { "trivet.commands": count });
    this.open.push({ first, count, traced, left: count });
    const oldest = this.open.length > maxOpenFrames ? this.open.shift() : undefined;
    if (oldest !== undefined) endSpan(oldest.traced, { "trivet.outcome": "unknown" }, null);
  }

  override answer(sequence: number, result: Result): void {
    super.answer(sequence, result);
    this.settle(sequence, 1, "answered", null);
  }

  override refused(firstSequence: number, count: number, reason: Unavailable): void {
    super.refused(firstSequence, count, reason);
    this.settle(firstSequence, count, "unavailable", reason.code);
  }

  /** The connection is over: what had no answer gets it elsewhere, or asks again. */
  ends(): void {
    for (const { traced } of this.open.splice(0)) endSpan(traced, { "trivet.outcome": "disconnected" }, null);
  }

  private settle(sequence: number, count: number, outcome: string, fault: string | null): void {
    // A frame that is sent again is open twice; both are answered by one answer.
    for (const frame of this.open.filter(({ first, count: all }) => sequence >= first && sequence < first + all)) {
      frame.left -= count;
      if (frame.left > 0) continue;
      endSpan(frame.traced, { "trivet.outcome": outcome }, fault);
      this.open.splice(this.open.indexOf(frame), 1);
    }
  }
}

/** Without tracing nothing of this file is used but this. */
export const routeOf = (caller: string, connection: StreamSink, tracing: Tracing | null): StreamRoute =>
  tracing === null ? new StreamRoute(caller, connection) : new TracedRoute(caller, connection, tracing);
