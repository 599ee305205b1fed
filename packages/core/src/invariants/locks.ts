import { invariant } from "../kernel/assert.ts";
import type { Hold } from "../locks/hold.ts";
import type { Lock } from "../locks/lock.ts";
import { holdDigest, packedDigest, waitDigest } from "../locks/lock-state.ts";
import { compatible } from "../locks/modes.ts";
import type { Ticket, Wait } from "../locks/wait.ts";
import type { Account } from "../sessions/account.ts";
import { hashText } from "../system/digest.ts";
import { sessionDigest } from "../sessions/session-table.ts";
import type { SystemState } from "../system/system-state.ts";
import { anchorsRise, placementIsWhole, queuesAreIndexed } from "./definitions.ts";
import { deadlockedWaits } from "./locks-reduction.ts";

/** A named property of group 0's state that holds between any two commands. Throws InvariantError when it does not. */
export type SystemPredicate = (state: SystemState) => void;

/** Never two holds that exclude each other, and never more permits than the semaphore has. */
export function holdsAreCompatible(state: SystemState): void {
  for (const lock of state.lockState.table.values()) {
    const modes = modesInUse(lock);
    modes.forEach((mode, i) => {
      for (const other of modes.slice(i + 1)) {
        invariant(compatible(mode, other), "locks-compatible", () => `${lock.name} in ${mode} and ${other}`);
      }
    });
    const permits = modes.filter((mode) => mode === "permit").length;
    invariant(permits <= lock.of, "locks-permits", () => `${lock.name}: ${permits} of ${lock.of} permits`);
  }
}

/** Holds of a lock, and the delays that stand in for ended ones. */
function modesInUse(lock: Lock): Hold["mode"][] {
  const modes = holdsOf(lock).map((hold) => hold.mode);
  for (let delay = lock.firstDelay; delay !== null; delay = delay.next) modes.push(delay.mode);
  return modes;
}

/** Counts, links and order of every lock agree; upgraders stand first, then the order of the log; no name is kept for nothing. */
export function locksAreWellFormed(state: SystemState): void {
  let locks = 0;
  for (const lock of state.lockState.table.values()) {
    locks++;
    invariant(!lock.idle, "locks-none-empty", lock.name);
    invariant(!lock.dirty, "locks-settled", lock.name);
    const modes = modesInUse(lock);
    const count = (mode: Hold["mode"]): number => modes.filter((each) => each === mode).length;
    const counted = [lock.shared, lock.update, lock.exclusive, lock.permits].join();
    const expected = (["shared", "update", "exclusive", "permit"] as const).map(count).join();
    invariant(counted === expected, "locks-counts", () => `${lock.name}: ${counted} counted, ${expected} there`);
    const fences = holdsOf(lock).map((hold) => hold.fence);
    invariant(isRising(fences), "locks-holders-by-fence", () => `${lock.name}: ${fences.join()}`);
    const tickets = ticketsOf(lock);
    invariant(tickets.length === lock.ticketCount, "locks-ticket-count", lock.name);
    const first = tickets.filter((ticket) => ticket.wait.upgrade !== null).length;
    const ranks = tickets.map((ticket, i) => (ticket.wait.upgrade === null) === i >= first && ticket.lock === lock);
    invariant(!ranks.includes(false), "locks-upgraders-first", lock.name);
    const ids = tickets.map((ticket) => ticket.wait.id);
    invariant(isRising(ids.slice(0, first)) && isRising(ids.slice(first)), "locks-fifo", () => `${lock.name}: ${ids.join()}`);
  }
  const names = new Set<string>();
  for (const { name, depth } of state.lockState.packed.all()) {
    locks++;
    invariant(!names.has(name) && depth > 0, "packed-alone", name);
    names.add(name);
  }
  for (const lock of state.lockState.table.values()) invariant(!names.has(lock.name), "packed-alone", lock.name);
  invariant(locks === state.lockState.table.size, "locks-table-size");
  invariant(state.lockState.dirty.length === 0 && state.lockState.uncovered.length === 0, "locks-settled");
}

/** No lost wake-up: nobody waits who could be granted. */
export function waitersAreBlocked(state: SystemState): void {
  for (const wait of state.lockState.waits.values()) {
    const ready = wait.tickets.every((ticket) => couldBeGranted(ticket));
    invariant(!ready, "locks-no-lost-wakeup", () => `${wait.owner} waits for ${wait.tickets.map((ticket) => ticket.lock.name).join()}`);
  }
}

