import { mutant } from "#mutation";
import type { HomeEffect, HomeEvent, HomeState } from "./home-state.ts";
import { awaits, withdraw } from "./home-withdrawals.ts";
import type { HolderId } from "./messages.ts";
import { grantedMs } from "./timing.ts";

/** Rule M4: the directory begins empty; whoever had a lease of a former home is told, and waited for. */
export function elected(
  home: HomeState,
  { barred, electedAt, now, registered, term }: Extract<HomeEvent, { readonly type: "elected" }>,
  effects: HomeEffect[],
): void {
  deposed(home, effects);
  home.term = term;
  home.phase = "recovering";
  home.flushUntil = electedAt + grantedMs(home.timing);
  for (const [holder, incarnation] of registered) {
    home.registered.set(holder, { incarnation, ended: false, idleSince: now, leaving: false });
    if (!barred) home.unflushed.add(holder);
    effects.push({ type: "send", to: holder, message: { type: "flush", term, incarnation } });
  }
  opensIfFlushed(home, now, effects);
}

/** Nothing of it is needed by anybody: values are in the log, copies live by leases. */
export function deposed(home: HomeState, effects: HomeEffect[]): void {
  for (const entry of home.entries.values()) {
    const askers = [entry.writing, ...entry.queue].flatMap((op) => (op?.type === "write" ? [op.asker] : []));
    for (const asker of askers) if (asker.type === "local") effects.push({ type: "abandoned", id: asker.id });
  }
  for (const ops of home.scopes.values()) {
    for (const { asker } of ops) if (asker.type === "local") effects.push({ type: "abandoned", id: asker.id });
  }
  home.phase = "idle";
  home.resuming = false;
  for (const set of [home.unflushed, home.touched, home.asked]) set.clear();
  for (const map of [home.closingWaits, home.registered, home.registering, home.sessions, home.bars, home.entries]) map.clear();
  for (const map of [home.rounds, home.proposals, home.confirmedReads, home.scopes, home.busy, home.blocked]) map.clear();
}

/** This holder has nothing of a former home. */
export function flushed(home: HomeState, holder: HolderId, now: number, effects: HomeEffect[]): void {
  if (home.unflushed.delete(holder)) opensIfFlushed(home, now, effects);
}

/** All have answered, or nobody can have a lease of before. */
export function opensIfFlushed(home: HomeState, now: number, effects: HomeEffect[]): void {
  if (home.phase !== "recovering" || (home.unflushed.size > 0 && now < home.flushUntil)) return;
  home.unflushed.clear();
  home.phase = "open";
  for (const lines of home.blocked.values()) for (const line of lines) home.touched.add(line);
  effects.push({ type: "opened" });
}

export function mayWrite(home: HomeState): boolean {
  return home.phase !== "recovering" || mutant("coherence-new-home-writes-at-once");
}

export function mayGrant(home: HomeState): boolean {
  return home.phase === "recovering" || home.phase === "open" || mutant("coherence-grants-while-closing");
}

/** Leadership is to be handed over: nobody gets more time or a copy, everybody gives up what it has; then the barrier is logged. */
export function close(home: HomeState, effects: HomeEffect[]): void {
  // Leases of a former home, which this one cannot withdraw, may still live: no barrier, and the successor waits.
  if (home.phase === "recovering") effects.push({ type: "closed" });
  // The barrier of a hand-over that was called off is on its way: it is this one's.
  if (home.phase === "closing" && !mutant("coherence-close-stays-called-off")) home.resuming = false;
  if (home.phase !== "open") return;
  home.phase = "closing";
  for (const session of home.sessions.values()) {
    const wait = withdraw(home, session, { type: "everything" }, effects);
    if (mutant("coherence-barrier-unflushed")) continue;
    home.closingWaits.set(session.holder, wait);
    awaits(session, wait, { type: "closing" });
  }
}

/** Every lease is over or empty: whoever leads next need not wait. */
export function barrierWhenClosed(home: HomeState, effects: HomeEffect[]): void {
  if (home.phase === "closing" && home.closingWaits.size === 0 && !isProposed(home, "barrier")) propose(home, "barrier", effects);
}

/** The hand-over came to nothing. What was logged must be taken back in the log before anybody gets a lease again. */
export function resume(home: HomeState, effects: HomeEffect[]): void {
  if (home.phase === "handed") {
    // A second one could be applied when the next hand-over is under way, and open the home behind its barrier.
    if (!isProposed(home, "resume") || mutant("coherence-resumed-twice")) propose(home, "resume", effects);
  } else if (isProposed(home, "barrier")) home.resuming = true;
  else if (home.phase === "closing") {
    home.closingWaits.clear();
    home.phase = "open";
  }
}

export function barrierApplied(home: HomeState, marker: "barrier" | "resume", effects: HomeEffect[]): void {
  if (marker === "resume") {
    home.phase = "open";
    return;
  }
  home.phase = "handed";
  if (!home.resuming) effects.push({ type: "closed" });
  else {
    home.resuming = false;
    propose(home, "resume", effects);
  }
}

function isProposed(home: HomeState, marker: "barrier" | "resume"): boolean {
  for (const open of home.proposals.values()) if (open.type === marker) return true;
  return false;
}

function propose(home: HomeState, marker: "barrier" | "resume", effects: HomeEffect[]): void {
  const proposal = home.nextNumber++;
  home.proposals.set(proposal, { type: marker });
  effects.push({ type: "propose", proposal, what: { type: marker === "barrier" ? "lease-barrier" : "lease-resume" } });
}

/**
 * May a new home begin to write at once? Iff the last lease marker in the log is a barrier, and the entry before the new leader's first was
 * of the term that logged it: nobody has led in between (rule M4).
 */
export function barrierHolds(marker: { readonly barrier: boolean; readonly term: number } | null, previousTerm: number): boolean {
  if (marker === null || !marker.barrier) return false;
  return marker.term === previousTerm || mutant("coherence-barrier-of-another-term");
}
