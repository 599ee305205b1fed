import type { Clock, Timer } from "@trivet/engine";
import { redisLimits } from "./limits.ts";

/** One partition of one queue. */
export interface Place {
  readonly queue: number;
  readonly partition: number;
}

/**
 * When which partition is looked at without a call: at the deadline that its last answer named, and once in a while anyway, for the node that
 * knew of a deadline may be gone. It decides nothing: any number of nodes may look at the same time (rule Q4).
 */
export class Pump {
  private readonly clock: Clock;
  private readonly run: (place: Place, tidy: boolean) => void;
  private readonly timers: Map<string, { readonly timer: Timer; readonly at: number }> = new Map();
  private partitions: readonly Place[] = [];
  private next = 0;
  private rounds = 0;
  private ticking: Timer | null = null;

  constructor(clock: Clock, run: (place: Place, tidy: boolean) => void) {
    this.clock = clock;
    this.run = run;
    this.tick();
  }

  /** All that there are now. */
  watch(partitions: readonly Place[]): void {
    this.partitions = partitions;
  }

  /** An answer named the next deadline of the partition; an earlier one that is known stays. */
  due(place: Place, inMs: number): void {
    if (inMs < 0) return;
    const name = `${place.queue}/${place.partition}`;
    const at = this.clock.now() + Math.max(inMs, redisLimits.pumpPauseMs);
    const known = this.timers.get(name);
    if (known !== undefined && known.at <= at) return;
    known?.timer.cancel();
    const timer = this.clock.schedule(at - this.clock.now(), () => {
      this.timers.delete(name);
      this.run(place, false);
    });
    this.timers.set(name, { timer, at });
  }

  stop(): void {
    this.ticking?.cancel();
    for (const { timer } of this.timers.values()) timer.cancel();
    this.timers.clear();
  }

  private tick(): void {
    this.ticking = this.clock.schedule(redisLimits.tickMs, () => {
      const { partitions } = this;
      const share = Math.ceil((partitions.length * redisLimits.tickMs) / redisLimits.roundMs);
      for (let left = Math.min(share, redisLimits.partitionsPerTick); left > 0; left--) {
        if (this.next >= partitions.length) {
          this.next = 0;
          this.rounds++;
        }
        const place = partitions[this.next++];
        if (place !== undefined) this.run(place, this.rounds % redisLimits.tidyRounds === redisLimits.tidyRounds - 1);
      }
      this.tick();
    });
  }
}
