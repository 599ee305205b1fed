import { mutant } from "#mutation";
import type { Account } from "../sessions/account.ts";
import type { Lock } from "./lock.ts";
import type { Ticket, Wait } from "./wait.ts";

/** True when `a` stands before `b`: upgraders go first, else the order of the log decides (strict FIFO). */
function before(a: Wait, b: Wait): boolean {
  if ((a.upgrade === null) !== (b.upgrade === null)) return a.upgrade !== null;
  return a.id < b.id;
}

/** Puts a ticket into its lock's line. Only a snapshot being loaded, or an upgrader, lands elsewhere than at the end. */
export function enqueue(ticket: Ticket): void {
  const { lock } = ticket;
  let ahead = lock.lastTicket;
  if (mutant("lock-queue-lifo")) ahead = null;
  else if (mutant("lock-upgrade-not-first")) ahead = lock.lastTicket;
  else while (ahead !== null && before(ticket.wait, ahead.wait)) ahead = ahead.previous;
  const behind = ahead === null ? lock.firstTicket : ahead.next;
  ticket.previous = ahead;
  ticket.next = behind;
  if (ahead === null) lock.firstTicket = ticket;
  else ahead.next = ticket;
  if (behind === null) lock.lastTicket = ticket;
  else behind.previous = ticket;
  lock.ticketCount++;
}

export function dequeue(ticket: Ticket): void {
  const { lock, previous, next } = ticket;
  if (previous === null) lock.firstTicket = next;
  else previous.next = next;
  if (next === null) lock.lastTicket = previous;
  else next.previous = previous;
  ticket.previous = null;
  ticket.next = null;
  lock.ticketCount--;
}

/** The ticket of (account, owner) in this line, null when there is none. */
export function ownTicket(lock: Lock, account: Account, owner: string): Ticket | null {
  const { waitsByOwner } = account;
  if (waitsByOwner === null) return null;
  for (let wait: Wait | null = waitsByOwner.get(owner) ?? null; wait !== null; wait = wait.nextOfOwner) {
    for (const ticket of wait.tickets) if (ticket.lock === lock) return ticket;
  }
  return null;
}
