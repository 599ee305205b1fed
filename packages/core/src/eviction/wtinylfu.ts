import { Prng } from "../kernel/prng.ts";
import { BoundedPolicy, queueOf } from "./bounded-policy.ts";
import { FrequencySketch } from "./frequency-sketch.ts";
import { HillClimber } from "./hill-climber.ts";
import { evictionLimits } from "./limits.ts";
import type { Bounds } from "./policy.ts";
import { Queue } from "./queue.ts";
import type { Resident } from "./resident.ts";

/** The window's share of the room to begin with. */
const firstWindow = 0.01;
/** Window and protected segment share so much; the rest is left to probation. With the first window, 80 % of the main room is protected. */
const mostWindow = firstWindow + 0.8 * (1 - firstWindow);
/** Requests for each copy kept, from one look at the hit ratio to the next. */
const samplePerEntry = 10;
/** A candidate asked for so often that it can lose only to a victim that seems more popular still, truly or by collision. */
const popular = 6;
/** One in so many popular candidates gets in although it lost. */
const luck = 128;

/**
 * W-TinyLFU (Einziger, Friedman, Manes 2017) with an adaptive window (Einziger, Eytan, Friedman, Manes 2018). New copies enter a
 * window in the order of use. What falls out of it is a *candidate*: it stays if the sketch has seen its key more often than that of the main
 * room's next victim. The main room is a segmented LRU: probation, and protected for what was hit again.
 *
 * A climber shifts room between window and protected. Copies move after it step by step, some at each admission.
 */
export class WTinyLfu<Line> extends BoundedPolicy<Line> {
  private readonly window = new Queue<Line>();
  private readonly probation = new Queue<Line>();
  private readonly protected = new Queue<Line>();
  private readonly sketch: FrequencySketch;
  private readonly climber = new HillClimber();
  private readonly prng: Prng;
  private windowShare = firstWindow;
  /** The eldest of those that fell out of the window and were not judged yet: it and all younger ones on probation. */
  private candidate: Resident<Line> | null = null;

  constructor(bounds: Bounds, seed: number) {
    super(bounds);
    this.prng = new Prng(seed);
    this.sketch = new FrequencySketch(bounds.maxEntries, this.prng.nextUint32());
  }

  recordHit(resident: Resident<Line>): void {
    const queue = queueOf(resident);
    this.sketch.increment(resident.hash);
    this.climber.recordHit();
    if (queue !== this.probation) {
      queue.refresh(resident);
      return;
    }
    if (resident === this.candidate) this.candidate = resident.younger;
    this.protected.take(resident);
    this.demote();
  }

  protected insert(resident: Resident<Line>): void {
    this.sketch.increment(resident.hash);
    this.climber.recordMiss();
    this.candidate = null;
    this.window.add(resident);
    this.climb();
    this.fillWindow();
    this.emptyWindow();
  }

  protected nextVictim(): Resident<Line> | null {
    const { candidate, probation } = this;
    const victim = probation.oldest ?? this.protected.oldest;
    if (victim === null) return this.window.oldest;
    if (candidate === null || candidate === victim) return victim;
    this.candidate = candidate.younger;
    return this.admits(candidate, victim) ? victim : candidate;
  }

  protected detach(resident: Resident<Line>): void {
    if (resident === this.candidate) this.candidate = resident.younger;
    queueOf(resident).unlink(resident);
  }

  /** Lets the climber look at the hit ratio, and resizes. */
  private climb(): void {
    const capacity = this.capacity();
    const change = this.climber.climb(samplePerEntry * capacity);
    if (change === 0) return;
    this.sketch.sizeFor(capacity);
    this.windowShare = Math.min(mostWindow, Math.max(0, this.windowShare + change));
  }

  /** After the window grew: gives it the oldest of the main room, as far as that holds more than its share. */
  private fillWindow(): void {
    const { window, probation, bounds } = this;
    this.demote();
    for (let moves = 0; moves < evictionLimits.movesPerAdmission; moves++) {
      const main = this.entries - window.count > bounds.maxEntries - this.windowEntries();
      const mainBytes = this.bytes - window.bytes > bounds.maxBytes * (1 - this.windowShare);
      if ((!main && !mainBytes) || window.count >= this.windowEntries() || window.bytes >= this.windowBytes()) return;
      const oldest = probation.oldest;
      if (oldest === null) return;
      window.take(oldest);
    }
  }

  /** What does not fit into the window any more goes on probation, as a candidate. */
  private emptyWindow(): void {
    const { window, probation } = this;
    for (let moves = 0; moves < evictionLimits.movesPerAdmission; moves++) {
      const { oldest } = window;
      if (oldest === null || (window.count <= this.windowEntries() && window.bytes <= this.windowBytes())) return;
      probation.take(oldest);
      this.candidate ??= oldest;
    }
  }

  /** What does not fit into the protected segment any more is on probation again. */
  private demote(): void {
    const { bounds, probation } = this;
    const share = Math.max(0, mostWindow - this.windowShare);
    for (let moves = 0; moves < evictionLimits.movesPerAdmission; moves++) {
      const { oldest, count, bytes } = this.protected;
      if (oldest === null || (count <= share * bounds.maxEntries && (bytes <= share * bounds.maxBytes || share === 0))) return;
      probation.take(oldest);
    }
  }

  private windowEntries(): number {
    return Math.max(1, Math.floor(this.windowShare * this.bounds.maxEntries));
  }

  private windowBytes(): number {
    return this.bounds.maxBytes === Infinity ? Infinity : this.windowShare * this.bounds.maxBytes;
  }

  private admits(candidate: Resident<Line>, victim: Resident<Line>): boolean {
    const [asked, kept] = [this.sketch.frequency(candidate.hash), this.sketch.frequency(victim.hash)];
    if (asked > kept) return true;
    // Against keys chosen to share the counters of a victim nobody uses, which would then keep everything else out for ever.
    return asked >= popular && this.prng.below(luck) === 0;
  }
}
