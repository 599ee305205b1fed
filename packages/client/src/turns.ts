import type { OpenTurns } from "./open-turns.ts";

/**
 * When the frames of a turn are closed: with the turn of the event loop, or, where those of several are unanswered, a little later (as Nagle's algorithm, RFC 896).
 * Under load larger frames cost all nodes less; without, nobody waits.
 */
export class Turns {
  private readonly end: () => void;
  private immediate: NodeJS.Immediate | null = null;
  private timer: NodeJS.Timeout | null = null;
  /** Monotonic time, read once per turn. */
  private beganAt = 0;

  constructor(end: () => void) {
    this.end = end;
  }

  get isGathering(): boolean {
    return this.timer !== null;
  }

  /** Ends with this turn of the event loop. Returns when it began. */
  begin(): number {
    if (this.immediate !== null) return this.beganAt;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    // Where it ends a gathering, too: what comes now has its whole time.
    this.beganAt = performance.now();
    this.immediate = setImmediate(this.end);
    return this.beganAt;
  }

  /** Ends later where it is busy: when it is not any more (`begin`), at the latest when its patience is over. */
  gather(open: OpenTurns): number {
    if (this.immediate !== null || this.timer !== null) return this.beganAt;
    const now = performance.now();
    if (!open.isBusy(now)) return this.begin();
    this.beganAt = now;
    this.timer = setTimeout(this.end, open.patienceMs);
    return this.beganAt;
  }

  ended(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    if (this.immediate !== null) clearImmediate(this.immediate);
    this.timer = null;
    this.immediate = null;
  }
}
