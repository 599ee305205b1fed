import type { Hold } from "../locks/hold.ts";
import type { Lock } from "../locks/lock.ts";
import type { LockState } from "../locks/lock-state.ts";
import type { Ticket } from "../locks/wait.ts";
import type { Account } from "../sessions/account.ts";
import type { ShardedMap } from "./sharded-map.ts";
import { arrangedPerCall } from "./limits.ts";
import type { HoldView, LockView, SessionView, WaitView } from "./view.ts";

export function lockView(name: string, lock: Lock | undefined): LockView {
  if (lock === undefined) return { name, status: "available", of: 0, holders: [], waiters: [] };
  const holders: HoldView[] = [];
  for (let hold = lock.firstHold; hold !== null; hold = hold.nextOfLock) holders.push(holdView(hold));
  const waiters: WaitView[] = [];
  for (let ticket = lock.firstTicket; ticket !== null; ticket = ticket.next) waiters.push(waitView(ticket));
  const idle = lock.firstDelay === null ? "available" : "delayed";
  return { name, status: holders.length > 0 ? "held" : idle, of: lock.of, holders, waiters };
}

function holdView(hold: Hold): HoldView {
  const { owner, account, mode, fence, depth, anonymous, ttlMs, since } = hold;
  return { owner, principal: account.principal, session: account.session, mode, fence, depth, anonymous, ttlMs, since };
}

function waitView(ticket: Ticket): WaitView {
  const { owner, account, waitMs, since, caller, sequence } = ticket.wait;
  return { owner, principal: account.principal, session: account.session, mode: ticket.mode, waitMs, since, caller, sequence };
}

/** A page of names in byte order. */
export function listLocks(
  lockState: LockState,
  prefix: string,
  cursor: string,
  limit: number,
): { readonly locks: readonly LockView[]; readonly next: string | null } {
  const { packed, packedOrder, table } = lockState;
  table.index.arrange(arrangedPerCall);
  const found = table.index.page(prefix, cursor, limit + 1);
  const ids = packedOrder.page(prefix, cursor, limit + 1, found[limit]?.name ?? null);
  const hasMore = found.length + ids.length > limit;
  const locks: LockView[] = [];
  let place = 0;
  for (let at = 0; locks.length < limit && at + place < found.length + ids.length;) {
    const lock = found[place];
    const id = ids[at];
    const isPacked = id !== undefined && (lock === undefined || packed.compareText(id, lock.name) < 0);
    // Only what is shown becomes objects, and stands in order with the others from now on.
    const shown = isPacked ? packed.unpack(id) : lock;
    if (shown !== undefined) locks.push(lockView(shown.name, shown));
    if (isPacked) at++;
    else place++;
  }
  return { locks, next: hasMore ? (locks.at(-1)?.name ?? null) : null };
}

export function sessionView(account: Account): SessionView {
  return {
    session: account.session,
    principal: account.principal,
    label: account.label,
    ttlMs: account.ttlMs,
    lockDelayMs: account.lockDelayMs,
    locks: account.holdCount,
    waiters: account.waitCount,
    openedAt: account.openedAt,
  };
}

/** Sessions with ids above `cursor`, by id. */
export function listSessions(
  sessions: ShardedMap<Account>,
  cursor: number,
  limit: number,
): { readonly sessions: readonly SessionView[]; readonly next: number | null } {
  const ids: number[] = [];
  for (const account of sessions.values()) if (account.session > cursor) ids.push(account.session);
  ids.sort((a, b) => a - b);
  const page = ids.slice(0, limit);
  const found = page.map((id) => sessions.get(id)).filter((account) => account !== undefined);
  return { sessions: found.map(sessionView), next: ids.length > limit ? (page.at(-1) ?? null) : null };
}
