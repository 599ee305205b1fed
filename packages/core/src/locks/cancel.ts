import { mutant } from "#mutation";
import type { CancelWait, Result } from "@trivet/wire";
import { cancelled, done, waitNotFound } from "./answers.ts";
import { endWait } from "./end-wait.ts";
import type { LockState } from "./lock-state.ts";
import { settle } from "./release.ts";
import type { Wait } from "./wait.ts";
import { ownTicket } from "./wait-queue.ts";

/**
 * Ends a wait. The log decides the race with the grant: the request is answered `cancelled` or `granted`, never both; the canceller
 * `done` or `not-found`. A cancel that comes before its own request answers that request in advance.
 */
export function cancel(locks: LockState, command: CancelWait): Result {
  const wait = command.caller === "" ? findByActor(locks, command) : findByRequest(locks, command);
  if (wait === null) {
    if (command.caller === "" || mutant("lock-cancel-ahead-lost")) return waitNotFound;
    return locks.dedupe.answerAhead(command.caller, command.sequence, cancelled) ? done : waitNotFound;
  }
  const { account } = wait;
  endWait(locks, wait, cancelled, "cancelled");
  settle(locks);
  locks.sessions.dropIfIdle(account);
  return done;
}

function findByRequest(locks: LockState, command: CancelWait): Wait | null {
  const slot = locks.dedupe.find(command.caller)?.get(command.sequence);
  return typeof slot === "number" ? (locks.waits.get(slot) ?? null) : null;
}

function findByActor(locks: LockState, command: CancelWait): Wait | null {
  const account = locks.sessions.existingAccountOf(command.actor);
  const lock = locks.table.get(command.name);
  if (account === null || lock === undefined) return null;
  return ownTicket(lock, account, command.actor.owner)?.wait ?? null;
}
