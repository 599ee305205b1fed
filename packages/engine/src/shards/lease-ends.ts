import { mutant } from "@trivet/core/mutation";
import type { ShardCommand } from "@trivet/wire";
import type { DueLease } from "./lease-clock.ts";
import { maxExpiriesPerEntry } from "./limits.ts";
import type { WorkerReply, WorkerRequest } from "./worker-protocol.ts";

export interface LeaseEndsOwner {
  readonly id: number;
  /** The term in which leases are timed here; 0 = they are not. */
  readonly leadingTerm: number;
  ask(request: WorkerRequest, answer: (reply: WorkerReply) => void): void;
  propose(commands: readonly ShardCommand[]): boolean;
  markDirty(): void;
}

/** Of a leader: when the next lease of its shard ends, as the apply worker tells, and the entry that ends it (rule L3). */
export class LeaseEnds {
  private readonly owner: LeaseEndsOwner;
  /** Of the attended time; 0 = no lease runs. */
  private nextAt = 0;
  private isAsking = false;

  constructor(owner: LeaseEndsOwner) {
    this.owner = owner;
  }

  /** A new term: what the worker says of it is to be asked. */
  begin(): void {
    this.nextAt = 1;
    this.isAsking = false;
  }

  told(nextAt: number): void {
    this.nextAt = nextAt;
  }

  /** Attended time at which `look` has something to do. */
  get dueAt(): number {
    return this.nextAt > 0 && !this.isAsking ? this.nextAt : Number.POSITIVE_INFINITY;
  }

  look(attended: number): void {
    if (attended < this.dueAt) return;
    const { owner } = this;
    const term = owner.leadingTerm;
    this.isAsking = true;
    owner.ask({ type: "due", group: owner.id, attended, most: maxExpiriesPerEntry }, (reply) => {
      if (owner.leadingTerm !== term) return;
      this.isAsking = false;
      if (reply.type !== "due") return;
      this.nextAt = reply.nextLeaseAt;
      const { leases } = reply;
      if (leases.length > 0 && !owner.propose([{ type: "expire-leases", leases }])) this.retry(leases);
      owner.markDirty();
    });
  }

  /** What is due stays due: a shard that is left alone from now on applies nothing that would tell its time again. */
  private retry(leases: readonly DueLease[]): void {
    const { owner } = this;
    const term = owner.leadingTerm;
    owner.ask({ type: "retry-due", group: owner.id, leases }, () => {
      if (owner.leadingTerm === term && !mutant("shard-lease-due-forgotten")) this.nextAt = 1;
    });
  }
}
