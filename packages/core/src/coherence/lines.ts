import { mutant } from "#mutation";
import type { Fetch, HolderEffect, HolderEvent, HolderState, Line, PendingWrite, ReadMode, Waiter } from "./holder-state.ts";
import { lineOf } from "./holder-state.ts";
import { isReadable, nextLineState } from "./line-table.ts";
import type { LineName } from "./messages.ts";
import { readableCopy } from "./reading.ts";
import type { Moment } from "./timing.ts";

/** Answers from the copy, joins the fill on its way, or sends for one. `confirmed`: as for the mode `strict`, this time. */
export function read(
  holder: HolderState,
  name: LineName,
  mode: ReadMode,
  waiters: readonly Waiter[],
  now: Moment,
  effects: HolderEffect[],
  confirmed = false,
): void {
  const line = lineOf(holder, name);
  const copy = mode.type === "strict" ? undefined : readableCopy(holder, line, now.steady, now.wall);
  if (copy !== undefined) {
    for (const waiter of waiters) effects.push({ type: "answer-read", waiter, record: copy.record, source: "copy" });
    return;
  }
  // A copy past its own time is given up: the home decides whether there is still something.
  if (isReadable(line.state)) {
    line.state = nextLineState(line.state, "inv");
    line.copy = null;
    effects.push({ type: "dropped", line: name });
  }
  const { fetch } = line;
  if (fetch === null) {
    line.state = nextLineState(line.state, "read");
    return beginFetch(holder, line, mode, confirmed, waiters, now, effects);
  }
  line.state = nextLineState(line.state, "read");
  // Only a flight that a quorum confirms is for who wants that.
  if (mode.type === "strict" && fetch.mode.type !== "strict" && !mutant("coherence-strict-answered-by-fill")) {
    line.strict.push(...waiters);
    return;
  }
  // A flight that an invalidation or a write of our own has overtaken is for those who came before.
  const isOlder = line.state !== "IS_D" || mode.type === "strict";
  if (isOlder && !mutant("coherence-older-flight-joined")) line.after.push(...waiters);
  else fetch.joined.push(...waiters);
}

function beginFetch(
  holder: HolderState,
  line: Line,
  mode: ReadMode,
  confirmed: boolean,
  waiters: readonly Waiter[],
  now: Moment,
  effects: HolderEffect[],
): void {
  const fetch: Fetch = {
    txn: holder.nextTxn++,
    mode,
    confirmed: confirmed || (mode.type !== "write-through" && mode.type !== "uncopied"),
    begunAt: now,
    sentAt: now,
    first: [...waiters],
    joined: [],
    passOnly: line.writes.size > 0,
  };
  line.fetch = fetch;
  holder.pending.add(line.name);
  sendFetch(holder, line, fetch, effects);
}

export function sendFetch(holder: HolderState, line: Line, { confirmed, mode, txn }: Fetch, effects: HolderEffect[]): void {
  const { incarnation, term } = holder;
  if (term === 0) return;
  const asked = { term, incarnation, line: line.name, txn };
  // Without a lease no copy would come with it either.
  const isForNode = !confirmed && (mode.type === "uncopied" || (holder.asksNode && holder.leasedAt === null));
  effects.push({ type: "send", message: isForNode ? { type: "read", ...asked } : { type: "fetch", ...asked, confirmed } });
}

/** Rule M5: from here until the answer nobody reads the copy that this process has. */
export function startWrite(
  holder: HolderState,
  { command, keep, line: name, now, waiter }: Extract<HolderEvent, { readonly type: "write" }>,
  effects: HolderEffect[],
): void {
  const line = lineOf(holder, name);
  line.state = nextLineState(line.state, "write");
  if (line.fetch !== null) line.fetch.passOnly = true;
  const write: PendingWrite = { waiter, command, keep, begunAt: now, sentAt: now, isAbandoned: false };
  const txn = holder.nextTxn++;
  line.writes.set(txn, write);
  holder.pending.add(name);
  sendWrite(holder, line, txn, write, effects);
}

export function sendWrite(holder: HolderState, line: Line, txn: number, { command, keep }: PendingWrite, effects: HolderEffect[]): void {
  const { incarnation, term } = holder;
  if (term > 0) effects.push({ type: "send", message: { type: "write", term, incarnation, line: line.name, txn, command, keep } });
}
