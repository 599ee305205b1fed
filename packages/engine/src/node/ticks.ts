import { mutant } from "@trivet/core/mutation";
import type { Clock, Timer } from "../ports/clock.ts";

export interface Pace {
  /** Ticks that have something to do come no faster than this. */
  readonly fineMs: number;
  /** One comes, whether or not it has anything to do, whenever the time and the offset make a whole multiple of this. */
  readonly beatMs: number;
  readonly beatOffsetMs: number;
}

export interface Ticking {
  tick(now: number): void;
  /** When a tick has something to do that shall not wait for the next beat; in the past = at once. */
  dueAt(now: number): number;
}

/**
 * Calls `tick` when it has something to do, and at every beat: a node at rest wakes for its heartbeats alone. Every wake costs as much as the work of
 * many ticks. Beats are when Raft's are (`nextBeat` of the core).
 */
export class Ticks {
  private readonly clock: Clock;
  private readonly pace: Pace;
  private readonly ticking: Ticking;
  private lastAt: number;
  private plannedAt = Number.POSITIVE_INFINITY;
  private timer: Timer | null = null;
  private stopped = false;

  constructor(clock: Clock, pace: Pace, ticking: Ticking) {
    this.clock = clock;
    this.pace = pace;
    this.ticking = ticking;
    this.lastAt = clock.now();
  }

  start(): void {
    if (this.timer === null && !this.stopped) this.plan(this.clock.now());
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** How long ago the last one was. */
  age(now: number): number {
    return now - this.lastAt;
  }

  /** Something has happened: the next may have to come earlier than it was to. */
  hasten(): void {
    if (this.timer === null || this.plannedAt <= this.lastAt + this.pace.fineMs || mutant("host-rest-unhastened")) return;
    const now = this.clock.now();
    if (this.nextAt(now) < this.plannedAt) this.plan(now);
  }

  /** One that cannot wait. */
  tickNow(now: number): void {
    this.lastAt = now;
    this.ticking.tick(now);
  }

  private plan(now: number): void {
    if (this.stopped) return;
    this.timer?.cancel();
    this.plannedAt = this.nextAt(now);
    // A beat that rounding has put a hair's breadth after this moment would come again and again without time going on.
    this.timer = this.clock.schedule(Math.max(1, this.plannedAt - now), () => {
      this.timer = null;
      this.tickNow(this.clock.now());
      // Not from the time before it: a long one must not make the next come at once.
      this.plan(this.clock.now());
    });
  }

  private nextAt(now: number): number {
    const { beatMs, beatOffsetMs, fineMs } = this.pace;
    const beatAt = (Math.floor((now + beatOffsetMs) / beatMs) + 1) * beatMs - beatOffsetMs;
    return Math.min(beatAt, Math.max(this.lastAt + fineMs, this.ticking.dueAt(now)));
  }
}
