import { type CoherenceLimits, defaultCoherenceLimits } from "./limits.ts";
import type { LineState } from "./line-table.ts";
import type { CachedRecord, HolderId, HolderMessage, HomeMessage, LineName, WriteOutcome } from "./messages.ts";
import { type CoherenceTiming, defaultCoherenceTiming, type Moment } from "./timing.ts";

/** Who waits for an answer, by a number of the host's. */
export type Waiter = number;

export interface Copy {
  readonly record: CachedRecord;
  /** The transaction that brought it. */
  readonly fill: number;
  /** Beyond it the copy is not used, whatever the lease says: its value's own time, and in the mode `ttl` the staleness allowed. */
  readonly until: Moment | null;
  /** Mode `ttl`: readable without a lease. */
  readonly timed: boolean;
}

/** A fill on its way. One at a time and line. */
export interface Fetch {
  readonly txn: number;
  readonly mode: ReadMode;
  /** A quorum round is to confirm what is read; no copy comes with it. */
  readonly confirmed: boolean;
  readonly begunAt: Moment;
  sentAt: Moment;
  /** Asked before it was sent. */
  readonly first: Waiter[];
  /** Asked while it was on its way. */
  joined: Waiter[];
  /** Own writes of the line were under way meanwhile: what it brings may be of before them. */
  passOnly: boolean;
}

export interface PendingWrite {
  readonly waiter: Waiter;
  readonly command: Uint8Array;
  readonly keep: boolean;
  readonly begunAt: Moment;
  sentAt: Moment;
  /** Nobody waits for the answer: it is given up with this life (see `abandon`). */
  isAbandoned: boolean;
}

export interface Line {
  readonly name: LineName;
  state: LineState;
  copy: Copy | null;
  fetch: Fetch | null;
  readonly writes: Map<number, PendingWrite>;
  /** Readers that the present fill cannot answer: they came after an invalidation or beside a write. */
  after: Waiter[];
  /** Readers that a quorum is to confirm, behind a fill that it does not: the next flight is theirs. */
  strict: Waiter[];
  /** Sequence of the last invalidation of this line while something was on its way. */
  invalidated: number;
  /** Of the last withdrawal that says somebody else reads too, likewise. */
  shared: number;
  /** How new the newest answer to a write of the present batch was (`asOf`: a deleted line has no version to go by). */
  newest: number;
}

/** One process's side of one shard's coherence: its lease and its copies. */
export interface HolderState {
  readonly id: HolderId;
  readonly timing: CoherenceTiming;
  readonly limits: CoherenceLimits;
  /** It speaks to its homes through a node, which tells it what it reads itself: a program (decision 0027). */
  readonly asksNode: boolean;
  /** Of the home it talks to; 0 = it knows none yet. */
  term: number;
  incarnation: number;
  /** The first life of this process: transactions of earlier ones are of a process that is no more, and have the same numbers. */
  readonly born: number;
  /** When the request for the present lease was sent; null = there is none. */
  leasedAt: Moment | null;
  /** Requests that may still be answered, oldest first. */
  asked: { readonly request: number; readonly sentAt: Moment }[];
  /** A renewal that waits for an invalidation sent before it (rule M2). */
  held: { readonly sentAt: Moment; readonly sequence: number } | null;
  /** The last withdrawal processed. */
  processed: number;
  nextRequest: number;
  nextTxn: number;
  /** Barred or refused: not asked for a lease before (steady time). */
  askAgainAt: number;
  lastAskedAt: number;
  /** When a life was ended last for what its callers had given up (steady time). */
  forgottenAt: number;
  readonly lines: Map<LineName, Line>;
  /** Lines with something on its way; some of them may be over. */
  readonly pending: Set<LineName>;
}

/** How a namespace's lines are read. `uncopied`: as its mode says, but by who keeps no copies, and asks a node for the value alone. */
export type ReadMode =
  | { readonly type: "uncopied" }
  | { readonly type: "write-through" }
  | { readonly type: "strict" }
  | { readonly type: "ttl"; readonly staleMs: number };

export type HolderEvent =
  | { readonly type: "read"; readonly line: LineName; readonly mode: ReadMode; readonly waiter: Waiter; readonly now: Moment }
  /** `keep`: the written value is wanted as a copy; for lines of the mode `write-through` only. */
  | {
      readonly type: "write";
      readonly line: LineName;
      readonly command: Uint8Array;
      readonly keep: boolean;
      readonly waiter: Waiter;
      readonly now: Moment;
    }
  | { readonly type: "message"; readonly message: HomeMessage; readonly now: Moment }
  /** The host has heard of a home. */
  | { readonly type: "home"; readonly term: number; readonly now: Moment }
  | { readonly type: "tick"; readonly now: Moment }
  /** The policy gives a copy up; only of a line that `isEvictable`. */
  | { readonly type: "evict"; readonly line: LineName; readonly now: Moment }
  /** The caller of a read or write waits no longer. */
  | { readonly type: "abandon"; readonly line: LineName; readonly waiter: Waiter; readonly now: Moment }
  /** An orderly end: nobody shall wait for this holder's lease. */
  | { readonly type: "leave"; readonly now: Moment };

/** Where a read's answer came from. */
export type ReadSource = "copy" | "home";

export type HolderEffect =
  | { readonly type: "send"; readonly message: HolderMessage }
  | { readonly type: "answer-read"; readonly waiter: Waiter; readonly record: CachedRecord; readonly source: ReadSource }
  | { readonly type: "answer-write"; readonly waiter: Waiter; readonly outcome: WriteOutcome }
  /** For the policy: a copy came, or is no more. */
  | { readonly type: "kept" | "dropped"; readonly line: LineName };

/** `incarnation` must be higher than in any former life of `id`, also across restarts of the process. */
export function newHolder(
  id: HolderId,
  incarnation: number,
  timing: CoherenceTiming = defaultCoherenceTiming,
  limits: CoherenceLimits = defaultCoherenceLimits,
  asksNode = false,
): HolderState {
  return {
    id,
    timing,
    limits,
    asksNode,
    term: 0,
    incarnation,
    born: incarnation,
    leasedAt: null,
    asked: [],
    held: null,
    processed: 0,
    nextRequest: 1,
    nextTxn: 1,
    askAgainAt: Number.NEGATIVE_INFINITY,
    lastAskedAt: Number.NEGATIVE_INFINITY,
    forgottenAt: Number.NEGATIVE_INFINITY,
    lines: new Map(),
    pending: new Set(),
  };
}

export function lineOf(holder: HolderState, name: LineName): Line {
  let line = holder.lines.get(name);
  if (line === undefined) {
    line = { name, state: "I", copy: null, fetch: null, writes: new Map(), after: [], strict: [], invalidated: 0, shared: 0, newest: 0 };
    holder.lines.set(name, line);
  }
  return line;
}

/** Lines of which nothing is known cost nothing. */
export function forgetIdle(holder: HolderState, line: Line): void {
  if (line.state === "I" && line.fetch === null && line.writes.size === 0 && line.after.length === 0) holder.lines.delete(line.name);
}
