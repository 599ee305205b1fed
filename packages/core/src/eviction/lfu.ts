import { BoundedPolicy, queueOf } from "./bounded-policy.ts";
import { Queue } from "./queue.ts";
import type { Resident } from "./resident.ts";

/** All copies with one number of hits. */
class Bucket<Line> extends Queue<Line> {
  visits = 0;
  /** The bucket of the next smaller number in use. */
  fewer: Bucket<Line> | null = null;
  /** The bucket of the next greater number in use. */
  more: Bucket<Line> | null = null;
}

/**
 * Least frequently used goes first, of equals the least recently used (Shah, Mitra, Matani 2010: a list of buckets, O(1)). Counts only
 * what happened since the copy came, and forgets nothing: what was popular once stays.
 */
export class Lfu<Line> extends BoundedPolicy<Line> {
  private readonly fewest = new Bucket<Line>();
  /** Buckets not in use. There are never more numbers than copies, so with one bucket a copy no hit has to make one. */
  private readonly spare: Bucket<Line>[] = [];
  private made = 0;

  recordHit(resident: Resident<Line>): void {
    const from = queueOf(resident) as Bucket<Line>;
    const visits = from.visits + 1;
    resident.visits = visits;
    const above = from.more;
    if (above !== null && above.visits === visits) {
      above.take(resident);
      this.recycleIfEmpty(from);
    } else if (from.count === 1) {
      from.visits = visits;
    } else {
      this.bucketAfter(from, visits).take(resident);
    }
  }

  protected insert(resident: Resident<Line>): void {
    if (this.made < this.entries) {
      this.made++;
      this.spare.push(new Bucket());
    }
    resident.visits = 1;
    this.attach(resident);
  }

  protected nextVictim(): Resident<Line> | null {
    const first = this.fewest.more;
    const victim = first?.oldest ?? null;
    if (victim === null || victim !== this.newcomer) return victim;
    // The newcomer has the fewest hits by nature; were it to go, nothing new could ever stay.
    return victim.younger ?? first?.more?.oldest ?? victim;
  }

  protected detach(resident: Resident<Line>): void {
    const bucket = queueOf(resident) as Bucket<Line>;
    bucket.unlink(resident);
    this.recycleIfEmpty(bucket);
  }

  protected override attach(resident: Resident<Line>): void {
    let below = this.fewest;
    while (below.more !== null && below.more.visits <= resident.visits) below = below.more;
    const bucket = below.visits === resident.visits ? below : this.bucketAfter(below, resident.visits);
    bucket.add(resident);
  }

  /** A new bucket; null of the spare ones would mean that there are more numbers than copies. */
  private bucketAfter(below: Bucket<Line>, visits: number): Bucket<Line> {
    const bucket = this.spare.pop() ?? new Bucket<Line>();
    bucket.visits = visits;
    bucket.fewer = below;
    bucket.more = below.more;
    if (below.more !== null) below.more.fewer = bucket;
    below.more = bucket;
    return bucket;
  }

  private recycleIfEmpty(bucket: Bucket<Line>): void {
    const { fewer, more } = bucket;
    if (bucket.count > 0 || fewer === null) return;
    fewer.more = more;
    if (more !== null) more.fewer = fewer;
    bucket.fewer = null;
    bucket.more = null;
    this.spare.push(bucket);
  }
}
