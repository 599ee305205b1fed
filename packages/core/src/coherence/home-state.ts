import { type EntryState } from "./entry-table.ts";
import { type CoherenceLimits, defaultCoherenceLimits } from "./limits.ts";
import type { LinesByNamespace } from "./lines-by-namespace.ts";
import type { CachedRecord, HolderId, HolderMessage, HomeMessage, LineName, Scope, Withdrawal, WriteOutcome } from "./messages.ts";
import { type CoherenceTiming, defaultCoherenceTiming } from "./timing.ts";

/** A lease that this home grants, and what it has taken from its holder since. Monotonic milliseconds of this home. */
export interface Session {
  readonly holder: HolderId;
  readonly incarnation: number;
  /** After it the holder cannot have a live lease: counted from our answer, with the margin for clock rates. */
  leaseEnd: number;
  sequence: number;
  acked: number;
  /** By its number, in order. */
  readonly unacked: Map<number, Withdrawal>;
  /** When that was sent again last. */
  resentAt: number;
  /** Did not acknowledge in time what a write waited for: its lease is not prolonged any more (rule M6). */
  suspect: boolean;
  /** Lines it may have a copy of. */
  readonly lines: Set<LineName>;
  /** What waits for its acknowledgement, by the number of the withdrawal. */
  readonly waitedFor: Map<number, Awaiting>;
}

/** What a withdrawal is for: a write of a line, the first invalidation of a namespace, a hand-over. */
export type Awaiting =
  | { readonly type: "line"; readonly line: LineName }
  | { readonly type: "scope"; readonly namespace: string }
  | { readonly type: "closing" };

/** For a holder to acknowledge a withdrawal; at `until`, its lease end when that was sent, it is over anyway (rule M3). */
export interface Wait {
  readonly incarnation: number;
  readonly sequence: number;
  readonly until: number;
}

/** Whom a write is answered to: a holder, or somebody at this home. */
export type Asker =
  | { readonly type: "holder"; readonly holder: HolderId; readonly incarnation: number; readonly txn: number; readonly keep: boolean }
  | { readonly type: "local"; readonly id: number }
  /** The home itself: room in the directory, or a value whose time is over. */
  | { readonly type: "home" };

export interface FetchOp {
  readonly type: "fetch";
  readonly holder: HolderId;
  readonly incarnation: number;
  readonly txn: number;
}
/** `command` null: copies are withdrawn, nothing is written. */
export interface WriteOp {
  readonly type: "write";
  readonly asker: Asker;
  readonly command: Uint8Array | null;
}
export type Op = FetchOp | WriteOp;

export interface DirectoryEntry {
  readonly line: LineName;
  state: EntryState;
  /** Who may have a copy, and by which transaction it came. */
  readonly sharers: Map<HolderId, number>;
  /** Of those the one that has it as E or M. */
  owner: HolderId | null;
  /** Of the version that the copies have. */
  tags: readonly string[];
  readonly queue: Op[];
  reading: FetchOp[];
  writing: WriteOp | null;
  readonly waits: Map<HolderId, Wait>;
}

/** An invalidation of a tag or of a namespace: alone with all lines of the namespace (rule M8). */
export interface ScopeOp {
  readonly scope: Extract<Scope, { readonly type: "namespace" }>;
  readonly asker: Asker;
  readonly command: Uint8Array;
  readonly waits: Map<HolderId, Wait>;
  phase: "queued" | "withdrawing" | "committing";
}

/** What goes through the shard's log. */
export type Proposed =
  | { readonly type: "write"; readonly command: Uint8Array; readonly asker: Asker }
  | { readonly type: "register-holder" | "forget-holder"; readonly holder: HolderId; readonly incarnation: number }
  | { readonly type: "lease-barrier" | "lease-resume" };

/** A holder as the shard's log knows it. */
export interface Registration {
  incarnation: number;
  /** Of this incarnation this home has ended the session: it gets no other. */
  ended: boolean;
  /** Since when it has no session; monotonic. */
  idleSince: number;
  /** The removal from the register is in the log: no lease until it is decided. */
  leaving: boolean;
}

export interface Bar {
  until: number;
  lastsMs: number;
}

export type HomePhase =
  /** Not the home. */
  | "idle"
  /** Others may still have leases of a former home: reads, no writes (rule M4). */
  | "recovering"
  | "open"
  /** Leadership is to be handed over: no grants; `handed` once the barrier is in the log. */
  | "closing"
  | "handed";

/** A request for a lease on its way through registration and quorum round. */
export interface LeaseRequest {
  readonly holder: HolderId;
  readonly incarnation: number;
  readonly request: number;
}

