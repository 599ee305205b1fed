import type { LaneFrame } from "@trivet/wire";

/** What one turn sent to shards, until all of its commands are answered. */
interface OpenTurn {
  readonly frames: readonly LaneFrame[];
  readonly sentAt: number;
}

/** So many unanswered turns keep the cluster busy: what comes then gathers until one of them is answered. */
const busyTurns = 2;
/** Bounds of how long it gathers where no answer comes. */
const shortestMs = 1;
const longestMs = 10;
/** A turn that is not answered by then is not what keeps the cluster busy: a shard may wait for a leader. */
const forgottenMs = 1_000;

/**
 * How many turns the shards have in hand, and how long one takes them of late. Answers are what clocks a connection (as acknowledgements do in TCP, Jacobson 1988):
 * the slower the cluster is, the more goes with one turn, and the less a message costs it.
 */
export class OpenTurns {
  /** In the order in which they were sent. */
  private turns: OpenTurn[] = [];
  private usualMs = shortestMs;

  sent(frames: readonly LaneFrame[], now: number): void {
    // Where nothing is answered, or all is refused, nothing else would make an end of them.
    while ((this.turns[0]?.sentAt ?? now) + forgottenMs <= now) this.turns.shift();
    if (frames.length > 0) this.turns.push({ frames, sentAt: now });
  }

  /** Some commands were answered, or given up. */
  answered(now: number): void {
    this.turns = this.turns.filter(({ frames, sentAt }) => {
      if (frames.some(({ open }) => open > 0)) return now - sentAt < forgottenMs;
      this.usualMs += (Math.min(now - sentAt, 2 * longestMs) - this.usualMs) / 8;
      return false;
    });
  }

  isBusy(now: number): boolean {
    const first = this.turns.at(-busyTurns);
    return first !== undefined && now - first.sentAt < forgottenMs;
  }

  /** Turns that are remembered. */
  get size(): number {
    return this.turns.length;
  }

  /** The longest that commands wait for others: about as long as an answer takes. Only one that is late makes it so long. */
  get patienceMs(): number {
    return Math.min(longestMs, Math.max(shortestMs, this.usualMs));
  }
}
