import { mutant } from "#mutation";
import type { CycleStep, DowngradeLock, LockMode, Result, UpgradeLock } from "@trivet/wire";
import { busy, granted, sessionLost } from "./answers.ts";
import { enter } from "./enter.ts";
import { admitsUpgrade, isBlockedByHold } from "./grant.ts";
import type { Hold } from "./hold.ts";
import type { LockState } from "./lock-state.ts";
import { covers, stronger } from "./modes.ts";
import { waiterQuota } from "./quota.ts";
import { findByFence, settle } from "./release.ts";
import { Ticket, Wait } from "./wait.ts";

/**
 * Asks for a stronger mode of a hold without letting go of it. The upgrader goes before everybody in line. A second upgrader that the
 * first one waits for, and that waits for the first, is a deadlock and told so at once.
 */
export function upgrade(locks: LockState, command: UpgradeLock, caller: string, sequence: number): Result | number {
  const { actor, mode, name } = command;
  const account = locks.sessions.existingAccountOf(actor);
  if (account === null && actor.session !== 0) return sessionLost(actor.session);
  const hold = findByFence(locks, account, actor.owner, name, command.fence);
  if (!("lock" in hold)) return hold;
  const { lock } = hold;
  if (lock.of !== 0 || mode === "permit")
    return { type: "conflict", reason: "not-upgradable", detail: `${name} cannot be upgraded to ${mode}` };
  if (!stronger(mode, hold.mode)) return { type: "conflict", reason: "mode", detail: `${name} is held in mode ${hold.mode}` };
  if (hold.upgrading !== null && !mutant("lock-upgrades-twice")) {
    return { type: "conflict", reason: "already-waiting", detail: `${name} is being upgraded already` };
  }
  const first = lock.firstTicket;
  const rival = first !== null && first.wait.upgrade !== null ? first : null;
  const ready = rival === null && admitsUpgrade(hold, mode);
  // Alone, or with nobody it could make wait while it waits elsewhere itself: no cycle can come of it.
  const harmless = first === null || hold.account.waitsByOwner?.has(hold.owner) !== true || mutant("lock-deadlock-upgrade-unsearched");
  if (ready && harmless) {
    locks.strengthen(hold, mode);
    return granted(hold);
  }
  if (!ready && command.waitMs === 0) return refuse(hold, mode, rival);
  const tooMany = waiterQuota(locks, hold.account);
  if (tooMany !== null) return tooMany;
  if (ready) locks.markDirty(lock);
  return enter(locks, upgradeWait(locks, hold, mode, command.waitMs, caller, sequence));
}

/** Not willing to wait. Two upgraders that block each other are told so even then: trying again could never help. */
function refuse(hold: Hold, mode: LockMode, rival: Ticket | null): Result {
  const { lock, owner } = hold;
  if (rival === null || rival.wait.upgrade === null || !isBlockedByHold(rival, hold) || mutant("lock-second-upgrader-busy")) {
    return busy(lock.name, lock, false);
  }
  const other = rival.wait.owner;
  const cycle: CycleStep[] = [
    { owner, waitsFor: lock.name, mode, heldBy: other },
    { owner: other, waitsFor: lock.name, mode: rival.mode, heldBy: owner },
  ];
  return { type: "deadlock", cycle };
}

function upgradeWait(locks: LockState, hold: Hold, mode: LockMode, waitMs: number, caller: string, sequence: number): Wait {
  const wait = new Wait({
    id: ++locks.lastWait,
    account: hold.account,
    owner: hold.owner,
    caller,
    sequence,
    waitMs,
    ttlMs: hold.ttlMs,
    reentrant: false,
    anonymous: hold.anonymous,
    since: locks.ledger.groupTime,
    upgrade: hold,
    epoch: locks.ledger.epoch,
  });
  wait.tickets = [new Ticket(wait, hold.lock, mode)];
  return wait;
}

/** A weaker mode under the same fence (rule K1); those who now fit beside it come forward. */
export function downgrade(locks: LockState, command: DowngradeLock): Result {
  const { actor, mode, name } = command;
  const account = locks.sessions.existingAccountOf(actor);
  if (account === null && actor.session !== 0) return sessionLost(actor.session);
  const hold = findByFence(locks, account, actor.owner, name, command.fence);
  if (!("lock" in hold)) return hold;
  if (hold.upgrading !== null && !mutant("lock-downgrade-while-upgrading")) {
    return { type: "conflict", reason: "already-waiting", detail: `${name} is being upgraded` };
  }
  if (!stronger(hold.mode, mode)) return { type: "conflict", reason: "mode", detail: `${name} is held in mode ${hold.mode}` };
  locks.weaken(hold, mode);
  if (hold.covering !== null && !covers(mode, hold.covering.mode)) locks.uncover(hold);
  if (!mutant("lock-downgrade-wakes-nobody")) locks.markDirty(hold.lock);
  const answer = granted(hold);
  settle(locks);
  return answer;
}
