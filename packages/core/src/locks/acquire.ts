import { mutant } from "#mutation";
import type { AcquireLock, LockKey, Result } from "@trivet/wire";
import type { Account } from "../sessions/account.ts";
import { busy, granted, sessionLost } from "./answers.ts";
import { enter } from "./enter.ts";
import { type Hold, ownHold } from "./hold.ts";
import type { Lock } from "./lock.ts";
import type { LockState } from "./lock-state.ts";
import { covers } from "./modes.ts";
import { acquireSet } from "./multi-key.ts";
import { claimQuota, waiterQuota } from "./quota.ts";
import { kindConflict } from "./semaphore.ts";
import { isFree, isUnnamed, newWait, ownerOf } from "./request.ts";
import { Ticket } from "./wait.ts";
import { ownTicket } from "./wait-queue.ts";

/** Grants, refuses or queues. A number is the id of the wait that will bring the answer. */
export function acquire(locks: LockState, command: AcquireLock, caller: string, sequence: number): Result | number {
  const { actor, keys } = command;
  if (actor.session === 0 && command.ttlMs === 0) return { type: "malformed", detail: "a lock without session needs a ttl" };
  const account = locks.sessions.accountOf(actor);
  if (account === null) return sessionLost(actor.session);
  const result =
    keys.length === 1
      ? acquireOne(locks, command, account, keys[0] as LockKey, caller, sequence)
      : acquireSet(locks, command, account, caller, sequence);
  if (actor.session === 0) locks.sessions.dropIfIdle(account);
  return result;
}

function acquireOne(
  locks: LockState,
  command: AcquireLock,
  account: Account,
  key: LockKey,
  caller: string,
  sequence: number,
): Result | number {
  const known = locks.table.get(key.name);
  const conflict = kindConflict(known, key);
  if (conflict !== null) return conflict;
  const { owner } = command.actor;
  if (known !== undefined && (command.reentrant || mutant("lock-reentry-unasked")) && !isUnnamed(command)) {
    const own = ownHold(known, account, owner);
    if (own !== null) return reenter(locks, own, key, command.ttlMs);
  }
  const overQuota = claimQuota(locks, account, 1);
  if (overQuota !== null) return overQuota;
  if (known === undefined || isFree(known, key)) return grantNow(locks, command, account, key, known);
  if (command.waitMs === 0) return busy(key.name, known, false);
  if (!isUnnamed(command) && ownTicket(known, account, owner) !== null && !mutant("lock-waits-twice")) {
    return { type: "conflict", reason: "already-waiting", detail: `${owner} waits for ${key.name} already` };
  }
  const tooMany = waiterQuota(locks, account);
  if (tooMany !== null) return tooMany;
  const wait = newWait(locks, command, account, caller, sequence);
  wait.tickets = [new Ticket(wait, known, key.mode)];
  return enter(locks, wait);
}

function grantNow(locks: LockState, command: AcquireLock, account: Account, key: LockKey, known: Lock | undefined): Result {
  const lock = known ?? locks.table.obtain(key.name);
  lock.of = key.of;
  const owner = ownerOf(locks, command);
  return granted(locks.addHold(lock, account, owner, key.mode, command.anonymous, command.ttlMs));
}

/** Re-entry keeps fence and mode (rule K1) and waits for nobody; a lease without session starts anew, as any grant's does (rule K4). */
function reenter(locks: LockState, hold: Hold, key: LockKey, ttlMs: number): Result {
  const { reentryDepth } = locks.ledger.limits;
  if (!covers(hold.mode, key.mode) && !mutant("lock-reentry-mode-ignored")) {
    return { type: "conflict", reason: "mode", detail: `${key.name} is held in mode ${hold.mode}; upgrade it to ${key.mode}` };
  }
  if (hold.depth >= reentryDepth) return { type: "quota", limit: "reentry-depth", max: reentryDepth };
  if (!mutant("lock-reentry-uncounted")) locks.setDepth(hold, hold.depth + 1);
  if (hold.ttlMs !== 0) locks.setLease(hold, Math.max(hold.ttlMs, ttlMs));
  return granted(hold);
}
