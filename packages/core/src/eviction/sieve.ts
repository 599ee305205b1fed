import { BoundedPolicy, queueOf } from "./bounded-policy.ts";
import { Queue } from "./queue.ts";
import type { Resident } from "./resident.ts";

/**
 * SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi, NSDI 2024): one queue in the order of arrival and a hand that walks it from the oldest
 * to the youngest, takes the mark of a hit from each it passes, and evicts the first without one. A hit sets one bit.
 */
export class Sieve<Line> extends BoundedPolicy<Line> {
  private readonly queue = new Queue<Line>();
  /** Where the last walk ended; null = at the oldest. */
  private hand: Resident<Line> | null = null;

  recordHit(resident: Resident<Line>): void {
    queueOf(resident);
    resident.visits = 1;
  }

  protected insert(resident: Resident<Line>): void {
    this.queue.add(resident);
  }

  protected nextVictim(): Resident<Line> | null {
    const { queue, newcomer } = this;
    let at = this.hand ?? queue.oldest;
    // Two rounds at most: the first takes the marks away.
    while (at !== null && (at === newcomer ? queue.count > 1 : at.visits !== 0)) {
      if (at !== newcomer) at.visits = 0;
      at = at.younger ?? queue.oldest;
    }
    this.hand = at;
    return at;
  }

  protected detach(resident: Resident<Line>): void {
    if (resident === this.hand) this.hand = resident.younger === this.newcomer ? null : resident.younger;
    this.queue.unlink(resident);
  }
}
