import type { BacklogOfNamespace, EntryKind, FencePage, QueuedPage, QueuedWrite, RememberedAnswer } from "@trivet/core";
import type { CachedRecord, ExpiredValue } from "@trivet/wire";
import type { StorageQuery, StorageReply } from "../ports/queue-storage.ts";
import type { DueLease } from "./lease-clock.ts";

/**
 * What a host and its apply worker say to each other (decision 0008 §5). Plain data, so that it can cross threads. Requests of one group
 * are carried out in their order, and answered in it, but for `flush`.
 */
export interface WorkerEntry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  readonly payload: Uint8Array;
}
export interface WireMark {
  readonly index: number;
  readonly term: number;
  /** Encoded membership; null = that of the founding. */
  readonly membership: Uint8Array | null;
  readonly membershipIndex: number;
}

/** Which of a group's states a machine is of: a number that the worker gives each state it opens or loads. */
export type StateNumber = number;

/** `state`: what is asked of one state only, and answered `superseded` once another took its place. */
export type WorkerRequest = { readonly state?: StateNumber } & RequestBody;

type RequestBody =
  /** Which groups have stores. */
  | { readonly type: "list" }
  /** Opens the best store the group has, and removes what else there is of it. */
  | { readonly type: "open"; readonly group: number }
  /**
   * `attended`: from when the leases of these entries count, where they are timed. `routed` and `unrouted`: callers that from here on do and do
   * not wait for answers on this node.
   */
  | {
      readonly type: "apply";
      readonly group: number;
      readonly entries: readonly WorkerEntry[];
      readonly attended: number;
      readonly routed: readonly string[];
      readonly unrouted: readonly string[];
    }
  /** This node leads from here on, or no longer: leases are timed, all in full. */
  | { readonly type: "lead"; readonly group: number; readonly leads: boolean }
  /** Leases that are due at that attended time. */
  | { readonly type: "due"; readonly group: number; readonly attended: number; readonly most: number }
  | { readonly type: "retry-due"; readonly group: number; readonly leases: readonly DueLease[] }
  /** Some registers of fences, from a place on (rule K5). */
  | { readonly type: "fences"; readonly group: number; readonly from: Uint8Array | null; readonly most: number }
  | { readonly type: "query"; readonly group: number; readonly query: StorageQuery }
  /** What is remembered of a caller's request (rule X3). */
  | { readonly type: "lookup"; readonly group: number; readonly caller: string; readonly sequence: number }
  /** Which definitions the shard has: queue or namespace, and version; `dropped` ones have version 0. */
  | { readonly type: "definitions"; readonly group: number }
  /** Cached values as a reader at group time `now` is told of them, in the order asked; with `queued`, what of them waits for an origin. */
  | {
      readonly type: "cache-read";
      readonly group: number;
      readonly keys: readonly (readonly [namespace: number, key: string])[];
      readonly now: number;
      readonly queued?: boolean;
    }
  /** Writes that wait for their origins, from behind a turn; not of the namespaces in `without`. */
  | {
      readonly type: "cache-behind";
      readonly group: number;
      readonly after: number;
      readonly without: readonly number[];
      readonly most: number;
      readonly mostBytes: number;
    }
  /** What a new home begins with (rule M4). */
  | { readonly type: "cache-home"; readonly group: number }
  /** Cached values whose time is over at group time `now`. */
  | { readonly type: "cache-due"; readonly group: number; readonly now: number; readonly most: number }
  | { readonly type: "flush"; readonly group: number }
  /** The state's hash as it is now (rule W7). */
  | { readonly type: "hash"; readonly group: number }
  /** A cut of the state behind the entry at `index`, the last one given before, in chunks; `cut` is a number that the host gives it. */
  | { readonly type: "cut"; readonly group: number; readonly cut: number; readonly index: number }
  | { readonly type: "cut-next"; readonly group: number; readonly cut: number; readonly maxBytes: number }
  | { readonly type: "cut-end"; readonly group: number; readonly cut: number }
  /** A state from chunks, beside the one there is; takes its place at the end. One that is begun later ends it, and answers `superseded` to the rest. */
  | { readonly type: "load"; readonly group: number; readonly index: number }
  /** `load`: the number of the state that is being loaded. */
  | { readonly type: "load-chunk"; readonly group: number; readonly load: StateNumber; readonly chunk: Uint8Array }
  | { readonly type: "load-end"; readonly group: number; readonly load: StateNumber }
  | { readonly type: "load-abort"; readonly group: number; readonly load: StateNumber }
  /** Closes the group's store; `remove` = and deletes it, also where it is not open. */
  | { readonly type: "close"; readonly group: number; readonly remove: boolean };

