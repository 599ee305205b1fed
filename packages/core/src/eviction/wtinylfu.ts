import { Prng } from "../kernel/prng.ts";
import { BoundedPolicy, queueOf } from "./bounded-policy.ts";
import { FrequencySketch } from "./frequency-sketch.ts";
import { HillClimber } from "./hill-climber.ts";
import { evictionLimits } from "./limits.ts";
import type { Bounds } from "./policy.ts";
import { Queue } from "./queue.ts";
import type { Resident } from "./resident.ts";
import { Shares } from "./shares.ts";

/** Requests for each copy kept, from one look at the hit ratio to the next. */
const samplePerEntry = 10;
/**
 * From this count of the victim on, a candidate must have been asked for twice more often, not once. Two keys asked for equally often
 * differ by one, with who was asked last: in a loop the candidate was, and would push out just what is asked for next.
 */
const settled = 2;
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
  private readonly shares: Shares;
  /** The eldest of those that fell out of the window and were not judged yet: it and all younger ones on probation. */
  private candidate: Resident<Line> | null = null;

  constructor(bounds: Bounds, seed: number) {
    super(bounds);
    this.shares = new Shares(bounds);
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
    const { candidate } = this;
    const onProbation = this.probation.oldest;
    // Without others on probation, the candidate is judged by the oldest protected one.
    const victim = onProbation === candidate ? (this.protected.oldest ?? candidate) : (onProbation ?? this.protected.oldest);
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
    if (!this.shares.moveWindow(change)) this.climber.turnBack();
  }

  /** After the window grew: gives it the oldest on probation, as long as the main room holds more than its share. */
  private fillWindow(): void {
    const { window, probation, shares } = this;
    this.demote();
    for (let moves = 0; moves < evictionLimits.movesPerAdmission; moves++) {
      const { oldest } = probation;
      if (oldest === null || window.count >= shares.windowEntries || window.bytes >= shares.windowBytes) return;
      if (this.entries - window.count <= shares.mainEntries && this.bytes - window.bytes <= shares.mainBytes) return;
      window.take(oldest);
    }
  }

  /** What does not fit into the window any more goes on probation, as a candidate. */
  private emptyWindow(): void {
    const { window, probation, shares } = this;
    for (let moves = 0; moves < evictionLimits.movesPerAdmission; moves++) {
      const { oldest } = window;
      if (oldest === null || (window.count <= shares.windowEntries && window.bytes <= shares.windowBytes)) return;
      probation.take(oldest);
      this.candidate ??= oldest;
    }
  }

  /** What does not fit into the protected segment any more is on probation again. */
  private demote(): void {
    const { probation, shares } = this;
    for (let moves = 0; moves < evictionLimits.movesPerAdmission; moves++) {
      const { oldest, count, bytes } = this.protected;
      if (oldest === null || (count <= shares.protectedEntries && bytes <= shares.protectedBytes)) return;
      probation.take(oldest);
    }
  }

  private admits(candidate: Resident<Line>, victim: Resident<Line>): boolean {
    const [asked, kept] = [this.sketch.frequency(candidate.hash), this.sketch.frequency(victim.hash)];
    if (asked > (kept < settled ? kept : kept + 1)) return true;
    // Against keys chosen to share the counters of a victim nobody uses, which would then keep everything else out for ever.
    return asked >= popular && this.prng.below(luck) === 0;
  }
}
