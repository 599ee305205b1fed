import type { Lock } from "../locks/lock.ts";
import type { LockState } from "../locks/lock-state.ts";
import { compatible } from "../locks/modes.ts";
import type { Wait } from "../locks/wait.ts";
import type { LockMode } from "@trivet/wire";

interface Held {
  readonly owner: string;
  mode: LockMode;
  readonly fence: number;
}

/**
 * The waits that can never be granted, found by playing the whole table to its end in the plainest way: owners that wait for nothing
 * release everything, lines are granted in order, and so on until nothing moves. Deliberately shares no code with the search in apply
 * (rule K3), which it judges; slow.
 */
export function deadlockedWaits(locks: LockState): Wait[] {
  const held = new Map<Lock, Held[]>();
  const lines = new Map<Lock, Wait[]>();
  const left = new Map<string, Set<Wait>>();
  for (const lock of locks.table.values()) {
    const holds: Held[] = [];
    for (let hold = lock.firstHold; hold !== null; hold = hold.nextOfLock) {
      holds.push({ owner: key(hold.account, hold.owner), mode: hold.mode, fence: hold.fence });
    }
    held.set(lock, holds);
    const line: Wait[] = [];
    for (let ticket = lock.firstTicket; ticket !== null; ticket = ticket.next) line.push(ticket.wait);
    lines.set(lock, line);
  }
  for (const wait of locks.waits.values()) {
    const owner = key(wait.account, wait.owner);
    left.set(owner, (left.get(owner) ?? new Set()).add(wait));
  }
  for (let moved = true; moved;) {
    moved = releaseAll(held, left);
    for (const wait of waiting(left)) moved = grantIfPossible(wait, held, lines, left) || moved;
  }
  return waiting(left);
}

function waiting(left: ReadonlyMap<string, ReadonlySet<Wait>>): Wait[] {
  return [...left.values()].flatMap((waits) => [...waits]);
}

function key(account: { readonly session: number; readonly principal: string }, owner: string): string {
  return JSON.stringify([account.session, account.session === 0 ? account.principal : "", owner]);
}

/** Everybody who waits for nothing lets go. */
function releaseAll(held: Map<Lock, Held[]>, left: ReadonlyMap<string, ReadonlySet<Wait>>): boolean {
  let moved = false;
  for (const [lock, holds] of held) {
    const kept = holds.filter((hold) => (left.get(hold.owner)?.size ?? 0) > 0);
    if (kept.length < holds.length) moved = true;
    held.set(lock, kept);
  }
  return moved;
}

function grantIfPossible(wait: Wait, held: Map<Lock, Held[]>, lines: Map<Lock, Wait[]>, left: Map<string, Set<Wait>>): boolean {
  const owner = key(wait.account, wait.owner);
  const upgraded = wait.upgrade?.fence ?? 0;
  for (const ticket of wait.tickets) {
    if (ticket.coveredBy !== null) continue;
    if (lines.get(ticket.lock)?.[0] !== wait) return false;
    const others = (held.get(ticket.lock) ?? []).filter((hold) => hold.fence !== upgraded || upgraded === 0);
    const free = ticket.mode === "permit" ? others.length < ticket.lock.of : others.every((hold) => compatible(hold.mode, ticket.mode));
    if (!free) return false;
  }
  for (const ticket of wait.tickets) {
    lines.set(
      ticket.lock,
      (lines.get(ticket.lock) ?? []).filter((other) => other !== wait),
    );
    const holds = held.get(ticket.lock) ?? [];
    const own = holds.find((hold) => hold.fence === upgraded && upgraded !== 0);
    if (own !== undefined) own.mode = ticket.mode;
    else if (ticket.coveredBy === null) holds.push({ owner, mode: ticket.mode, fence: 0 });
  }
  left.get(owner)?.delete(wait);
  return true;
}