/** One answer for a caller that waits here, encoded as the stream sends it. */
export interface WorkerAnswer {
  readonly caller: string;
  readonly sequence: number;
  readonly fingerprint: string;
  readonly notAfter: number;
  readonly bytes: Uint8Array;
  /** Of a command about one cached key: what the store says of it afterwards. Not sent to other nodes. */
  readonly record?: CachedRecord;
  /** Of a command about cached values or who holds them. Not sent to other nodes. */
  readonly isCache?: true;
}
/** A change of cached values, in the order of the log (rule M10). */
export interface ValueChange {
  readonly namespace: number;
  /** Null = all with `tag`, or of the namespace. */
  readonly key: string | null;
  readonly tag: string | null;
  readonly change: "put" | "delete" | "expire" | "invalidate";
  readonly version: number;
}
export interface ReadValue {
  readonly record: CachedRecord;
  /** Its time is over: its home ends it before it is told to anybody. */
  readonly isDue: boolean;
  /** Its origin does not have this yet. */
  readonly queued?: QueuedWrite;
}
export interface ReadyHint {
  readonly queue: number;
  readonly partition: number;
  readonly group: string;
}
export interface Applied {
  readonly type: "applied";
  readonly answers: readonly WorkerAnswer[];
  readonly ready: readonly ReadyHint[];
  /** Group time of the state. */
  readonly groupTime: number;
  /** Group time at which an entry is wanted, for deadlines or for work left over; 0 = none. */
  readonly wantsEntryAt: number;
  /** Attended time of the next lease to end, where leases are timed; 0 = none. */
  readonly nextLeaseAt: number;
  /** Of the state as it is now, where the worker says it with every answer; null = it has to be asked for. */
  readonly hash: string | null;
  /** State hashes at certain indexes (rule W7). */
  readonly points: readonly (readonly [number, string])[];
  /** Queues that a command named and this shard does not know well enough. */
  readonly unconfigured: readonly number[];
  /** The same of namespaces. */
  readonly unknownNamespaces: readonly number[];
  readonly changes: readonly ValueChange[];
  /** Something was written that its origin does not have. */
  readonly hasQueued: boolean;
}

export interface LookedUp {
  readonly type: "looked-up";
  readonly found: RememberedAnswer | "unknown";
  /** Group time of the state that was asked. */
  readonly groupTime: number;
}

export type WorkerReply =
  | LookedUp
  | {
      readonly type: "opened";
      readonly state: StateNumber;
      readonly mark: WireMark;
      readonly hash: string;
      readonly groupTime: number;
      readonly wantsEntryAt: number;
    }
  | { readonly type: "loading"; readonly load: StateNumber }
  | Applied
  | { readonly type: "groups"; readonly groups: readonly number[] }
  | { readonly type: "due"; readonly leases: readonly DueLease[]; readonly nextLeaseAt: number }
  | ({ readonly type: "fences" } & FencePage)
  | { readonly type: "queried"; readonly reply: StorageReply }
  | {
      readonly type: "definitions";
      readonly known: readonly (readonly [queue: number, version: number])[];
      readonly namespaces: readonly (readonly [namespace: number, version: number])[];
      /** What the shard decides by, see `shardRules`. */
      readonly rules: number;
    }
  /** `backlogs`: of all that waits in the shard; `since`: the group time since when the first has waited, 0 = nothing waits. */
  | ({ readonly type: "cache-behind"; readonly since: number; readonly backlogs: readonly BacklogOfNamespace[] } & QueuedPage)
  | { readonly type: "cache-values"; readonly values: readonly ReadValue[] }
  | {
      readonly type: "cache-home";
      readonly holders: readonly (readonly [holder: string, incarnation: number])[];
      readonly marker: { readonly barrier: boolean; readonly term: number } | null;
    }
  /** `nextAt`: group time at which the next one is over, 0 = none is ever. */
  | { readonly type: "cache-due"; readonly values: readonly ExpiredValue[]; readonly nextAt: number }
  /** Null = it cannot be told now, for want of space. */
  | { readonly type: "hashed"; readonly hash: string | null }
  | { readonly type: "flushed"; readonly index: number; readonly bytes: number; readonly freeBytes: number }
  | { readonly type: "chunk"; readonly chunk: Uint8Array | null }
  | { readonly type: "done" }
  /**
   * `damaged`: the store's fault (rule W6); `no-space`: to be asked again, the same; `superseded`: another state took the place of the one meant;
   * `io`: a disk that fails; `other`: a bug.
   */
  | {
      readonly type: "failed";
      readonly cause: "damaged" | "no-space" | "superseded" | "bad-chunk" | "io" | "other";
      readonly detail: string;
    };

/** Where stores are applied to: a thread of its own, or a twin on virtual time. */
export interface ApplyWorker {
  /** `done` is called later, never inside the call. */
  call(request: WorkerRequest, done: (reply: WorkerReply) => void): void;
  /** After the requests under way. */
  stop(done: () => void): void;
}
