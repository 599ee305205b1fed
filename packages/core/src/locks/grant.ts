import { mutant } from "#mutation";
import { listedHolders } from "../system/limits.ts";
import { granted, grantedSet } from "./answers.ts";
import type { Hold } from "./hold.ts";
import type { Lock } from "./lock.ts";
import type { LockState } from "./lock-state.ts";
import { compatible } from "./modes.ts";
import type { Ticket, Wait } from "./wait.ts";

/** Would the holds and delays of `hold`'s lock, without `hold` itself, leave room for `mode`? */
export function admitsUpgrade(hold: Hold, mode: "update" | "exclusive" | "shared" | "permit"): boolean {
  const { lock } = hold;
  if (mutant("lock-upgrade-ignores-others")) return true;
  lock.count(hold.mode, -1);
  const admitted = lock.admits(mode);
  lock.count(hold.mode, 1);
  return admitted;
}

/** Can this key be granted now? Strict FIFO: only the head of a line can, whatever is free behind it. */
export function isReady(ticket: Ticket): boolean {
  if (ticket.coveredBy !== null) return true;
  const { lock, mode, wait } = ticket;
  if (lock.firstTicket !== ticket) return false;
  return wait.upgrade === null ? lock.admits(mode) : admitsUpgrade(wait.upgrade, mode);
}

/** A set is granted only when all its keys are ready at once. */
function allReady(wait: Wait): boolean {
  for (const ticket of wait.tickets) if (!isReady(ticket)) return mutant("lock-set-partly-granted");
  return true;
}

/**
 * Grants whatever the changes of this command have made grantable, lock by lock in the order they were touched, and forgets names that
 * are free. Every replica walks the same way, so fences agree.
 */
export function wakeAll(locks: LockState): void {
  const { dirty } = locks;
  for (let i = 0; i < dirty.length; i++) {
    const lock = dirty[i] as Lock;
    lock.dirty = false;
    const asleep = mutant("lock-wakeup-lost") || (lock.firstHold !== null && mutant("lock-shared-batch-cut"));
    if (!asleep) wake(locks, lock);
    locks.dropIfIdle(lock);
  }
  dirty.length = 0;
}

function wake(locks: LockState, lock: Lock): void {
  for (let ticket = nextReady(lock); ticket !== null; ticket = nextReady(lock)) {
    grantWait(locks, ticket.wait);
  }
}

/** The head of the line, when it can be granted; null when everybody must wait on. */
function nextReady(lock: Lock): Ticket | null {
  const head = lock.firstTicket;
  if (head !== null && isReady(head) && allReady(head.wait)) return head;
  if (!mutant("lock-queue-overtaken")) return null;
  for (let ticket = head; ticket !== null; ticket = ticket.next) {
    if (ticket.wait.tickets.length === 1 && ticket.wait.upgrade === null && lock.admits(ticket.mode)) return ticket;
  }
  return null;
}

/** Turns a wait into holds, one fence per key, and answers it. */
function grantWait(locks: LockState, wait: Wait): void {
  const { account, owner, upgrade, tickets, anonymous, ttlMs } = wait;
  const covers = tickets.map((ticket) => ticket.coveredBy);
  locks.removeWait(wait);
  if (locks.grantedOwners.length < listedHolders) locks.grantedOwners.push(owner);
  if (upgrade !== null) {
    locks.strengthen(upgrade, (tickets[0] as Ticket).mode);
    locks.answer(wait, granted(upgrade));
    return;
  }
  const holds = tickets.map((ticket, i) => {
    const cover = covers[i] ?? null;
    if (cover === null) return locks.addHold(ticket.lock, account, owner, ticket.mode, anonymous, ttlMs);
    locks.setDepth(cover, cover.depth + 1);
    return cover;
  });
  locks.answer(wait, grantedSet(holds));
}

/** Owners granted since the last call, and an empty list for the next. */
export function takeGrantedOwners(locks: LockState): readonly string[] {
  if (locks.grantedOwners.length === 0) return nobodyGranted;
  return locks.grantedOwners.splice(0);
}

const nobodyGranted: readonly string[] = [];

/** True when a hold or delay of the lock stands in the way of `ticket`. */
export function isBlockedByHold(ticket: Ticket, hold: Hold): boolean {
  return hold !== ticket.wait.upgrade && !(compatible(hold.mode, ticket.mode) && hold.mode !== "permit");
}
