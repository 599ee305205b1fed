import type { Result } from "@trivet/wire";
import type { LockState } from "./lock-state.ts";
import type { Wait } from "./wait.ts";

/** Takes a waiting request out of line and gives it its one answer. Those behind it are woken when the command settles. */
export function endWait(locks: LockState, wait: Wait, result: Result, cause: "timeout" | "cancelled" | "deadlock" | "session-lost"): void {
  locks.removeWait(wait);
  locks.answer(wait, result);
  if (!wait.announced) return;
  for (const ticket of wait.tickets) {
    locks.ledger.sink.changed({ type: "wait-ended", name: ticket.lock.name, owner: wait.owner, session: wait.account.session, cause });
  }
}
