import { mutant } from "#mutation";
import { invariant } from "../kernel/assert.ts";
import { isAtRest, nextEntryState } from "./entry-table.ts";
import type { Asker, DirectoryEntry, FetchOp, HomeEffect, HomeEvent, HomeState, Op, Session } from "./home-state.ts";
import { mayGrant, mayWrite } from "./home-phase.ts";
import { isScoped } from "./home-scopes.ts";
import { downgrade, withdrawLine } from "./home-withdrawals.ts";
import { addLine, hasLine, removeLine } from "./lines-by-namespace.ts";
import type { CachedRecord, HolderId, HolderMessage, LineName } from "./messages.ts";

type Fetch = Extract<HolderMessage, { readonly type: "fetch" }>;
type Evict = Extract<HolderMessage, { readonly type: "evict" }>;

export function fetchAsked(home: HomeState, holder: HolderId, message: Fetch, now: number, effects: HomeEffect[]): void {
  const { confirmed, incarnation, line, txn } = message;
  const op: FetchOp = { type: "fetch", holder, incarnation, txn };
  if (confirmed || sessionToGrant(home, op, now) === undefined) {
    if (home.asked.has(nameOfFetch(op))) return;
    home.asked.add(nameOfFetch(op));
    return readConfirmed(home, line, op, effects);
  }
  if (home.asked.has(nameOfFetch(op))) return;
  const entry = entryOf(home, line);
  if (entry.queue.length >= home.limits.waitingPerLine) return;
  home.asked.add(nameOfFetch(op));
  // Nobody writes while the store is read: one read serves all who come meanwhile.
  if (entry.state === "B_Read" && entry.queue.length === 0) {
    entry.reading.push(op);
    return;
  }
  if (mutant("coherence-granted-beside-a-write") && entry.state.startsWith("B_")) {
    entry.reading.push(op);
    effects.push({ type: "read", line });
    return;
  }
  entry.queue.push(op);
  home.touched.add(line);
}

function nameOfFetch({ holder, incarnation, txn }: FetchOp): string {
  return `${incarnation} ${txn} ${holder}`;
}

/** A holder sends a write again under another incarnation, too. */
function nameOfWrite({ holder, txn }: Extract<Asker, { readonly type: "holder" }>, line: LineName): string {
  return `write ${txn} ${line.length} ${line} ${holder}`;
}

/** Without a copy: as true as a quorum round makes it. */
function readConfirmed(home: HomeState, line: LineName, fetch: FetchOp, effects: HomeEffect[]): void {
  const read = home.nextNumber++;
  home.confirmedReads.set(read, { line, fetch });
  effects.push({ type: "read-confirmed", read, line });
}

export function confirmedValue(home: HomeState, read: number, record: CachedRecord, effects: HomeEffect[]): void {
  const open = home.confirmedReads.get(read);
  if (open === undefined) return;
  home.confirmedReads.delete(read);
  home.asked.delete(nameOfFetch(open.fetch));
  const { holder, incarnation, txn } = open.fetch;
  const data = { type: "data", term: home.term, incarnation, line: open.line, txn, grant: "none", record, sequence: 0 } as const;
  effects.push({ type: "send", to: holder, message: data });
}

/** Of a holder or of somebody here. What is said twice waits once; what was done before is answered by apply (rule X1). */
export function writeAsked(home: HomeState, line: LineName, asker: Asker, command: Uint8Array | null): void {
  const name = asker.type === "holder" ? nameOfWrite(asker, line) : null;
  if (name !== null && home.asked.has(name)) return;
  const entry = entryOf(home, line);
  if (name !== null) {
    if (entry.queue.length >= home.limits.waitingPerLine) return;
    home.asked.add(name);
  }
  entry.queue.push({ type: "write", asker, command });
  // Where the first may not begin this one may not either.
  if (!hasLine(home.blocked, line)) home.touched.add(line);
}

/** Looks at a line again: its write may go on, or the next operation may begin. Reads begin together, writes alone. */
export function advance(home: HomeState, line: LineName, effects: HomeEffect[]): void {
  const entry = home.entries.get(line);
  if (entry === undefined) return;
  if (entry.state === "B_Inv" && entry.waits.size === 0) cleared(home, entry, effects);
  if (!isAtRest(entry.state)) return;
  if (entry.queue.length > 0) begin(home, entry, effects);
  else if (entry.state === "U") home.entries.delete(line);
}

