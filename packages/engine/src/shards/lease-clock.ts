import type { LeaseId, LeaseSink } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { ExpireLeases } from "@trivet/wire";
import { DeadlineHeap, type Timed } from "../base/deadline-heap.ts";
import { clockRateError } from "../base/limits.ts";

/** Due in attended time. */
interface Lease extends Timed {
  readonly id: LeaseId;
  expiring: boolean;
}
export type DueLease = ExpireLeases["leases"][number];

/**
 * The leader's timers for messages that are handed out (visibility, rule L3). Kept where apply runs, as it starts and ends them by the
 * thousands; on *attended* time, which the leader's host sends: monotonic time less the pauses of its process.
 */
export class LeaseClock implements LeaseSink {
  private readonly leases = new Map<string, Lease>();
  private readonly heap = new DeadlineHeap<Lease>();
  private attended = 0;
  /** Leases of before this leadership are being announced: one that has its timer keeps it. */
  announcing = false;

  advance(attended: number): void {
    if (attended > this.attended) this.attended = attended;
  }

  leased(id: LeaseId, leaseMs: number): void {
    const name = nameOf(id);
    const known = this.leases.get(name);
    if (known !== undefined && this.announcing) return;
    // Rule L1: a holder's clock may run slower than ours by ρ.
    const deadline = this.attended + leaseMs * (mutant("shard-lease-no-clock-margin") ? 1 : 1 + clockRateError);
    const lease: Lease = { id, expiring: false, dueAt: 0, place: -1 };
    if (known !== undefined) this.heap.remove(known);
    this.leases.set(name, lease);
    this.heap.push(lease, deadline);
  }

  ended(id: LeaseId): void {
    const name = nameOf(id);
    const lease = this.leases.get(name);
    // A newer hand-out of the message has a lease of its own.
    if (lease === undefined || lease.id.acquired > id.acquired) return;
    this.heap.remove(lease);
    this.leases.delete(name);
  }

  get size(): number {
    return this.leases.size;
  }

  /** When the next may be due, in attended time; 0 = there is none. */
  get nextAt(): number {
    return this.heap.nextAt ?? 0;
  }

  /** Up to so many leases to end now; each is handed out once until `retry`. */
  takeDue(most: number): readonly DueLease[] {
    const due: DueLease[] = [];
    while (due.length < most) {
      const lease = this.heap.takeDue(this.attended);
      if (lease === null) break;
      lease.expiring = true;
      const { queue, partition, group, incarnation, sequence, acquired, extended } = lease.id;
      due.push({ queue, group, receipt: { partition, sequence, acquired, incarnation }, extended });
    }
    return due;
  }

  /** They could not be proposed. */
  retry(due: readonly DueLease[]): void {
    for (const { queue, group, receipt } of due) {
      const lease = this.leases.get(nameOf({ queue, group, ...receipt }));
      if (lease === undefined || lease.id.acquired !== receipt.acquired || !lease.expiring) continue;
      lease.expiring = false;
      this.heap.push(lease, this.attended);
    }
  }
}

function nameOf({ queue, partition, group, incarnation, sequence }: Omit<LeaseId, "acquired" | "extended">): string {
  if (mutant("shard-lease-by-group-name")) return `${queue}/${partition}/${sequence}/${group}`;
  return `${queue}/${partition}/${incarnation}/${sequence}`;
}
