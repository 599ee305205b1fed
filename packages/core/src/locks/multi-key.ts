import { mutant } from "#mutation";
import type { AcquireLock, LockKey, ReleaseSet, Result } from "@trivet/wire";
import type { Account } from "../sessions/account.ts";
import { busy, grantedSet, released, sessionLost } from "./answers.ts";
import { enter } from "./enter.ts";
import { takeGrantedOwners } from "./grant.ts";
import { type Hold, ownHold } from "./hold.ts";
import type { LockState } from "./lock-state.ts";
import { covers } from "./modes.ts";
import { claimQuota, waiterQuota } from "./quota.ts";
import { endHold, findByFence, settle } from "./release.ts";
import { isFree, isUnnamed, newWait, ownerOf } from "./request.ts";
import { kindConflict } from "./semaphore.ts";
import { Ticket } from "./wait.ts";
import { ownTicket } from "./wait-queue.ts";

/**
 * Several keys, all or none. The request enters all lines in one entry and is granted only when every key is ready, so sets of one
 * shot never deadlock with each other. A free key of a waiting set keeps its place in line too: others wait behind it.
 */
export function acquireSet(locks: LockState, command: AcquireLock, account: Account, caller: string, sequence: number): Result | number {
  const { keys } = command;
  const refused = refusal(locks, command) ?? claimQuota(locks, account, keys.length);
  if (refused !== null) return refused;
  const covering = coveringHolds(locks, command, account);
  if (!Array.isArray(covering)) return covering;
  const blocked = keys.find((key, i) => covering[i] === null && !isFreeName(locks, key));
  if (blocked === undefined) return grantSetNow(locks, command, account, covering);
  if (command.waitMs === 0) return busy(blocked.name, locks.table.get(blocked.name), false);
  const twice = keys.find((key) => waitsFor(locks, account, command.actor.owner, key));
  if (twice !== undefined && !isUnnamed(command)) {
    return { type: "conflict", reason: "already-waiting", detail: `${command.actor.owner} waits for ${twice.name} already` };
  }
  const tooMany = waiterQuota(locks, account);
  if (tooMany !== null) return tooMany;
  const wait = newWait(locks, command, account, caller, sequence);
  wait.tickets = keys.map((key, i) => {
    const ticket = new Ticket(wait, locks.table.obtain(key.name), key.mode);
    ticket.coveredBy = covering[i] ?? null;
    return ticket;
  });
  return enter(locks, wait);
}

function refusal(locks: LockState, command: AcquireLock): Result | null {
  const { keys } = command;
  const { keysPerRequest } = locks.ledger.limits;
  if (keys.length === 0) return { type: "malformed", detail: "an acquire without keys" };
  if (keys.length > keysPerRequest) return { type: "quota", limit: "keys-per-request", max: keysPerRequest };
  if (new Set(keys.map((key) => key.name)).size !== keys.length) return { type: "malformed", detail: "a set that names a lock twice" };
  for (const key of keys) {
    if (key.mode === "permit" && !mutant("lock-permit-in-set")) {
      return { type: "conflict", reason: "lock-kind", detail: "a semaphore cannot be part of a set" };
    }
    const conflict = kindConflict(locks.table.get(key.name), key);
    if (conflict !== null) return conflict;
  }
  return null;
}

/** For each key the own hold that makes it ready (re-entry asked and strong enough), or null; a Result when re-entry is impossible. */
function coveringHolds(locks: LockState, command: AcquireLock, account: Account): (Hold | null)[] | Result {
  const covering: (Hold | null)[] = [];
  for (const key of command.keys) {
    const lock = command.reentrant && !isUnnamed(command) ? locks.table.get(key.name) : undefined;
    const own = lock === undefined ? null : ownHold(lock, account, command.actor.owner);
    if (own !== null && !covers(own.mode, key.mode)) {
      return { type: "conflict", reason: "mode", detail: `${key.name} is held in mode ${own.mode}; upgrade it to ${key.mode}` };
    }
    if (own !== null && own.depth + 1 >= locks.ledger.limits.reentryDepth) {
      return { type: "quota", limit: "reentry-depth", max: locks.ledger.limits.reentryDepth };
    }
    covering.push(own);
  }
  return covering;
}

function isFreeName(locks: LockState, key: LockKey): boolean {
  const lock = locks.table.get(key.name);
  return lock === undefined || isFree(lock, key) || mutant("lock-set-partly-granted");
}

function waitsFor(locks: LockState, account: Account, owner: string, key: LockKey): boolean {
  const lock = locks.table.get(key.name);
  return lock !== undefined && ownTicket(lock, account, owner) !== null;
}

function grantSetNow(locks: LockState, command: AcquireLock, account: Account, covering: readonly (Hold | null)[]): Result {
  const owner = ownerOf(locks, command);
  const holds = command.keys.map((key, i) => {
    const own = covering[i] ?? null;
    if (own === null) {
      const lock = locks.table.obtain(key.name);
      lock.of = key.of;
      return locks.addHold(lock, account, owner, key.mode, command.anonymous, command.ttlMs);
    }
    locks.setDepth(own, own.depth + 1);
    if (own.ttlMs !== 0) locks.setLease(own, Math.max(own.ttlMs, command.ttlMs));
    return own;
  });
  return grantedSet(holds);
}

/** All or nothing: when one (name, fence) is not held by the actor, nothing changes. */
export function releaseSet(locks: LockState, command: ReleaseSet): Result {
  const { actor } = command;
  const account = locks.sessions.existingAccountOf(actor);
  if (account === null && actor.session !== 0) return sessionLost(actor.session);
  if (command.locks.length === 0) return { type: "malformed", detail: "a release without locks" };
  const holds: Hold[] = [];
  for (const { name, fence } of command.locks) {
    const found = findByFence(locks, account, actor.owner, name, fence);
    if (!("lock" in found)) {
      if (mutant("lock-release-set-partial")) continue;
      return found;
    }
    if (holds.includes(found)) return { type: "malformed", detail: "a set that names a lock twice" };
    holds.push(found);
  }
  for (const hold of holds) {
    if (hold.depth > 1) locks.setDepth(hold, hold.depth - 1);
    else endHold(locks, hold, "released");
  }
  settle(locks);
  if (account !== null) locks.sessions.dropIfIdle(account);
  return released(command.locks[0]?.fence ?? 0, 0, takeGrantedOwners(locks));
}
