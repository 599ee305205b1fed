import { BoundedPolicy, queueOf } from "./bounded-policy.ts";
import { Ghosts } from "./ghosts.ts";
import type { Bounds } from "./policy.ts";
import { Queue } from "./queue.ts";
import type { Resident } from "./resident.ts";

/**
 * ARC (Megiddo, Modha, FAST 2003): copies seen once (T1) and more than once (T2), each in the order of use, and ghosts of what left
 * either (B1, B2). A ghost that is asked for again moves the target for T1 towards the list it fell out of.
 */
export class Arc<Line> extends BoundedPolicy<Line> {
  private readonly once = new Queue<Line>();
  private readonly often = new Queue<Line>();
  private readonly onceGhosts: Ghosts;
  private readonly oftenGhosts: Ghosts;
  /** p of the paper: copies that T1 should hold, from 0 to the capacity. */
  private target = 0;
  /** The newcomer was a ghost of B2: with T1 exactly at its target, T1 gives way (the paper's REPLACE). */
  private fromOftenGhosts = false;

  constructor(bounds: Bounds, seed: number) {
    super(bounds);
    this.onceGhosts = new Ghosts(seed);
    this.oftenGhosts = new Ghosts(seed);
  }

  recordHit(resident: Resident<Line>): void {
    const queue = queueOf(resident);
    if (queue === this.often) queue.refresh(resident);
    else this.often.take(resident);
  }

  protected insert(resident: Resident<Line>): void {
    const { hash } = resident;
    const [b1, b2] = [this.onceGhosts.count, this.oftenGhosts.count];
    this.fromOftenGhosts = false;
    if (this.onceGhosts.forget(hash)) {
      this.target = Math.min(this.capacity(), this.target + Math.max(1, b2 / b1));
      this.often.add(resident);
    } else if (this.oftenGhosts.forget(hash)) {
      this.target = Math.max(0, this.target - Math.max(1, b1 / b2));
      this.fromOftenGhosts = true;
      this.often.add(resident);
    } else {
      this.once.add(resident);
      // Case IV of the paper; when room is made, `remember` does it after the eviction.
      if (!this.isOver) this.trimGhosts();
    }
  }

  protected nextVictim(): Resident<Line> | null {
    const { once, often, newcomer } = this;
    const [oldestOnce, oldestOften] = [passOver(once.oldest, newcomer), passOver(often.oldest, newcomer)];
    const count = once.count - (newcomer?.queue === once ? 1 : 0);
    const exceeds = count > this.target || (this.fromOftenGhosts && count === this.target);
    return (exceeds ? (oldestOnce ?? oldestOften) : (oldestOften ?? oldestOnce)) ?? once.oldest ?? often.oldest;
  }

  protected detach(resident: Resident<Line>): void {
    queueOf(resident).unlink(resident);
  }

  protected override remember(resident: Resident<Line>): void {
    (resident.queue === this.once ? this.onceGhosts : this.oftenGhosts).add(resident.hash);
    this.trimGhosts();
  }

  /** |T1| + |B1| ≤ c, all four ≤ 2c. */
  private trimGhosts(): void {
    const capacity = this.capacity();
    const { onceGhosts, oftenGhosts, once } = this;
    while (onceGhosts.count > 0 && once.count + onceGhosts.count > capacity) onceGhosts.forgetOldest();
    while (oftenGhosts.count > 0 && this.entries + onceGhosts.count + oftenGhosts.count > 2 * capacity) oftenGhosts.forgetOldest();
  }
}

function passOver<Line>(resident: Resident<Line> | null, newcomer: Resident<Line> | null): Resident<Line> | null {
  return resident !== null && resident === newcomer ? resident.younger : resident;
}
