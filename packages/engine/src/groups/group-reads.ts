import type { Clock } from "../ports/clock.ts";
import type { GroupHost } from "./group-host.ts";

interface Waiting {
  readonly deadline: number;
  readonly done: (ready: boolean) => void;
}
interface Round {
  readonly context: number;
  readonly askedAt: number;
  readonly waiting: readonly Waiting[];
  /** Read index once leadership was confirmed; null before. */
  index: number | null;
}

const retryMs = 20;

/**
 * Linearizable reads of one group (rule L4): all reads asked in one turn share one ReadIndex round; each is served once the index of its
 * round is applied here. A refused round is asked again until the reader's deadline.
 */
export class GroupReads {
  private readonly group: GroupHost;
  private readonly clock: Clock;
  private asking: Waiting[] = [];
  private readonly rounds: Round[] = [];
  private contexts = 0;
  private retry: Waiting[] = [];
  private retryAt = 0;

  constructor(group: GroupHost, clock: Clock) {
    this.group = group;
    this.clock = clock;
  }

  /** `done(true)` when everything acknowledged before this call is applied here; false when no leader confirmed in time. */
  barrier(timeoutMs: number, done: (ready: boolean) => void): void {
    this.asking.push({ deadline: this.clock.now() + timeoutMs, done });
  }

  get hasAsking(): boolean {
    return this.asking.length > 0;
  }

  /** Somebody waits: for a round, for the apply after it, or to ask again. */
  get isOpen(): boolean {
    return this.asking.length + this.rounds.length + this.retry.length > 0;
  }

  ask(): void {
    if (this.asking.length === 0) return;
    this.contexts += 1;
    const round: Round = { context: this.contexts, askedAt: this.clock.now(), waiting: this.asking, index: null };
    this.asking = [];
    this.rounds.push(round);
    this.group.raft.step({ type: "read", context: round.context });
  }

  answered(context: number, index: number): void {
    const position = this.rounds.findIndex((round) => round.context === context);
    const round = this.rounds[position];
    if (round === undefined) return;
    if (index === 0) {
      this.rounds.splice(position, 1);
      if (this.retry.length === 0) this.retryAt = this.clock.now() + retryMs;
      this.retry.push(...round.waiting);
    } else {
      round.index = index;
    }
  }

  serve(): void {
    const applied = this.group.appliedIndex;
    let kept = 0;
    const ready: Waiting[] = [];
    for (const round of this.rounds) {
      if (round.index !== null && round.index <= applied) {
        this.group.meter.readServed(round.askedAt);
        ready.push(...round.waiting);
      } else {
        this.rounds[kept] = round;
        kept += 1;
      }
    }
    this.rounds.length = kept;
    for (const waiting of ready) waiting.done(true);
  }

  tick(now: number): void {
    if (!this.isOpen) return;
    if (this.retry.length > 0 && now >= this.retryAt) {
      this.asking.push(...this.retry);
      this.retry = [];
    }
    this.asking = this.expire(this.asking, now);
    this.retry = this.expire(this.retry, now);
    for (let index = this.rounds.length - 1; index >= 0; index -= 1) {
      const round = this.rounds[index];
      if (round === undefined || round.waiting.every((waiting) => waiting.deadline > now)) continue;
      const left = this.expire(round.waiting, now);
      if (left.length === 0) this.rounds.splice(index, 1);
      else this.rounds[index] = { ...round, waiting: left };
    }
  }

  stop(): void {
    const all = [...this.asking, ...this.retry, ...this.rounds.flatMap((round) => round.waiting)];
    this.asking = [];
    this.retry = [];
    this.rounds.length = 0;
    for (const waiting of all) waiting.done(false);
  }

  private expire(waiting: readonly Waiting[], now: number): Waiting[] {
    const left: Waiting[] = [];
    for (const one of waiting) {
      if (one.deadline > now) left.push(one);
      else one.done(false);
    }
    return left;
  }
}
