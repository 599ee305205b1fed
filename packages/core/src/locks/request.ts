import { mutant } from "#mutation";
import type { AcquireLock, LockKey } from "@trivet/wire";
import type { Account } from "../sessions/account.ts";
import type { Lock } from "./lock.ts";
import type { LockState } from "./lock-state.ts";
import { Wait } from "./wait.ts";

/** Strict FIFO: whoever comes while others wait goes to the end of the line, even if it could be granted beside the holders. */
export function isFree(lock: Lock, key: LockKey): boolean {
  if (lock.firstTicket !== null && !mutant("lock-barging")) return false;
  return lock.admits(key.mode) || mutant("lock-modes-ignored");
}

/** An acquire without owner is nobody's second: it re-enters nothing, and may wait beside others of its kind. */
export function isUnnamed(command: AcquireLock): boolean {
  return command.anonymous && command.actor.owner === "";
}

/** Without an owner each acquire is its own (S0): a replicated counter names it. */
export function ownerOf(locks: LockState, command: AcquireLock): string {
  return isUnnamed(command) ? `anon-${++locks.lastAnonymous}` : command.actor.owner;
}

export function newWait(locks: LockState, command: AcquireLock, account: Account, caller: string, sequence: number): Wait {
  return new Wait({
    id: ++locks.lastWait,
    account,
    owner: ownerOf(locks, command),
    caller,
    sequence,
    waitMs: command.waitMs,
    ttlMs: account.session === 0 ? command.ttlMs : 0,
    reentrant: command.reentrant,
    anonymous: command.anonymous,
    since: locks.ledger.groupTime,
    upgrade: null,
    epoch: locks.ledger.epoch,
  });
}