function begin(home: HomeState, entry: DirectoryEntry, effects: HomeEffect[]): void {
  const { queue } = entry;
  const at = isScoped(home, entry.line) ? -1 : mayWrite(home) ? turnOf(queue) : queue.findIndex(({ type }) => type === "fetch");
  const next = queue[at];
  if (next === undefined) {
    addLine(home.blocked, entry.line);
    return;
  }
  removeLine(home.blocked, entry.line);
  addLine(home.busy, entry.line);
  if (next.type === "write") {
    queue.splice(at, 1);
    entry.writing = next;
    entry.state = nextEntryState(entry.state, "start-write");
    return withdrawAll(home, entry, effects);
  }
  entry.state = nextEntryState(entry.state, "start-read");
  while (queue[at]?.type === "fetch") entry.reading.push(...(queue.splice(at, 1) as FetchOp[]));
  effects.push({ type: "read", line: entry.line });
}

/** In the order in which they came: else writers that take turns would keep readers waiting for ever (reference race 32). */
function turnOf(queue: readonly Op[]): number {
  return mutant("coherence-writes-go-first")
    ? Math.max(
        0,
        queue.findIndex(({ type }) => type === "write"),
      )
    : 0;
}

/** Rule M3: everybody but the writer, whose own copy is unreadable until it is answered (rule M5). */
function withdrawAll(home: HomeState, entry: DirectoryEntry, effects: HomeEffect[]): void {
  const asker = entry.writing?.asker;
  for (const [holder] of entry.sharers) {
    const session = home.sessions.get(holder);
    invariant(session !== undefined, "coherence-sharer-has-session", holder);
    const isWriter = asker?.type === "holder" && asker.holder === holder && asker.incarnation === session.incarnation;
    if (isWriter) continue;
    withdrawLine(home, session, entry, effects);
  }
  if (entry.waits.size === 0) home.touched.add(entry.line);
}

/** Nobody else can read an older version from here on: the write goes to the log. */
function cleared(home: HomeState, entry: DirectoryEntry, effects: HomeEffect[]): void {
  const { writing } = entry;
  invariant(writing !== null, "coherence-write-under-way", entry.line);
  entry.state = nextEntryState(entry.state, "cleared");
  const writer = writing.asker.type === "holder" ? writing.asker.holder : null;
  for (const holder of entry.sharers.keys()) if (holder !== writer) removeSharer(home, entry, holder);
  if (writing.command === null) {
    if (writing.asker.type === "local") effects.push({ type: "answer", id: writing.asker.id, outcome: null });
    entry.writing = null;
    return rest(home, entry);
  }
  const proposal = home.nextNumber++;
  home.proposals.set(proposal, { type: "line", line: entry.line });
  effects.push({ type: "propose", proposal, what: { type: "write", command: writing.command, asker: writing.asker } });
}

export function applied(
  home: HomeState,
  line: LineName,
  { now, outcome, record }: Extract<HomeEvent, { readonly type: "applied" }>,
  effects: HomeEffect[],
): void {
  const entry = home.entries.get(line);
  invariant(entry?.writing != null && outcome !== null && record !== null, "coherence-applied-write-waited-for", line);
  const { asker } = entry.writing;
  entry.writing = null;
  if (asker.type === "local") effects.push({ type: "answer", id: asker.id, outcome });
  if (asker.type === "holder") {
    home.asked.delete(nameOfWrite(asker, line));
    // Also of a write that was done before: everybody else has given up its copy for it, and the record is what there is now.
    const session = outcome.version !== null && asker.keep ? sessionToGrant(home, asker, now) : undefined;
    if (session !== undefined) {
      share(entry, session, asker.txn);
      entry.owner = asker.holder;
      entry.tags = record.tags;
    }
    // Otherwise the writer has no copy, or the one of before: the directory may know more than there is, never less.
    const { holder, incarnation, txn } = asker;
    const given = { grant: session === undefined ? "none" : "M", sequence: home.sessions.get(holder)?.sequence ?? 0 } as const;
    effects.push({
      type: "send",
      to: holder,
      message: { type: "done", term: home.term, incarnation, line, txn, outcome, record, ...given },
    });
  }
  rest(home, entry);
}

