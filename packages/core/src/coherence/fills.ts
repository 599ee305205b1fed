import { mutant } from "#mutation";
import type { Copy, Fetch, HolderEffect, HolderState, Line, Waiter } from "./holder-state.ts";
import { forgetIdle } from "./holder-state.ts";
import { nextLineState } from "./line-table.ts";
import { read } from "./lines.ts";
import type { CachedRecord, Grant, HomeMessage } from "./messages.ts";
import type { Moment } from "./timing.ts";

type Data = Extract<HomeMessage, { readonly type: "data" }>;

/** What was sent for has come: it may be kept, or only passed on, or was said by a home that may be none any more. */
export function filled(holder: HolderState, message: Data, now: Moment, effects: HolderEffect[]): void {
  const line = holder.lines.get(message.line);
  const fetch = line?.fetch;
  // Of an earlier flight, or a copy of one that has come.
  if (line === undefined || fetch == null || fetch.txn !== message.txn) return;
  const { grant, record, sequence, txn } = message;
  if (grant === "none") return confirmed(holder, line, fetch, record, now, effects);
  if (holder.leasedAt === null && !mutant("coherence-unleased-fill-used")) {
    // Without a lease nothing says that the sender is still the home: ask for a read that a quorum confirms.
    return again(holder, line, fetch, [...fetch.first, ...fetch.joined, ...line.after.splice(0)], now, effects, true);
  }
  // Rule M5: an invalidation that was sent later has overtaken it.
  const overtaken = sequence < line.invalidated && !mutant("coherence-overtaken-fill-kept");
  if (overtaken || (fetch.passOnly && !mutant("coherence-fill-beside-write-kept"))) {
    return passedOn(holder, line, fetch, record, now, effects);
  }
  const copy = { record, fill: txn, until: endOf(record.ttlMs, fetch.begunAt), timed: false };
  keep(holder, line, isExclusive(line, grant, sequence) ? "fill-E" : "fill-S", copy, now, effects);
}

/** Read at the home after a quorum round: true at a moment after it was sent, and perhaps no more when others joined. */
function confirmed(holder: HolderState, line: Line, fetch: Fetch, record: CachedRecord, now: Moment, effects: HolderEffect[]): void {
  const { mode } = fetch;
  if (mode.type === "ttl" && !fetch.passOnly) {
    // Stale by at most so much from the moment the fetch was sent: whoever joined may have it too.
    const ms = record.ttlMs > 0 ? Math.min(record.ttlMs, mode.staleMs) : mode.staleMs;
    return keep(holder, line, "fill-S", { record, fill: fetch.txn, until: endOf(ms, fetch.begunAt), timed: true }, now, effects);
  }
  const late = mutant("coherence-unkept-fill-shared") ? [] : fetch.joined.splice(0);
  passedOn(holder, line, fetch, record, now, effects, late);
}

/** E and M unless somebody else has read since: that, too, may overtake what grants them. */
function isExclusive(line: Line, grant: Grant, sequence: number): boolean {
  return grant !== "S" && (sequence >= line.shared || mutant("coherence-overtaken-exclusive-kept"));
}

function keep(
  holder: HolderState,
  line: Line,
  event: "fill-S" | "fill-E" | "won" | "won-S",
  copy: Copy,
  now: Moment,
  effects: HolderEffect[],
): void {
  line.state = nextLineState(line.state, event);
  line.copy = copy;
  line.invalidated = 0;
  line.shared = 0;
  effects.push({ type: "kept", line: line.name });
  const { fetch } = line;
  line.fetch = null;
  const waiters = [...(fetch?.first ?? []), ...(fetch?.joined ?? []), ...line.after.splice(0)];
  // A written copy is good by its lease, and a flight that a quorum was to confirm is for who does not go by leases.
  if (fetch?.mode.type === "strict" && !mutant("coherence-strict-answered-by-write")) line.strict.push(...waiters);
  else for (const waiter of waiters) effects.push({ type: "answer-read", waiter, record: copy.record, source: "home" });
  readStrict(holder, line, now, effects);
}

