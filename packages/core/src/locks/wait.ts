import type { LockMode } from "@trivet/wire";
import type { Account } from "../sessions/account.ts";
import type { Hold } from "./hold.ts";
import type { Lock } from "./lock.ts";

/** A request in line: one ticket per key, one answer for all (an AND, rule K2). */
export class Wait {
  /** From a replicated counter, never reused: also the order of enqueueing, so "youngest" is the largest. */
  readonly id: number;
  readonly account: Account;
  readonly owner: string;
  /** Whose answer this is; an empty caller wants none. */
  readonly caller: string;
  readonly sequence: number;
  readonly waitMs: number;
  /** Lease that a grant without session will have. */
  readonly ttlMs: number;
  readonly reentrant: boolean;
  readonly anonymous: boolean;
  /** Group time of the request. */
  readonly since: number;
  /** The hold that asks for a stronger mode; null for an acquire. */
  readonly upgrade: Hold | null;
  tickets: readonly Ticket[] = [];
  /** False while its own command still decides about it: no timer runs and no event told of it yet. */
  announced = false;
  nextOfAccount: Wait | null = null;
  previousOfAccount: Wait | null = null;
  /** Waits of one owner, oldest first. */
  nextOfOwner: Wait | null = null;
  epoch: number;
  digest = 0;
  /** Scratch of the deadlock search: has this wait, and the owner whose oldest wait it is, been seen in search number x? */
  waitMark = 0;
  ownerMark = 0;

  constructor(fields: WaitFields) {
    this.id = fields.id;
    this.account = fields.account;
    this.owner = fields.owner;
    this.caller = fields.caller;
    this.sequence = fields.sequence;
    this.waitMs = fields.waitMs;
    this.ttlMs = fields.ttlMs;
    this.reentrant = fields.reentrant;
    this.anonymous = fields.anonymous;
    this.since = fields.since;
    this.upgrade = fields.upgrade;
    this.epoch = fields.epoch;
  }
}

export type WaitFields = Pick<
  Wait,
  "id" | "account" | "owner" | "caller" | "sequence" | "waitMs" | "ttlMs" | "reentrant" | "anonymous" | "since" | "upgrade" | "epoch"
>;

/** A place in the line of one lock. */
export class Ticket {
  readonly wait: Wait;
  readonly lock: Lock;
  readonly mode: LockMode;
  /** A hold of the same owner that makes this key of a re-entrant set ready wherever it stands in the line. */
  coveredBy: Hold | null = null;
  next: Ticket | null = null;
  previous: Ticket | null = null;

  constructor(wait: Wait, lock: Lock, mode: LockMode) {
    this.wait = wait;
    this.lock = lock;
    this.mode = mode;
  }
}
