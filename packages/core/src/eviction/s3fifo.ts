import { BoundedPolicy, queueOf } from "./bounded-policy.ts";
import { Ghosts } from "./ghosts.ts";
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
  private readonly ghosts = new Ghosts();

  recordHit(resident: Resident<Line>): void {
    queueOf(resident);
    if (resident.visits < mostVisits) resident.visits++;
  }

  protected insert(resident: Resident<Line>): void {
    if (this.ghosts.forget(resident.hash)) this.main.add(resident);
    else this.small.add(resident);
  }

  protected nextVictim(): Resident<Line> | null {
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
    return this.oldestOf(this.small) ?? this.newcomerIfThere();
  }

  protected detach(resident: Resident<Line>): void {
    queueOf(resident).unlink(resident);
  }

  protected override remember(resident: Resident<Line>): void {
    if (resident.queue !== this.small) return;
    this.ghosts.add(resident.hash);
    // As many as the main queue holds.
    while (this.ghosts.count > Math.max(1, this.main.count)) this.ghosts.forgetOldest();
  }

  /** Whether the small queue has its share without the newcomer, for which room is being made. */
  private smallIsDue(): boolean {
    const { small, newcomer, bounds } = this;
    const inSmall = newcomer !== null && newcomer.queue === small;
    const count = small.count - (inSmall ? 1 : 0);
    if (count === 0) return false;
    const bytes = small.bytes - (inSmall ? newcomer.bytes : 0);
    return this.main.count === 0 || count >= smallShare * bounds.maxEntries || bytes >= smallShare * bounds.maxBytes;
  }

  private oldestOf(queue: Queue<Line>): Resident<Line> | null {
    const { oldest } = queue;
    return oldest === this.newcomer && oldest !== null ? oldest.younger : oldest;
  }

  private newcomerIfThere(): Resident<Line> | null {
    return this.small.oldest ?? this.main.oldest;
  }
}