function couldBeGranted(ticket: Ticket): boolean {
  if (ticket.coveredBy !== null) return true;
  const { lock, mode, wait } = ticket;
  if (lock.firstTicket !== ticket) return false;
  let delayed: number = 0;
  for (let delay = lock.firstDelay; delay !== null; delay = delay.next) {
    delayed++;
    if (mode !== "permit" && !compatible(delay.mode, mode)) return false;
  }
  const others = holdsOf(lock).filter((hold) => hold !== wait.upgrade);
  return mode === "permit" ? others.length + delayed < lock.of : others.every((hold) => compatible(hold.mode, mode));
}

/** No deadlock is left: judged by reduction of the whole table, which knows nothing of the search in apply. */
export function noDeadlockIsLeft(state: SystemState): void {
  const dead = deadlockedWaits(state.lockState);
  invariant(dead.length === 0, "locks-no-deadlock", () => dead.map((wait) => `${wait.id} of ${wait.owner}`).join(", "));
}

/** Fences are unique and never above the counter; so are the ids of waits, delays and sessions. */
export function idsAreUnique(state: SystemState): void {
  const { lockState, sessionTable } = state;
  const fences = new Set<number>();
  let holds = 0;
  for (const lock of lockState.table.values()) {
    for (const hold of holdsOf(lock)) {
      holds++;
      fences.add(hold.fence);
      invariant(hold.fence >= 1 && hold.fence <= lockState.lastFence, "fences-counted", () => `${hold.fence} of ${lockState.lastFence}`);
    }
  }
  for (const { fence } of lockState.packed.all()) {
    holds++;
    fences.add(fence);
    invariant(fence >= 1 && fence <= lockState.lastFence, "fences-counted", () => `${fence} of ${lockState.lastFence}`);
  }
  invariant(fences.size === holds, "fences-unique");
  invariant(holds === lockState.holdCount, "holds-counted");
  for (const wait of lockState.waits.values()) invariant(wait.id <= lockState.lastWait, "waits-counted");
  for (const delay of lockState.delays.values()) invariant(delay.id <= lockState.lastDelay, "delays-counted");
  for (const account of sessionTable.sessions.values()) invariant(account.session <= sessionTable.lastSession, "sessions-counted");
}

/** Every hold and wait belongs to exactly one living account, and accounts count what they have. */
export function accountsAreConsistent(state: SystemState): void {
  const { lockState, sessionTable } = state;
  let holds = 0;
  let waits = 0;
  const packed = new Map<number, number>();
  for (const { session } of lockState.packed.all()) {
    packed.set(session, (packed.get(session) ?? 0) + 1);
    invariant(sessionTable.sessions.get(session) !== undefined, "packed-of-a-session", () => `session ${session}`);
  }
  const accounts = [...sessionTable.sessions.values(), ...sessionTable.principals.values()];
  for (const account of accounts) {
    const owned = account.orderedHolds();
    const waiting = account.orderedWaits();
    const held = owned.length + (packed.get(account.session) ?? 0);
    holds += held;
    waits += waiting.length;
    invariant(held === account.holdCount && waiting.length === account.waitCount, "accounts-counts", account.principal);
    const claimed = waiting.reduce((sum, wait) => sum + (wait.upgrade === null ? wait.tickets.length : 0), 0);
    invariant(claimed === account.claimed, "accounts-claims", account.principal);
    for (const hold of owned) invariant(hold.account === account && inList(hold), "accounts-holds", () => `fence ${hold.fence}`);
    for (const wait of waiting) invariant(wait.account === account && lockState.waits.get(wait.id) === wait, "accounts-waits");
    ownersAreIndexed(account, waiting);
    if (account.session === 0) {
      invariant(owned.length + waiting.length > 0, "accounts-none-empty", account.principal);
      for (const hold of owned) invariant(lockState.leases.get(hold.fence) === hold, "leases-indexed", () => `fence ${hold.fence}`);
    }
  }
  invariant(holds === lockState.holdCount, "accounts-hold-all", () => `${holds} of ${lockState.holdCount}`);
  invariant(waits === lockState.waits.size, "accounts-wait-all", () => `${waits} of ${lockState.waits.size}`);
}

