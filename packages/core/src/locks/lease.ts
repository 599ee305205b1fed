import { mutant } from "#mutation";
import type { Result, SetLease } from "@trivet/wire";
import { busy, done, lockNotFound, sessionLost, waitNotFound } from "./answers.ts";
import { endWait } from "./end-wait.ts";
import type { LockState } from "./lock-state.ts";
import { endHold, findByFence, settle } from "./release.ts";
import { isReady } from "./grant.ts";

/** Another lease length for a grant without session, running from now. */
export function setLease(locks: LockState, command: SetLease): Result {
  const { actor, name } = command;
  const account = locks.sessions.existingAccountOf(actor);
  if (account === null && actor.session !== 0) return sessionLost(actor.session);
  const hold = findByFence(locks, account, actor.owner, name, command.fence);
  if (!("lock" in hold)) return hold;
  if (hold.ttlMs === 0) return { type: "conflict", reason: "lock-kind", detail: `${name} is held by a session and lives as long as that` };
  if (command.ttlMs === 0) return { type: "malformed", detail: "a lock without session needs a ttl" };
  locks.setLease(hold, command.ttlMs);
  return done;
}

/** The lease of grant `fence` ran out: ends that very grant or nothing (compare-and-delete by an id that is never reused, W-27). */
export function expireGrant(locks: LockState, fence: number): Result {
  const hold = locks.leases.get(fence) ?? (mutant("lock-expire-any-grant") ? firstLease(locks) : undefined);
  if (hold === undefined) return lockNotFound;
  endHold(locks, hold, "expired");
  settle(locks);
  locks.sessions.dropIfIdle(hold.account);
  return done;
}

function firstLease(locks: LockState): ReturnType<typeof locks.leases.get> {
  for (const hold of locks.leases.values()) return hold;
  return undefined;
}

/** The patience of a waiting request ran out. */
export function expireWait(locks: LockState, id: number): Result {
  const wait = locks.waits.get(id);
  if (wait === undefined) return waitNotFound;
  const { account } = wait;
  const blocked = wait.tickets.find((ticket) => !isReady(ticket)) ?? wait.tickets[0];
  const name = blocked?.lock.name ?? "";
  endWait(locks, wait, busy(name, blocked?.lock, true), "timeout");
  settle(locks);
  locks.sessions.dropIfIdle(account);
  return done;
}

/** A lock_delay is over. */
export function expireDelay(locks: LockState, id: number): Result {
  const delay = locks.delays.get(id);
  if (delay === undefined) return lockNotFound;
  locks.removeDelay(delay);
  settle(locks);
  return done;
}