export function valueRead(
  home: HomeState,
  { due, line, now, record }: Extract<HomeEvent, { readonly type: "value" }>,
  effects: HomeEffect[],
): void {
  const entry = home.entries.get(line);
  if (entry === undefined || entry.reading.length === 0) return;
  if (due !== null && mayWrite(home)) {
    // Its time is over: it ends first, and whoever reads reads what is there then (reference race 22).
    entry.queue.unshift({ type: "write", asker: { type: "home" }, command: due }, ...entry.reading.splice(0));
    return rest(home, entry);
  }
  const granted: { readonly op: FetchOp; readonly session: Session }[] = [];
  for (const op of entry.reading.splice(0)) {
    const session = sessionToGrant(home, op, now);
    if (session === undefined) readConfirmed(home, line, op, effects);
    else granted.push({ op, session });
  }
  for (const { op, session } of granted) {
    home.asked.delete(nameOfFetch(op));
    share(entry, session, op.txn);
  }
  // In `recovering` there may be copies that this directory does not know.
  const knowsAll = home.phase !== "recovering" || mutant("coherence-exclusive-while-recovering");
  const isAlone = entry.sharers.size === 1 && granted.length > 0 && knowsAll;
  const { owner } = entry;
  if (owner !== null && !isAlone && granted.length > 0 && !mutant("coherence-exclusive-not-withdrawn")) {
    const session = home.sessions.get(owner);
    entry.owner = null;
    // Also when it is the owner who reads again: what made it the owner may still be on its way to it.
    if (session !== undefined) downgrade(home, session, line, effects);
  }
  const grant = isAlone || mutant("coherence-exclusive-beside-others") ? "E" : "S";
  entry.tags = record.tags;
  for (const { op, session } of granted) {
    if (grant === "E") entry.owner = op.holder;
    const { holder, incarnation, txn } = op;
    const data = { type: "data", term: home.term, incarnation, line, txn, grant, record, sequence: session.sequence } as const;
    effects.push({ type: "send", to: holder, message: data });
  }
  if (mutant("coherence-granted-beside-a-write") && entry.state !== "B_Read") return;
  rest(home, entry);
  makeRoom(home);
}

/** May this holder keep a copy? Only under a session of the life that asked, which is still prolonged. */
function sessionToGrant(
  home: HomeState,
  { holder, incarnation }: { readonly holder: HolderId; readonly incarnation: number },
  now: number,
): Session | undefined {
  const session = home.sessions.get(holder);
  if (session?.incarnation !== incarnation || session.suspect || session.leaseEnd <= now) return undefined;
  if (!mayGrant(home)) return undefined;
  const { directoryLines, unackedInvalidations } = home.limits;
  const isFull = home.entries.size > directoryLines + Math.ceil(directoryLines / 8);
  return isFull || session.unacked.size >= unackedInvalidations ? undefined : session;
}

function share(entry: DirectoryEntry, session: Session, txn: number): void {
  entry.sharers.set(session.holder, txn);
  session.lines.add(entry.line);
}

/** A copy was given up: the one that this transaction brought, not one that came since. */
export function evicted(home: HomeState, holder: HolderId, { fill, incarnation, line }: Evict): void {
  if (home.sessions.get(holder)?.incarnation !== incarnation) return;
  const known = home.entries.get(line)?.sharers.get(holder);
  if (known === fill || mutant("coherence-evicts-any-copy")) sharerGone(home, line, holder);
}

export function sharerGone(home: HomeState, line: LineName, holder: HolderId): void {
  const entry = home.entries.get(line);
  if (entry === undefined) return;
  removeSharer(home, entry, holder);
  if (isAtRest(entry.state)) rest(home, entry);
}

function removeSharer(home: HomeState, entry: DirectoryEntry, holder: HolderId): void {
  entry.sharers.delete(holder);
  home.sessions.get(holder)?.lines.delete(entry.line);
  if (entry.owner === holder) entry.owner = null;
}

function rest(home: HomeState, entry: DirectoryEntry): void {
  entry.state = nextEntryState(entry.state, entry.owner !== null ? "rest-X" : entry.sharers.size > 0 ? "rest-S" : "rest-U");
  removeLine(home.busy, entry.line);
  home.touched.add(entry.line);
}

/** Lines that are looked at to find one at rest; the next read looks further. */
const looksForRoom = 8;

/** The directory is bounded: the line that is known longest is recalled, not forgotten (reference race 30). */
function makeRoom(home: HomeState): void {
  if (home.entries.size <= home.limits.directoryLines) return;
  let looked = 0;
  for (const entry of home.entries.values()) {
    if (!isAtRest(entry.state) || entry.queue.length > 0) {
      // It is in use, or being recalled: not to be looked at again before the others.
      home.entries.delete(entry.line);
      home.entries.set(entry.line, entry);
      if (++looked === looksForRoom) return;
      continue;
    }
    if (mutant("coherence-entry-forgotten")) home.entries.delete(entry.line);
    else writeAsked(home, entry.line, { type: "home" }, null);
    return;
  }
}

function entryOf(home: HomeState, line: LineName): DirectoryEntry {
  let entry = home.entries.get(line);
  if (entry === undefined) {
    const none = { sharers: new Map(), owner: null, tags: [], queue: [], reading: [], writing: null, waits: new Map() };
    entry = { line, state: "U", ...none };
    home.entries.set(line, entry);
  }
  return entry;
}