function ownersAreIndexed(account: Account, waiting: readonly Wait[]): void {
  const indexed: number[] = [];
  for (const [owner, oldest] of account.waitsByOwner ?? []) {
    let last = 0;
    for (let wait: Wait | null = oldest; wait !== null; wait = wait.nextOfOwner) {
      invariant(wait.owner === owner && wait.id > last, "accounts-owners", owner);
      last = wait.id;
      indexed.push(wait.id);
    }
  }
  invariant(indexed.length === waiting.length, "accounts-owners-complete", account.principal);
}

function inList(hold: Hold): boolean {
  return holdsOf(hold.lock).includes(hold);
}

/** Covers and upgrades point both ways, at holds that exist. */
export function linksAreMutual(state: SystemState): void {
  for (const wait of state.lockState.waits.values()) {
    const { upgrade } = wait;
    if (upgrade !== null) invariant(upgrade.upgrading === wait && inList(upgrade), "upgrades-mutual", () => `wait ${wait.id}`);
    for (const ticket of wait.tickets) {
      const cover = ticket.coveredBy;
      if (cover === null) continue;
      invariant(cover.covering === ticket && inList(cover) && cover.isOf(wait.account, wait.owner), "covers-mutual");
    }
    if (wait.caller === "") continue;
    const slot = state.lookup(wait.caller, wait.sequence);
    const forgotten = slot === "unknown" || (typeof slot === "object" && slot.type === "refused");
    invariant(slot === "pending" || forgotten, "waits-pending", () => `wait ${wait.id}: ${JSON.stringify(slot)}`);
  }
}

/** What needs a timer is what `setTimerSink` would announce. */
export function timersMatch(state: SystemState): void {
  const { lockState, sessionTable } = state;
  let leases = 0;
  for (const account of sessionTable.principals.values()) leases += account.holdCount;
  invariant(state.timerCount("grant") === leases, "timers-grants", () => `${state.timerCount("grant")} of ${leases}`);
  for (const hold of lockState.leases.values()) invariant(hold.ttlMs > 0 && hold.account.session === 0, "timers-leases");
  for (const account of sessionTable.sessions.values()) invariant(account.ttlMs > 0, "timers-sessions");
  for (const wait of lockState.waits.values()) invariant(wait.waitMs > 0 && wait.announced, "timers-waits");
}

/** The running state hash is that of the records themselves (rule W7). */
export function hashIsCurrent(state: SystemState): void {
  let low = 0;
  const add = (hash: number): void => {
    low = (low + hash) | 0;
  };
  for (const lock of state.lockState.table.values()) for (const hold of holdsOf(lock)) add(holdDigest(hold));
  for (const fields of state.lockState.packed.all()) {
    add(packedDigest({ ...fields, nameHash: hashText(fields.name), ownerHash: hashText(fields.owner) }));
  }
  for (const wait of state.lockState.waits.values()) add(waitDigest(wait));
  for (const account of state.sessionTable.sessions.values()) add(sessionDigest(account));
  for (const delay of state.lockState.delays.values()) add(delay.digest);
  invariant(low === state.ledger.digest.low, "hash-current");
}

export const systemPredicates: Readonly<Record<string, SystemPredicate>> = {
  holdsAreCompatible,
  locksAreWellFormed,
  waitersAreBlocked,
  noDeadlockIsLeft,
  idsAreUnique,
  accountsAreConsistent,
  linksAreMutual,
  timersMatch,
  hashIsCurrent,
  queuesAreIndexed,
  placementIsWhole,
  anchorsRise,
};

/** All of them. Walks the whole state: for tests and the simulator. */
export function checkSystem(state: SystemState): void {
  for (const predicate of Object.values(systemPredicates)) predicate(state);
}

function holdsOf(lock: Lock): Hold[] {
  const holds: Hold[] = [];
  for (let hold = lock.firstHold; hold !== null; hold = hold.nextOfLock) holds.push(hold);
  return holds;
}

function ticketsOf(lock: Lock): Ticket[] {
  const tickets: Ticket[] = [];
  for (let ticket = lock.firstTicket; ticket !== null; ticket = ticket.next) tickets.push(ticket);
  return tickets;
}

function isRising(numbers: readonly number[]): boolean {
  return numbers.every((number, i) => i === 0 || number > (numbers[i - 1] as number));
}
