import { mutant } from "#mutation";
import { keptResolutions } from "../system/limits.ts";
import { findDeadlock } from "./deadlock.ts";
import { endWait } from "./end-wait.ts";
import type { LockState } from "./lock-state.ts";
import type { Wait } from "./wait.ts";
import { nodeOfOwner } from "./wait-graph.ts";

/** Holds of one account that are looked at before a search is cheaper than proving that none is needed. */
const inspectedHolds = 64;

/**
 * After `wait` has come into line (or lost its cover): ends the youngest waiter of each deadlock until none is left (rule K3). When the
 * replicated bound on the search is hit, the request itself is refused: an unsearched wait could sit in a deadlock nobody ever sees.
 * Nobody is woken meanwhile: a request granted after its first victim would escape the search for the second.
 */
export function breakDeadlocks(locks: LockState, wait: Wait): void {
  if (mutant("lock-deadlock-undetected")) return;
  while (locks.waits.get(wait.id) === wait && mayCloseCycle(wait)) {
    const outcome = findDeadlock(locks, nodeOfOwner(wait));
    if (outcome.type === "none") return;
    if (outcome.type === "bound") {
      const max = locks.ledger.limits.deadlockSearchEdges;
      endWait(locks, wait, { type: "quota", limit: "deadlock-search-edges", max }, "cancelled");
      locks.sessions.dropIfIdle(wait.account);
      return;
    }
    const { victim, cycle } = outcome;
    remember(locks, victim, cycle);
    endWait(locks, victim, { type: "deadlock", cycle }, "deadlock");
    locks.sessions.dropIfIdle(victim.account);
    if (mutant("lock-deadlock-one-victim")) return;
  }
}

/**
 * Rule K3's shortcut: an owner that nobody waits for is in no cycle. Nobody does when it waits nowhere else and nobody is in line for
 * anything it holds, or behind it.
 */
function mayCloseCycle(wait: Wait): boolean {
  const { account, owner } = wait;
  if (mutant("lock-deadlock-search-skipped")) return account.holdCount > 1;
  if (nodeOfOwner(wait) !== wait || wait.nextOfOwner !== null || wait.upgrade !== null) return true;
  if (account.holdCount > inspectedHolds || wait.tickets.some((ticket) => ticket.next !== null)) return true;
  for (let hold = account.firstHold; hold !== null; hold = hold.nextOfAccount) {
    if (hold.owner === owner && hold.lock.firstTicket !== null) return true;
  }
  return false;
}

function remember(locks: LockState, victim: Wait, cycle: DeadlockCycle): void {
  const name = victim.tickets[0]?.lock.name ?? "";
  locks.resolutions.push({ at: locks.ledger.groupTime, victim: victim.owner, name, cycle });
  if (locks.resolutions.length > keptResolutions) locks.resolutions.shift();
}

type DeadlockCycle = LockState["resolutions"][number]["cycle"];
