import type { LockMode } from "@trivet/wire";
import type { Account } from "../sessions/account.ts";
import type { Lock } from "./lock.ts";
import type { Ticket, Wait } from "./wait.ts";

/** One grant that is still held. Linked into its lock and its account, both in the order of fences. */
export class Hold {
  readonly lock: Lock;
  readonly account: Account;
  readonly owner: string;
  mode: LockMode;
  /** Rule K1: of the latest grant; changes on upgrade only. */
  fence: number;
  depth = 1;
  readonly anonymous: boolean;
  /** Lease of a grant without session, 0 with one. */
  ttlMs: number;
  /** Group time of the grant. */
  since: number;
  nextOfLock: Hold | null = null;
  previousOfLock: Hold | null = null;
  nextOfAccount: Hold | null = null;
  previousOfAccount: Hold | null = null;
  /** The upgrade that waits for this hold's stronger mode. */
  upgrading: Wait | null = null;
  /** The ticket of a re-entrant set that needs no place in the line because of this hold. */
  covering: Ticket | null = null;
  epoch: number;
  digest = 0;

  constructor(
    lock: Lock,
    account: Account,
    owner: string,
    mode: LockMode,
    fence: number,
    anonymous: boolean,
    ttlMs: number,
    since: number,
    epoch: number,
  ) {
    this.lock = lock;
    this.account = account;
    // An owner takes many locks, each in a command of its own: one copy of its name is enough.
    const last = account.lastHold;
    this.owner = last !== null && last.owner === owner ? last.owner : owner;
    this.mode = mode;
    this.fence = fence;
    this.anonymous = anonymous;
    this.ttlMs = ttlMs;
    this.since = since;
    this.epoch = epoch;
  }

  isOf(account: Account, owner: string): boolean {
    return this.account === account && this.owner === owner;
  }
}

/** The oldest hold of (account, owner), null when there is none. */
export function ownHold(lock: Lock, account: Account, owner: string): Hold | null {
  for (let hold = lock.firstHold; hold !== null; hold = hold.nextOfLock) if (hold.isOf(account, owner)) return hold;
  return null;
}

export function holdByFence(lock: Lock, fence: number): Hold | null {
  for (let hold = lock.firstHold; hold !== null; hold = hold.nextOfLock) if (hold.fence === fence) return hold;
  return null;
}

/** Appends to the lock's holders, or puts the hold at its place by fence when a snapshot hands them over out of order. */
export function linkToLock(lock: Lock, hold: Hold): void {
  let before = lock.lastHold;
  while (before !== null && before.fence > hold.fence) before = before.previousOfLock;
  const after = before === null ? lock.firstHold : before.nextOfLock;
  hold.previousOfLock = before;
  hold.nextOfLock = after;
  if (before === null) lock.firstHold = hold;
  else before.nextOfLock = hold;
  if (after === null) lock.lastHold = hold;
  else after.previousOfLock = hold;
}

export function unlinkFromLock(lock: Lock, hold: Hold): void {
  const { previousOfLock: before, nextOfLock: after } = hold;
  if (before === null) lock.firstHold = after;
  else before.nextOfLock = after;
  if (after === null) lock.lastHold = before;
  else after.previousOfLock = before;
  hold.previousOfLock = null;
  hold.nextOfLock = null;
}
