import { mutant } from "#mutation";
import type { Result } from "@trivet/wire";
import { done, sessionLost, sessionNotFound } from "../locks/answers.ts";
import { endWait } from "../locks/end-wait.ts";
import type { LockState } from "../locks/lock-state.ts";
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
  locks.unpackAll(account);
  if (!mutant("session-end-keeps-holds")) {
    for (const hold of account.orderedHolds()) {
      if (cause === "expired") endInvoluntarily(locks, hold, "session-lost");
      else if (mutant("session-close-delays-locks")) endInvoluntarily(locks, hold, "session-closed");
      else endHold(locks, hold, "session-closed");
    }
  }
  locks.sessions.remove(account);
  settle(locks);
  locks.ledger.sink.changed({ type: "session-ended", session: id, cause });
  return done;
}
