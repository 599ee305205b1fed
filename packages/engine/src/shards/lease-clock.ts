import type { LeaseId, LeaseSink } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { ExpireLeases } from "@trivet/wire";
import { clockRateError } from "../hosts/limits.ts";

interface Lease {
  readonly id: LeaseId;
  /** In attended time. */
  deadline: number;
  expiring: boolean;
  version: number;
}
interface HeapItem {
  readonly at: number;
  readonly lease: Lease;
  readonly version: number;
}
export type DueLease = ExpireLeases["leases"][number];

/**
 * The leader's timers for messages that are handed out (visibility, rule L3). Kept where apply runs, as it starts and ends them by the
 * thousands; on *attended* time, which the leader's host sends: monotonic time less the pauses of its process.
 */
export class LeaseClock implements LeaseSink {
  private readonly leases = new Map<string, Lease>();
  private readonly heap: HeapItem[] = [];
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
    const lease: Lease = { id, deadline, expiring: false, version: 0 };
    this.leases.set(name, lease);
    this.push({ at: deadline, lease, version: 0 });
  }

  ended(id: LeaseId): void {
    const name = nameOf(id);
    const lease = this.leases.get(name);
    // A newer hand-out of the message has a lease of its own.
    if (lease !== undefined && lease.id.acquired <= id.acquired) this.leases.delete(name);
  }

  get size(): number {
    return this.leases.size;
  }

  /** When the next may be due, in attended time; 0 = there is none. */
  get nextAt(): number {
    return this.heap[0]?.at ?? 0;
  }

  /** Up to so many leases to end now; each is handed out once until `retry`. */
  takeDue(most: number): readonly DueLease[] {
    const due: DueLease[] = [];
    while (due.length < most) {
      const top = this.heap[0];
      if (top === undefined || top.at > this.attended) break;
      this.pop();
      const { lease } = top;
      if (this.leases.get(nameOf(lease.id)) !== lease || lease.expiring || top.version !== lease.version) continue;
      lease.expiring = true;
      const { queue, partition, group, sequence, acquired, extended } = lease.id;
      due.push({ queue, group, receipt: { partition, sequence, acquired }, extended });
    }
    return due;
  }

  /** They could not be proposed. */
  retry(due: readonly DueLease[]): void {
    for (const { queue, group, receipt } of due) {
      const lease = this.leases.get(nameOf({ queue, group, ...receipt }));
      if (lease === undefined || lease.id.acquired !== receipt.acquired || !lease.expiring) continue;
      lease.expiring = false;
      lease.version += 1;
      this.push({ at: this.attended, lease, version: lease.version });
    }
  }

  private push(item: HeapItem): void {
    const { heap } = this;
    let index = heap.length;
    heap.push(item);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.at <= item.at) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = item;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const left = heap[child];
      if (left === undefined) break;
      const right = heap[child + 1];
      let smaller = left;
      if (right !== undefined && right.at < left.at) {
        child += 1;
        smaller = right;
      }
      if (smaller.at >= last.at) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = last;
  }
}

function nameOf({ queue, partition, group, sequence }: Omit<LeaseId, "acquired" | "extended">): string {
  return `${queue}/${partition}/${sequence}/${group}`;
}
