import type { Result } from "@trivet/wire";
import { breakDeadlocks } from "./break-deadlocks.ts";
import { wakeAll } from "./grant.ts";
import type { LockState } from "./lock-state.ts";
import type { Wait } from "./wait.ts";

/**
 * Puts a request in line and decides about it at once: breaking a deadlock may grant it, or make it the victim. Returns its answer,
 * or the id under which the answer will come.
 */
export function enter(locks: LockState, wait: Wait): Result | number {
  locks.addWait(wait);
  breakDeadlocks(locks, wait);
  wakeAll(locks);
  const answer = locks.enteringAnswer;
  locks.entering = null;
  locks.enteringAnswer = null;
  if (answer !== null) return answer;
  locks.announce(wait);
  return wait.id;
}
