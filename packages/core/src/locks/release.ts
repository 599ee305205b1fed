import { mutant } from "#mutation";
import type { ForceRelease, ReleaseLock, Result } from "@trivet/wire";
import type { Account } from "../sessions/account.ts";
import type { ForcedBy, ReleaseCause } from "../system/ports.ts";
import { lockNotFound, notHeld, released, sessionLost } from "./answers.ts";
import { breakDeadlocks } from "./break-deadlocks.ts";
import { endWait } from "./end-wait.ts";
import { takeGrantedOwners, wakeAll } from "./grant.ts";
import { type Hold, holdByFence, ownHold } from "./hold.ts";
import type { Lock } from "./lock.ts";
import type { LockState } from "./lock-state.ts";
import type { Wait } from "./wait.ts";

/** Releases by fence, by owner (fence 0), or the oldest anonymous hold of the name (fence 0, anonymous). */
export function release(locks: LockState, command: ReleaseLock): Result {
  const { actor, name, fence, anonymous } = command;
  const account = locks.sessions.existingAccountOf(actor);
  if (account === null && actor.session !== 0) return sessionLost(actor.session);
  const hold = anonymous ? findAnonymous(locks, account, name, fence) : findByFence(locks, account, actor.owner, name, fence);
  if (!("lock" in hold)) return hold;
  if (hold.depth > 1 && !mutant("lock-release-all-depths")) {
    locks.setDepth(hold, hold.depth - 1);
    return released(hold.fence, hold.depth);
  }
  const held = hold.fence;
  endHold(locks, hold, "released");
  settle(locks);
  if (hold.account.session === 0) locks.sessions.dropIfIdle(hold.account);
  return released(held, 0, takeGrantedOwners(locks));
}

/**
 * The hold that the actor means, or why there is none. A late release names the fence of a grant that is over: it must never end a
 * newer one (W-32), so it is told `stale-fence` when the actor holds the name again, `not-held` otherwise.
 */
export function findByFence(locks: LockState, account: Account | null, owner: string, name: string, fence: number): Hold | Result {
  const lock = locks.table.get(name);
  if (lock === undefined || account === null) return notHeld(name, lock);
  const own = ownHold(lock, account, owner);
  if (fence === 0) return own ?? notHeld(name, lock);
  const hold = holdByFence(lock, fence);
  if (hold !== null && (hold.isOf(account, owner) || mutant("lock-release-by-stranger"))) return hold;
  if (own === null) return notHeld(name, lock);
  return mutant("lock-stale-release-frees") ? own : { type: "stale-fence", name, fence };
}

/** Never a named hold, and never another principal's. */
function findAnonymous(locks: LockState, account: Account | null, name: string, fence: number): Hold | Result {
  const lock = locks.table.get(name);
  for (let hold = lock?.firstHold ?? null; hold !== null; hold = hold.nextOfLock) {
    if (!hold.anonymous && !mutant("lock-anonymous-frees-named")) continue;
    if (hold.account === account && (fence === 0 || fence === hold.fence)) return hold;
  }
  return notHeld(name, lock);
}

/** An operator's release: every hold of the name, or the one of `fence`. Involuntary, so the session's lock_delay applies. */
export function forceRelease(locks: LockState, command: ForceRelease): Result {
  const lock = locks.table.get(command.name);
  const holds = lock === undefined ? [] : holdsToForce(lock, command.fence);
  const last = holds.at(-1);
  if (last === undefined) return lockNotFound;
  const { principal, reason } = command;
  for (const hold of holds) endInvoluntarily(locks, hold, "forced", { principal, reason });
  settle(locks);
  for (const hold of holds) locks.sessions.dropIfIdle(hold.account);
  return released(last.fence, 0, takeGrantedOwners(locks));
}

function holdsToForce(lock: Lock, fence: number): Hold[] {
  const holds: Hold[] = [];
  for (let hold = lock.firstHold; hold !== null; hold = hold.nextOfLock) if (fence === 0 || hold.fence === fence) holds.push(hold);
  return holds;
}

/** Ends a hold, and its lock stays closed for the session's lock_delay. */
export function endInvoluntarily(locks: LockState, hold: Hold, cause: ReleaseCause, forced: ForcedBy | null = null): void {
  const { lock, mode } = hold;
  const { lockDelayMs } = hold.account;
  endHold(locks, hold, cause, forced);
  if (lockDelayMs !== 0 && !mutant("lock-delay-skipped")) locks.addDelay(lock, mode, lockDelayMs);
}

/** Ends a hold whatever its depth. Nobody is woken until `settle`. */
export function endHold(locks: LockState, hold: Hold, cause: ReleaseCause, forced: ForcedBy | null = null): void {
  const { lock } = hold;
  const { upgrading } = hold;
  locks.uncover(hold);
  locks.removeHold(hold, cause, forced);
  locks.markDirty(lock);
  // Its upgrade asks for something that is gone.
  if (upgrading !== null && !mutant("lock-upgrade-outlives-hold")) endWait(locks, upgrading, notHeld(lock.name, lock), "cancelled");
}

/** Brings the table to rest after a change: grants what became grantable, then breaks cycles that a lost cover may have closed. */
export function settle(locks: LockState): void {
  wakeAll(locks);
  while (locks.uncovered.length > 0) {
    const wait = locks.uncovered.shift() as Wait;
    if (locks.waits.get(wait.id) !== wait || mutant("lock-deadlock-uncovered-unsearched")) continue;
    breakDeadlocks(locks, wait);
    wakeAll(locks);
  }
}
