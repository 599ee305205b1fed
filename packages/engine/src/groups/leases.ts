import { ShardedMap } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Command, ExpiryKind } from "@trivet/wire";
import { DeadlineHeap, type Timed } from "../base/deadline-heap.ts";
import { clockRateError, maxExpiriesPerTurn, maxExpiryWeight } from "../base/limits.ts";

/** Timers looked at in one turn; most that come up were renewed and only move. */
const maxTimersPerTurn = 4096;

export type Expire = Extract<Command, { readonly type: "expire" }>;

interface Lease extends Timed {
  readonly kind: ExpiryKind;
  readonly id: number;
  readonly durationMs: number;
  /** In attended time. */
  deadline: number;
  /** Expiry was proposed: never renewed again (rule L1). */
  expiring: boolean;
}

/**
 * The leader's timers for everything that lives by liveness time (rule L3): sessions, leases of sessionless grants, waits, lock delays.
 * Only a leader has one; a new leader starts with every duration in full. Times are *attended* time: monotonic time minus the gaps in
 * which this process did not run, because keepalives that arrived during a pause are still unread when it ends (rule L2).
 */
export class LeaseTimers {
  private readonly leases: Readonly<Record<ExpiryKind, ShardedMap<Lease>>> = {
    session: new ShardedMap(),
    grant: new ShardedMap(),
    wait: new ShardedMap(),
    "lock-delay": new ShardedMap(),
  };
  private readonly heap = new DeadlineHeap<Lease>();
  /** What is armed now is as old as this leadership, and may have its timer: above all one whose expiry is on its way (rule L1). */
  announcing: boolean = false;
  private attended = 0;
  private lastNow: number;
  private readonly now: () => number;

  constructor(now: () => number) {
    this.now = now;
    this.lastNow = now();
  }

  /** Advances time; at most `longestStepMs` of it counts, the rest was a pause. Returns true when there was one. */
  advance(now: number, longestStepMs: number): boolean {
    const step = Math.max(0, now - this.lastNow);
    this.lastNow = now;
    const paused = step > longestStepMs && !mutant("host-lease-ignores-pause");
    this.attended += paused ? longestStepMs : step;
    return paused;
  }

  armed(kind: ExpiryKind, id: number, durationMs: number): void {
    const table = this.leases[kind];
    if (table.get(id) !== undefined) {
      if (this.announcing) return;
      this.cleared(kind, id);
    }
    const lease: Lease = { kind, id, durationMs, deadline: this.deadlineFor(kind, durationMs), expiring: false, dueAt: 0, place: -1 };
    table.add(id, lease);
    this.heap.push(lease, lease.deadline);
  }

  cleared(kind: ExpiryKind, id: number): void {
    const lease = this.leases[kind].get(id);
    if (lease === undefined) return;
    this.heap.remove(lease);
    this.leases[kind].remove(id);
  }

  /** Starts the lease again in full. False = unknown here, or its expiry is already on its way. */
  renew(kind: ExpiryKind, id: number): boolean {
    const lease = this.leases[kind].get(id);
    if (lease === undefined) return false;
    if (lease.expiring && !mutant("host-renew-after-expiry-proposed")) return false;
    lease.deadline = this.deadlineFor(kind, lease.durationMs);
    return true;
  }

  leftMs(kind: ExpiryKind, id: number): number | null {
    const lease = this.leases[kind].get(id);
    if (lease === undefined) return null;
    // The margin for clock rates is ours; what a holder may count on is the lease itself.
    return Math.max(0, Math.min(lease.durationMs, lease.deadline - this.attendedNow()));
  }

  durationMs(kind: ExpiryKind, id: number): number | null {
    return this.leases[kind].get(id)?.durationMs ?? null;
  }

  /** Whether `takeDue` would return something. */
  hasDue(): boolean {
    const at = this.heap.nextAt;
    return at !== null && at <= this.attended;
  }

  /** When the first comes due, if this process runs until then. */
  get nextAt(): number {
    const at = this.heap.nextAt;
    return at === null ? Number.POSITIVE_INFINITY : this.lastNow + Math.max(0, at - this.attended);
  }

  /** Commands to propose now, at most `room` by what each ends, and one in any case; each lease is handed out once until `retry`. */
  takeDue(weightOf: (kind: ExpiryKind, id: number) => number = () => 1, room: number = maxExpiryWeight): readonly Expire[] {
    const due: Expire[] = [];
    let weight = 0;
    for (let looked = 0; looked < maxTimersPerTurn && due.length < maxExpiriesPerTurn; looked++) {
      if (weight >= room && !mutant("host-expiry-unweighed")) break;
      const lease = this.heap.takeDue(this.attended);
      if (lease === null) break;
      if (lease.deadline > this.attended) {
        // Renewed meanwhile: renewals only move the deadline, the heap learns of it here.
        this.heap.push(lease, lease.deadline);
        continue;
      }
      lease.expiring = true;
      due.push({ type: "expire", kind: lease.kind, id: lease.id });
      weight += weightOf(lease.kind, lease.id);
    }
    return due;
  }

  /** They could not be proposed: due again at once, and renewable meanwhile. */
  retry(due: readonly Expire[]): void {
    for (const command of due) {
      const lease = this.leases[command.kind].get(command.id);
      // One that began anew meanwhile has a turn of its own.
      if (lease === undefined || !lease.expiring) continue;
      lease.expiring = false;
      this.heap.push(lease, this.attended);
    }
  }

  private deadlineFor(kind: ExpiryKind, durationMs: number): number {
    // Rule L1: a holder's clock may run slower than ours by ρ. Waits are counted for the waiter's convenience only.
    const margin = kind === "wait" || mutant("host-lease-no-clock-margin") ? 0 : durationMs * clockRateError;
    return this.attendedNow() + durationMs + margin;
  }

  /** Of this moment, not of the last tick: a tick may be longer than the margin of a short lease, and at rest as long as a heartbeat. */
  private attendedNow(): number {
    return this.attended + Math.max(0, this.now() - this.lastNow);
  }
}
