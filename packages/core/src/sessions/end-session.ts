import { mutant } from "#mutation";
import type { Result } from "@trivet/wire";
import { done, sessionLost, sessionNotFound } from "../locks/answers.ts";
import { endWait } from "../locks/end-wait.ts";
import type { Hold } from "../locks/hold.ts";
import type { LockState } from "../locks/lock-state.ts";
import type { Account } from "./account.ts";
import { endHold, endInvoluntarily, settle } from "../locks/release.ts";

/**
 * Ends a session in one step: its waits are over, everything it holds is released, then those behind come forward. When it did not end
 * by its own will its locks stay closed for its lock_delay. The cost is that of what it holds and waits for.
 */
export function endSession(locks: LockState, id: number, cause: "closed" | "expired"): Result {
  const account = locks.sessions.sessions.get(id);
  if (account === undefined) return sessionNotFound;
  if (!mutant("session-end-keeps-waits")) {
    for (const wait of account.orderedWaits()) endWait(locks, wait, sessionLost(id), "session-lost");
  }
  if (!mutant("session-end-keeps-holds")) endHolds(locks, account, cause);
  locks.sessions.remove(account);
  settle(locks);
  locks.ledger.sink.changed({ type: "session-ended", session: id, cause });
  return done;
}

/** A lock that stays closed for a while is an object meanwhile; whatever else is packed ends as it is. */
function endHolds(locks: LockState, account: Account, cause: "closed" | "expired"): void {
  const released = cause === "expired" ? "session-lost" : "session-closed";
  const isDelayed = cause === "expired" || mutant("session-close-delays-locks");
  if (isDelayed && account.lockDelayMs !== 0) locks.unpackAll(account);
  for (const held of heldInOrder(locks, account)) {
    if (typeof held === "number") locks.removePacked(held, account, released);
    else if (isDelayed) endInvoluntarily(locks, held, released);
    else endHold(locks, held, released);
  }
  account.firstPacked = -1;
}

/** All that the account holds, the oldest fence first; of what is packed the number. Found before any of it ends: the last that goes takes all numbers along. */
function heldInOrder({ packed }: LockState, account: Account): (Hold | number)[] {
  const ids = packed.of(account);
  const fences = Float64Array.from(ids, (id) => packed.fenceOf(id));
  const places = Uint32Array.from(ids.keys());
  if (!mutant("session-end-unordered")) places.sort((a, b) => (fences[a] as number) - (fences[b] as number));
  const held: (Hold | number)[] = [];
  let next = 0;
  const takeBelow = (fence: number): void => {
    for (let place = places[next]; place !== undefined && (fences[place] as number) < fence; place = places[++next])
      held.push(ids[place] as number);
  };
  for (const hold of account.orderedHolds()) {
    takeBelow(hold.fence);
    held.push(hold);
  }
  takeBelow(Number.POSITIVE_INFINITY);
  return held;
}
