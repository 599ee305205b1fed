import type { TimerSink } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Command, ExpiryKind } from "@trivet/wire";
import { maxExpiryWeight } from "../base/limits.ts";
import type { Clock } from "../ports/clock.ts";
import type { GroupHost } from "./group-host.ts";
import { type Expire, LeaseTimers } from "./leases.ts";

/** State machines with liveness timers. */
export interface TimedMachine {
  /** From now on changes go to `sink`; what there is already is announced step by step. */
  startTimers(sink: TimerSink | null): void;
  /** Announces at most `limit` more; true when all are. */
  announceTimers(limit: number): boolean;
  durationOf(kind: ExpiryKind, id: number): number | null;
  /** What ends with the session; null when there is none. */
  session(id: number): { readonly locks: number; readonly waiters: number } | null;
}

/** Leases that a new leader starts in one tick: a million of them at once would stop it for most of a second. */
const startedPerTick = 4096;

/** A lease that was extended, and its full length. */
export interface Renewed {
  readonly id: number;
  readonly ms: number;
}

export interface LeaseHostOwner {
  machine(): TimedMachine | null;
  propose(commands: readonly Command[]): boolean;
}

/** What was proposed together. */
interface Batch {
  readonly due: readonly Expire[];
  readonly weight: number;
}

/**
 * Starts and ends the leader's timers (rules L1–L3). They begin when the leader has applied an entry of its own term: only then is its
 * state the newest there is. Everything that extends a lease goes through `confirmed`, a quorum round begun after the request arrived.
 */
export class LeaseHost {
  private readonly group: GroupHost;
  private readonly owner: LeaseHostOwner;
  private readonly clock: Clock;
  private readonly longestStepMs: number;
  private timers: LeaseTimers | null = null;
  private timersTerm = 0;
  /** After a pause nothing expires until leadership is confirmed again (rule L2). */
  private unconfirmed = false;
  /** Not all leases were announced yet. */
  private starting = false;
  /** The last of those that were proposed. */
  private underWay: Batch[] = [];

  constructor(group: GroupHost, owner: LeaseHostOwner, clock: Clock, longestStepMs: number) {
    this.group = group;
    this.owner = owner;
    this.clock = clock;
    this.longestStepMs = longestStepMs;
  }

  get running(): boolean {
    return this.timers !== null;
  }

  /** After applies and role changes. */
  update(): void {
    const { raft } = this.group;
    const leads = raft.role === "leader";
    if (this.timers !== null && (!leads || this.timersTerm !== raft.term)) {
      this.timers = null;
      this.owner.machine()?.startTimers(null);
    }
    if (this.timers !== null || !leads) return;
    if (this.group.appliedIndex === 0 || raft.termAt(this.group.appliedIndex) !== raft.term) return;
    this.timers = new LeaseTimers(() => this.clock.now());
    this.timersTerm = raft.term;
    this.underWay = [];
    this.unconfirmed = false;
    this.owner.machine()?.startTimers(this.timers);
    this.starting = true;
    this.announce(this.timers);
  }

  /** Starts a part of the state's leases. One that was renewed or came up meanwhile has its timer already, and keeps it. */
  private announce(timers: LeaseTimers): void {
    timers.announcing = true;
    this.starting = this.owner.machine()?.announceTimers(startedPerTick) === false;
    timers.announcing = false;
  }

  /** The lease's timer; one whose turn has not come is started now: whoever renews it must not be told that it is gone. */
  private timersWith(kind: ExpiryKind, id: number): LeaseTimers | null {
    const { timers } = this;
    if (timers === null || !this.starting || timers.durationMs(kind, id) !== null || mutant("host-renew-before-started-lost"))
      return timers;
    const duration = this.owner.machine()?.durationOf(kind, id) ?? null;
    if (duration !== null) timers.armed(kind, id, duration);
    return timers;
  }

  /** The machine object was replaced (snapshot installed): a leader never installs one, so timers cannot be running. */
  machineReplaced(): void {
    this.timers = null;
    this.update();
  }

  tick(now: number): void {
    this.update();
    const { timers } = this;
    if (timers === null) return;
    if (this.starting) this.announce(timers);
    if (timers.advance(now, this.longestStepMs)) this.confirmAfterPause();
    if (this.unconfirmed || !timers.hasDue() || this.group.raft.canPropose() !== null) return;
    const room = maxExpiryWeight - this.openWeight();
    if (room <= 0) return;
    let weight = 0;
    const weigh = (kind: ExpiryKind, id: number): number => {
      const one = this.weightOf(kind, id);
      weight += one;
      return one;
    };
    const due = timers.takeDue(weigh, room);
    if (due.length === 0) return;
    if (this.owner.propose(due)) this.underWay.push({ due, weight });
    else timers.retry(due);
  }

  /** About how much ends with it. */
  private weightOf(kind: ExpiryKind, id: number): number {
    const session = kind === "session" ? this.owner.machine()?.session(id) : null;
    return 1 + (session?.locks ?? 0) + (session?.waiters ?? 0);
  }

  /** What was proposed and is not applied here yet. Entries of several turns may be applied in one, so together they are bounded as one is. */
  private openWeight(): number {
    if (mutant("host-expiry-unwaited")) return 0;
    const machine = this.owner.machine();
    const isOpen = ({ due }: Batch): boolean => due.some(({ kind, id }) => (machine?.durationOf(kind, id) ?? null) !== null);
    // In the order of the log; what of a batch was over before it says nothing of the rest.
    while (this.underWay[0] !== undefined && !isOpen(this.underWay[0])) this.underWay.shift();
    return this.underWay.reduce((sum, { weight }) => sum + weight, 0);
  }

  /** When the next tick has something to do. */
  get tickAt(): number {
    if (this.timers === null || this.unconfirmed) return Number.POSITIVE_INFINITY;
    return this.starting ? Number.NEGATIVE_INFINITY : this.timers.nextAt;
  }

  private confirmAfterPause(): void {
    if (mutant("host-expire-after-pause-unconfirmed")) return;
    this.unconfirmed = true;
    const term = this.timersTerm;
    this.group.reads.barrier(this.longestStepMs * 20, (ready) => {
      if (this.timersTerm !== term || this.timers === null) return;
      if (ready) this.unconfirmed = false;
      else this.confirmAfterPause();
    });
  }

  /**
   * Renews, after a quorum round begun now, whatever of `ids` is alive. Answers null when this node could not confirm its leadership.
   */
  renew(kind: ExpiryKind, ids: readonly number[], timeoutMs: number, done: (alive: readonly Renewed[] | null) => void): void {
    if (!this.group.isLeader) {
      done(null);
      return;
    }
    const renewNow = (ready: boolean): void => {
      const { timers } = this;
      if (!ready || timers === null || !this.group.isLeader) done(null);
      else
        done(
          ids
            .filter((id) => this.timersWith(kind, id)?.renew(kind, id) === true)
            .map((id) => ({ id, ms: timers.durationMs(kind, id) ?? 0 })),
        );
    };
    if (mutant("host-renew-unconfirmed")) renewNow(true);
    else this.group.reads.barrier(timeoutMs, renewNow);
  }

  leftMs(kind: ExpiryKind, id: number): number | null {
    return this.timersWith(kind, id)?.leftMs(kind, id) ?? null;
  }

  durationMs(kind: ExpiryKind, id: number): number | null {
    return this.timersWith(kind, id)?.durationMs(kind, id) ?? null;
  }
}