export interface HomeState {
  readonly timing: CoherenceTiming;
  readonly limits: CoherenceLimits;
  term: number;
  phase: HomePhase;
  /** M4: registered holders that have not answered the flush, and when nobody can have a lease of before. */
  readonly unflushed: Set<HolderId>;
  flushUntil: number;
  /** Of the withdrawal of everything before a hand-over; and whether that was called off while its barrier was on its way. */
  readonly closingWaits: Map<HolderId, Wait>;
  resuming: boolean;
  readonly registered: Map<HolderId, Registration>;
  readonly sessions: Map<HolderId, Session>;
  readonly bars: Map<HolderId, Bar>;
  readonly entries: Map<LineName, DirectoryEntry>;
  /** Lines with an operation under way, lines with some that may not begin yet, and lines to be looked at before the step ends. */
  readonly busy: LinesByNamespace;
  readonly blocked: LinesByNamespace;
  readonly touched: Set<LineName>;
  /** By namespace, each in their order. */
  readonly scopes: Map<string, ScopeOp[]>;
  /** Fetches and writes of holders that are not answered yet: what is said twice waits once. */
  readonly asked: Set<string>;
  /** Registrations on their way, the latest of each holder. */
  readonly registering: Map<HolderId, number>;
  readonly rounds: Map<number, LeaseRequest>;
  readonly proposals: Map<number, Proposal>;
  readonly confirmedReads: Map<number, { readonly line: LineName; readonly fetch: FetchOp }>;
  nextNumber: number;
}
export type Proposal =
  | { readonly type: "line"; readonly line: LineName }
  | { readonly type: "scope"; readonly namespace: string }
  | { readonly type: "register"; readonly requests: LeaseRequest[] }
  | { readonly type: "forget"; readonly holder: HolderId }
  | { readonly type: "barrier" | "resume" };

export type HomeEvent =
  /** This node leads and has applied its first own entry. `electedAt` is when it became leader; `registered` what the log says. */
  | {
      readonly type: "elected";
      readonly term: number;
      readonly electedAt: number;
      readonly registered: readonly (readonly [holder: HolderId, incarnation: number])[];
      /** A barrier holds: nobody has a lease (see `barrierHolds`). */
      readonly barred: boolean;
      readonly now: number;
    }
  | { readonly type: "deposed"; readonly now: number }
  | { readonly type: "message"; readonly from: HolderId; readonly message: HolderMessage; readonly now: number }
  /** Somebody without a copy writes; `command` null withdraws all copies of the line. */
  | { readonly type: "write"; readonly line: LineName; readonly id: number; readonly command: Uint8Array | null; readonly now: number }
  /** The time of the line's value is over: a write like any other, by the home. */
  | { readonly type: "expire"; readonly line: LineName; readonly command: Uint8Array; readonly now: number }
  | {
      readonly type: "invalidate";
      readonly namespace: string;
      readonly tag: string | null;
      readonly id: number;
      readonly command: Uint8Array;
      readonly now: number;
    }
  /** The store was read for `read`. `due`: the value's time is over, and this command ends it. */
  | {
      readonly type: "value";
      readonly line: LineName;
      readonly record: CachedRecord;
      readonly due: Uint8Array | null;
      readonly now: number;
    }
  /** The store was read for `read-confirmed`, after a quorum round that began after it was asked for. */
  | { readonly type: "confirmed-value"; readonly read: number; readonly record: CachedRecord; readonly now: number }
  /** A quorum round that began after `confirm` was asked for has succeeded. */
  | { readonly type: "confirmed"; readonly round: number; readonly now: number }
  /** What was proposed is applied here. Of a write: its outcome, and what the store says of the line after it. */
  | {
      readonly type: "applied";
      readonly proposal: number;
      readonly outcome: WriteOutcome | null;
      readonly record: CachedRecord | null;
      readonly now: number;
    }
  | { readonly type: "close"; readonly now: number }
  | { readonly type: "resume"; readonly now: number }
  | { readonly type: "tick"; readonly now: number };

export type HomeEffect =
  | { readonly type: "send"; readonly to: HolderId; readonly message: HomeMessage }
  | { readonly type: "read"; readonly line: LineName }
  | { readonly type: "read-confirmed"; readonly read: number; readonly line: LineName }
  | { readonly type: "confirm"; readonly round: number }
  | { readonly type: "propose"; readonly proposal: number; readonly what: Proposed }
  | { readonly type: "answer"; readonly id: number; readonly outcome: WriteOutcome | null }
  /** This is the home no more; whether it was written is for the next one to say. */
  | { readonly type: "abandoned"; readonly id: number }
  /** Writes may begin (rule M4), or leadership may be handed over. */
  | { readonly type: "opened" | "closed" };

export function newHome(timing: CoherenceTiming = defaultCoherenceTiming, limits: CoherenceLimits = defaultCoherenceLimits): HomeState {
  return {
    timing,
    limits,
    term: 0,
    phase: "idle",
    unflushed: new Set(),
    flushUntil: 0,
    closingWaits: new Map(),
    resuming: false,
    registered: new Map(),
    sessions: new Map(),
    bars: new Map(),
    entries: new Map(),
    busy: new Map(),
    blocked: new Map(),
    touched: new Set(),
    scopes: new Map(),
    asked: new Set(),
    registering: new Map(),
    rounds: new Map(),
    proposals: new Map(),
    confirmedReads: new Map(),
    nextNumber: 1,
  };
}
