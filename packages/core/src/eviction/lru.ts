import { BoundedPolicy, queueOf } from "./bounded-policy.ts";
import { Queue } from "./queue.ts";
import type { Resident } from "./resident.ts";

/** Least recently used goes first. The measure of all others; a scan longer than the cache empties it. */
export class Lru<Line> extends BoundedPolicy<Line> {
  private readonly queue = new Queue<Line>();

  recordHit(resident: Resident<Line>): void {
    queueOf(resident).refresh(resident);
  }

  protected insert(resident: Resident<Line>): void {
    this.queue.add(resident);
  }

  protected nextVictim(): Resident<Line> | null {
    return this.queue.oldest;
  }

  protected detach(resident: Resident<Line>): void {
    this.queue.unlink(resident);
  }
}
