import { mutant } from "#mutation";
import { assertNever } from "../kernel/assert.ts";
import { forgetAbandoned, hasForgettable } from "./abandoned.ts";
import type { HolderEffect, HolderState, Line } from "./holder-state.ts";
import { forgetIdle } from "./holder-state.ts";
import { nextLineState } from "./line-table.ts";
import { read, sendFetch, sendWrite } from "./lines.ts";
import type { HomeMessage } from "./messages.ts";
import { isLeased } from "./reading.ts";
import type { Moment } from "./timing.ts";

/** Asks for a lease or its prolongation, unless it was asked just now or is not to ask yet. Holds no copy before the answer. */
export function ask(holder: HolderState, now: Moment, effects: HolderEffect[]): void {
  const { asked, limits, timing } = holder;
  if (holder.term === 0 || now.steady < holder.askAgainAt) return;
  if (asked.length > 0 && now.steady - holder.lastAskedAt < timing.renewEveryMs) return;
  const request = holder.nextRequest++;
  asked.push({ request, sentAt: now });
  if (asked.length > limits.openRenewals) asked.shift();
  holder.lastAskedAt = now.steady;
  const { incarnation, processed, term } = holder;
  effects.push({ type: "send", message: { type: "renew", term, incarnation, request, processed } });
}

/** Rule M2: a lapse is the end of this life. What was held is I before anything else happens. */
export function lapseIfOver(holder: HolderState, now: Moment, effects: HolderEffect[]): void {
  if (holder.leasedAt === null || isLeased(holder, now.steady, now.wall)) return;
  holder.leasedAt = null;
  if (mutant("coherence-lapse-survived")) return;
  newIncarnation(holder, now, effects);
}

/** The answer to a request: the lease counts from when that was sent, and only once everything withdrawn before is gone (rule M2). */
export function renewed(holder: HolderState, request: number, sequence: number, now: Moment, effects: HolderEffect[]): void {
  const at = holder.asked.findIndex((open) => open.request === request);
  if (at < 0) return;
  const [open] = holder.asked.splice(0, at + 1).slice(-1);
  if (open === undefined) return;
  const sentAt = mutant("coherence-lease-from-its-answer") ? now : open.sentAt;
  if (sequence > holder.processed && !mutant("coherence-renewed-before-invalidation")) holder.held = { sentAt, sequence };
  else prolong(holder, sentAt, now, effects);
}

/** A renewal that waited for an invalidation counts now. */
export function release(holder: HolderState, now: Moment, effects: HolderEffect[]): void {
  const { held } = holder;
  if (held === null || held.sequence > holder.processed) return;
  holder.held = null;
  prolong(holder, held.sentAt, now, effects);
}

function prolong(holder: HolderState, sentAt: Moment, now: Moment, effects: HolderEffect[]): void {
  if (holder.leasedAt !== null && holder.leasedAt.steady >= sentAt.steady) return;
  const first = holder.leasedAt === null;
  holder.leasedAt = sentAt;
  // It may have been on its way for longer than it lasts.
  if (first) lapseIfOver(holder, now, effects);
}

export function refused(
  holder: HolderState,
  message: Extract<HomeMessage, { readonly type: "refused" }>,
  now: Moment,
  effects: HolderEffect[],
): void {
  const at = holder.asked.findIndex((open) => open.request === message.request);
  if (at < 0) return;
  holder.asked.splice(0, at + 1);
  switch (message.reason) {
    case "lapsed":
      // The home has forgotten what this life holds.
      return newIncarnation(holder, now, effects);
    case "barred":
    case "closing":
    case "full":
      holder.askAgainAt = Math.max(holder.askAgainAt, now.steady + message.retryMs);
      return;
    default:
      assertNever(message.reason);
  }
}

/** Everything is I; what waits is asked for anew, under a name that nothing on its way knows. */
export function newIncarnation(holder: HolderState, now: Moment, effects: HolderEffect[]): void {
  holder.incarnation++;
  startOver(holder, now, effects);
}