/** Whoever wants a quorum's word sends for it, now that nothing else is on its way. */
function readStrict(holder: HolderState, line: Line, now: Moment, effects: HolderEffect[]): void {
  const strict = line.strict.splice(0);
  if (strict.length > 0) read(holder, line.name, { type: "strict" }, strict, now, effects);
}

/** Answers those who came before it was overtaken; the others need another one. */
function passedOn(
  holder: HolderState,
  line: Line,
  fetch: Fetch,
  record: CachedRecord,
  now: Moment,
  effects: HolderEffect[],
  late: readonly Waiter[] = [],
): void {
  for (const waiter of [...fetch.first, ...fetch.joined]) effects.push({ type: "answer-read", waiter, record, source: "home" });
  again(holder, line, fetch, [...late, ...line.after.splice(0)], now, effects);
}

/** Ends the present flight; who is left gets another. */
function again(
  holder: HolderState,
  line: Line,
  { mode }: Fetch,
  waiters: readonly Waiter[],
  now: Moment,
  effects: HolderEffect[],
  isConfirmed = false,
): void {
  line.state = nextLineState(line.state, "pass");
  line.fetch = null;
  if (line.writes.size === 0) line.invalidated = 0;
  readStrict(holder, line, now, effects);
  if (waiters.length > 0) read(holder, line.name, mode, waiters, now, effects, isConfirmed);
  forgetIdle(holder, line);
}

type Done = Extract<HomeMessage, { readonly type: "done" }>;

/** The answer to a write of ours. `present`: of this session, so that a copy which comes along may be kept. */
export function wrote(holder: HolderState, message: Done, present: boolean, now: Moment, effects: HolderEffect[]): void {
  const line = holder.lines.get(message.line);
  const write = line?.writes.get(message.txn);
  // Answered before.
  if (line === undefined || write === undefined) return;
  const { grant, outcome, record, sequence, txn } = message;
  line.writes.delete(txn);
  effects.push({ type: "answer-write", waiter: write.waiter, outcome });
  // Answers to several writes come in any order: only the newest may bring a copy.
  const newest = Math.max(line.newest, record.asOf);
  line.newest = line.writes.size > 0 ? newest : 0;
  if (line.writes.size > 0) return withoutCopy(line, "done", effects);
  const isOlder = record.asOf < newest && !mutant("coherence-older-write-kept");
  const overtaken = isOlder || (sequence < line.invalidated && !mutant("coherence-overtaken-write-kept"));
  if (present && grant === "M" && holder.leasedAt !== null && !overtaken) {
    const event = isExclusive(line, grant, sequence) ? "won" : "won-S";
    const copy = { record, fill: txn, until: endOf(record.ttlMs, write.begunAt), timed: false };
    return keep(holder, line, event, copy, now, effects);
  }
  // It changed nothing, and neither did anybody else: the copy is as good as before.
  const changedNothing = outcome.version === null && present;
  if (line.fetch !== null) return withoutCopy(line, changedNothing ? "refused-filling" : "lost-filling", effects);
  if (changedNothing && line.state === "SM_D") line.state = nextLineState(line.state, "refused");
  else withoutCopy(line, changedNothing ? "refused" : "lost", effects);
  line.invalidated = 0;
  forgetIdle(holder, line);
}

export function withoutCopy(
  line: Line,
  event: "done" | "refused" | "lost" | "refused-filling" | "lost-filling",
  effects: HolderEffect[],
): void {
  line.state = nextLineState(line.state, event);
  if (line.copy === null) return;
  line.copy = null;
  effects.push({ type: "dropped", line: line.name });
}

/** When something that had so much time left at `from` or later is over; null = never. On the cautious side. */
function endOf(ttlMs: number, from: Moment): Moment | null {
  return ttlMs > 0 ? { steady: from.steady + ttlMs, wall: from.wall + ttlMs } : null;
}
