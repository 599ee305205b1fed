import { BoundedPolicy, queueOf } from "./bounded-policy.ts";
import { Ghosts } from "./ghosts.ts";
import type { Bounds } from "./policy.ts";
import { Queue } from "./queue.ts";
import type { Resident } from "./resident.ts";

/** Share of the room that the small queue holds before it is evicted from. */
const smallShare = 0.1;
/** Hits that are counted; two bits in the paper. */
const mostVisits = 3;
/** Hits in the small queue that make a copy worth moving to the main one. */
const worthKeeping = 2;

/**
 * S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi, SOSP 2023): a small queue that new copies pass through, a main queue in which hits give
 * further rounds, and ghosts of what left the small one unused. A hit counts and moves nothing.
 */
export class S3Fifo<Line> extends BoundedPolicy<Line> {
  private readonly small = new Queue<Line>();
  private readonly main = new Queue<Line>();
  private readonly ghosts: Ghosts;

  constructor(bounds: Bounds, seed: number) {
    super(bounds);
    this.ghosts = new Ghosts(seed);
  }

  recordHit(resident: Resident<Line>): void {
    queueOf(resident);
    if (resident.visits < mostVisits) resident.visits++;
  }

  protected insert(resident: Resident<Line>): void {
    if (this.ghosts.forget(resident.hash)) this.main.add(resident);
    else this.small.add(resident);
  }

  protected nextVictim(): Resident<Line> | null {
    const victim = this.walk();
    // What was moved on the way came to the main queue before it.
    if (this.newcomer?.queue === this.main) this.main.refresh(this.newcomer);
    return victim;
  }

  protected detach(resident: Resident<Line>): void {
    queueOf(resident).unlink(resident);
  }

  protected override remember(resident: Resident<Line>): void {
    if (resident.queue !== this.small) return;
    this.ghosts.add(resident.hash);
    // As many as the main queue has room for.
    const most = Math.max(1, Math.floor((1 - smallShare) * this.capacity()));
    while (this.ghosts.count > most) this.ghosts.forgetOldest();
  }

  private walk(): Resident<Line> | null {
    while (this.smallIsDue()) {
      const oldest = this.oldestOf(this.small);
      if (oldest === null) break;
      if (oldest.visits < worthKeeping) return oldest;
      oldest.visits = 0;
      this.main.take(oldest);
    }
    for (let oldest = this.oldestOf(this.main); oldest !== null; oldest = this.oldestOf(this.main)) {
      if (oldest.visits === 0) return oldest;
      oldest.visits--;
      this.main.refresh(oldest);
    }
    return this.oldestOf(this.small) ?? this.small.oldest ?? this.main.oldest;
  }

  /** Whether the small queue has its share, without the newcomer. */
  private smallIsDue(): boolean {
    const { small, main, newcomer, bounds } = this;
    const [fromSmall, fromMain] = [newcomer?.queue === small ? 1 : 0, newcomer?.queue === main ? 1 : 0];
    const count = small.count - fromSmall;
    if (count === 0) return false;
    const bytes = small.bytes - fromSmall * (newcomer?.bytes ?? 0);
    return main.count === fromMain || count >= smallShare * bounds.maxEntries || bytes >= smallShare * bounds.maxBytes;
  }

  private oldestOf(queue: Queue<Line>): Resident<Line> | null {
    const { oldest } = queue;
    return oldest === this.newcomer && oldest !== null ? oldest.younger : oldest;
  }
}