/** Rule M4: another home. What the former granted is void, and what it still says is not believed. */
export function takeTerm(holder: HolderState, term: number, now: Moment, effects: HolderEffect[]): void {
  holder.term = term;
  // Whom one home has barred, the next does not know.
  holder.askAgainAt = Number.NEGATIVE_INFINITY;
  if (mutant("coherence-flush-keeps-copies")) return;
  startOver(holder, now, effects);
  for (const line of holder.lines.values()) {
    for (const [txn, write] of line.writes) {
      write.sentAt = now;
      sendWrite(holder, line, txn, write, effects);
    }
  }
}

function startOver(holder: HolderState, now: Moment, effects: HolderEffect[]): void {
  holder.leasedAt = null;
  holder.asked = [];
  holder.held = null;
  holder.processed = 0;
  holder.lastAskedAt = Number.NEGATIVE_INFINITY;
  let wanted = false;
  for (const line of holder.lines.values()) {
    forgetAbandoned(line, effects);
    // In the mode `ttl` a copy is as stale as it may be, whatever becomes of the lease; nor does a confirmed read need one.
    if (line.copy?.timed === true) continue;
    if (line.fetch?.mode.type === "ttl") {
      sendFetch(holder, line, line.fetch, effects);
      continue;
    }
    line.state = nextLineState(line.state, "reset");
    line.invalidated = 0;
    line.shared = 0;
    if (line.copy !== null) {
      line.copy = null;
      effects.push({ type: "dropped", line: line.name });
    }
    const { fetch } = line;
    const waiters = [...(fetch?.first ?? []), ...(fetch?.joined ?? []), ...line.after.splice(0)];
    line.fetch = null;
    const strict = line.strict.splice(0);
    if (strict.length > 0) read(holder, line.name, { type: "strict" }, strict, now, effects);
    if (waiters.length > 0) {
      wanted ||= fetch?.mode.type !== "uncopied";
      read(holder, line.name, fetch?.mode ?? { type: "write-through" }, waiters, now, effects);
    }
    forgetIdle(holder, line);
  }
  if (wanted) ask(holder, now, effects);
}

/** Time has passed: prolongs the lease while there is something to hold, and sends again what was not answered. */
export function retry(holder: HolderState, now: Moment, effects: HolderEffect[]): void {
  const { renewEveryMs } = holder.timing;
  const due = holder.leasedAt === null || now.steady - holder.leasedAt.steady >= renewEveryMs;
  if (hasForgettable(holder, now)) {
    holder.forgottenAt = now.steady;
    newIncarnation(holder, now, effects);
  }
  if (due && holdsAnything(holder)) ask(holder, now, effects);
  for (const name of holder.pending) {
    const line = holder.lines.get(name);
    if (line === undefined || (line.fetch === null && line.writes.size === 0)) holder.pending.delete(name);
    else sendAgain(holder, line, now, effects);
  }
}

function sendAgain(holder: HolderState, line: Line, now: Moment, effects: HolderEffect[]): void {
  const { fetch } = line;
  const { renewEveryMs } = holder.timing;
  if (fetch !== null && now.steady - fetch.sentAt.steady >= renewEveryMs) {
    fetch.sentAt = now;
    sendFetch(holder, line, fetch, effects);
  }
  if (mutant("coherence-write-sent-once")) return;
  for (const [txn, write] of line.writes) {
    if (now.steady - write.sentAt.steady < renewEveryMs) continue;
    write.sentAt = now;
    sendWrite(holder, line, txn, write, effects);
  }
}

function holdsAnything(holder: HolderState): boolean {
  for (const { copy, fetch } of holder.lines.values()) {
    const goesWithout = copy?.timed === true || fetch?.mode.type === "ttl" || (copy === null && fetch?.mode.type === "uncopied");
    if (!goesWithout) return true;
  }
  return false;
}
