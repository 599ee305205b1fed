import type { EntryState, LineState, NamespaceView, PolicyName } from "@trivet/core";
import type { CacheConflict, LoadToken, NamespaceSettings, WriteCondition } from "@trivet/wire";
import type { Unavailable, Unknown } from "../ports/calls.ts";

export type { CacheConflict, LoadToken, NamespaceSettings, NamespaceView, WriteCondition };

/** Where values are without anybody having made it: mode `write-through`, no time to live, no limits of its own. */
export const defaultNamespace = "default";

/** Expected refusals, as values. Each has its code in the catalogue of errors. */
export type CacheRefusal =
  | { readonly type: "unknown-namespace"; readonly namespace: string }
  | { readonly type: "namespace-exists"; readonly namespace: NamespaceView }
  /** `mode` is fixed at creation. */
  | { readonly type: "fixed"; readonly field: "mode"; readonly value: string; readonly asked: string }
  | { readonly type: "too-many-namespaces"; readonly max: number }
  /** The condition did not hold, or something changed since the loader looked; `version` is what is there, 0 = nothing. */
  | { readonly type: "conflict"; readonly reason: CacheConflict; readonly version: number }
  /** Rule M9: what is stored is data, and nothing is pushed out for it. `shard` = all namespaces together. */
  | { readonly type: "cache-full"; readonly limit: "entries" | "bytes" | "shard"; readonly max: number }
  /** Too much waits for the namespace's origin: keys, or bytes, of one shard. */
  | { readonly type: "origin-behind"; readonly max: number }
  | { readonly type: "not-a-number" }
  /** Nothing is stored, and the namespace's origin cannot say what there is; it may later. */
  | { readonly type: "origin-unavailable"; readonly reason: string }
  /** Rule K5. */
  | { readonly type: "fence-behind"; readonly lock: string; readonly highest: string }
  /** Rule M10: what happened since that position is no longer known here. */
  | { readonly type: "position-gone" }
  /** The same idempotency key came with another body (rule X2), or came too late (rule X1). */
  | { readonly type: "refused"; readonly reason: string }
  | { readonly type: "malformed"; readonly detail: string };
export type CacheFailure = CacheRefusal | Unavailable | Unknown;

export interface CacheCallOptions {
  /** Give up after so long. */
  readonly timeoutMs: number;
  /** Of writes (rule X2). */
  readonly idempotency?: { readonly key: string; readonly fingerprint: string };
}

/**
 * `linearizable`: as the namespace's mode says. `strict`: a quorum confirms this one read, in whichever mode. `stale`: whatever this node's
 * replica says, however late it is; where it has none, as `linearizable`.
 */
export type CacheConsistency = "linearizable" | "strict" | "stale";
/**
 * Have a value of a namespace with an origin loaded again, whatever is left of its time. `behind`: what is stored is the answer, and the load comes after it. `wait`: the answer
 * is what the origin said after the call began, or what was written through Trivet since.
 */
export type CacheRevalidation = "behind" | "wait";
/** `cache`: this node's own copy, no network. `database`: the stored value, read by its home. `peer`: the copy of another node (`fetchCopy`). `origin`: just loaded from the namespace's origin. */
export type CacheSource = "cache" | "database" | "peer" | "origin";

/**
 * Before a loader is run. `load-yours`: run it, and call `release` once when its value is stored, or will not be. `load-over`: another one has ended; read again.
 */
export type LoadClaim = { readonly type: "load-yours"; readonly release: () => void } | { readonly type: "load-over" };

/** What is stored under a key. */
export interface CacheEntry {
  readonly type: "entry";
  readonly key: string;
  /** `negative`: somebody stored that there is nothing. `absent`: nothing is stored. `value` is null with both. */
  readonly found: "value" | "negative" | "absent";
  readonly value: Uint8Array | null;
  /** Rises with every change of the key, also across deletion; 0 = there is nothing. */
  readonly version: number;
  readonly tags: readonly string[];
  /** What was left of its time when it was read from the store; 0 = for ever. */
  readonly ttlMs: number;
  /** Its time was over, and it is being loaded again (`revalidateMs`). Left out = it is not. */
  readonly isStale?: true;
  /** Of this node's copy (of the asked node's, with `fetchCopy`), after the call: M, E, S, I or one of those in between. */
  readonly state: LineState;
  readonly source: CacheSource;
  /** For a loader's `put` (rule M8). */
  readonly token: LoadToken;
}

export interface CachePut {
  readonly namespace: string;
  readonly key: string;
  /** Null = a negative entry. An increment wants a whole number in decimal, as JSON writes it. */
  readonly value: Uint8Array | null;
  readonly tags: readonly string[];
  /** 0 = the namespace's. */
  readonly ttlMs: number;
  /** `version` = compare-and-set; 0 = only if there is nothing. */
  readonly condition: WriteCondition;
  /** What the loader's read brought; null = not of a loader. */
  readonly token: LoadToken | null;
  readonly ifFence: { readonly lock: string; readonly fence: number } | null;
}
export interface CacheDelete {
  readonly namespace: string;
  readonly key: string;
  readonly condition: WriteCondition;
  readonly ifFence: { readonly lock: string; readonly fence: number } | null;
}
export interface CacheIncrement {
  readonly namespace: string;
  readonly key: string;
  readonly by: number;
  /** Of a value that comes into being; one that is there keeps its own. 0 = the namespace's. */
  readonly ttlMs: number;
  readonly ifFence: { readonly lock: string; readonly fence: number } | null;
}

export interface CacheWritten {
  readonly type: "written";
  readonly key: string;
  readonly version: number;
  /** What an increment came to. */
  readonly number: number | null;
  /** Of this node's copy, after the call. */
  readonly state: LineState;
  readonly requestId: string;
}
export interface CacheDeleted {
  readonly type: "deleted";
  readonly key: string;
  /** 0 = there was nothing. */
  readonly version: number;
  readonly requestId: string;
}

/** One change of a copy, as `explain` tells it. */
export interface CopyTransition {
  readonly from: LineState;
  readonly to: LineState;
  /** Unix milliseconds by this node's clock. */
  readonly at: number;
}
/** What one node says of its copy of a key. */
export interface CopyView {
  readonly node: string;
  readonly state: LineState;
  /** Of what the copy holds; 0 where there is none. */
  readonly version: number;
  /** Of its lease from the key's home; 0 = none. */
  readonly leaseLeftMs: number;
  readonly ageMs: number;
  /** The last ones, oldest first. */
  readonly transitions: readonly CopyTransition[];
}
export interface Explained {
  readonly type: "explained";
  readonly namespace: string;
  readonly key: string;
  readonly shard: number;
  /** Leader of the key's shard. */
  readonly home: string;
  readonly term: number;
  /** `recovering`: reads only, until nobody can have a lease of a former home (rule M4). */
  readonly phase: "recovering" | "open" | "closing" | "handed";
  /** Of the stored value; 0 = there is none. */
  readonly version: number;
  readonly tags: readonly string[];
  readonly ttlMs: number;
  /** Of the home's directory: U nobody has a copy, S some, X one alone, B_… an operation is under way. */
  readonly directory: EntryState;
  readonly owner: string | null;
  /** Who may have a copy, as the home knows. */
  readonly sharers: readonly { readonly holder: string; readonly incarnation: number; readonly leaseLeftMs: number }[];
  /** Operations that wait, and the holders that the present write waits for. */
  readonly queued: number;
  readonly waitingFor: readonly string[];
  /** The write that the namespace's origin does not have yet, and for how long it has been behind; null = it has all. */
  readonly behind: { readonly version: number; readonly deleted: boolean; readonly forMs: number } | null;
  /** What each node says of its own copy, the asked one first. */
  readonly copies: readonly CopyView[];
  /** Nodes that did not answer in time. */
  readonly silent: readonly string[];
}

export interface Violation {
  /** Name of the invariant: `single-writer`, `directory-covers-copies`, `data-value`. */
  readonly invariant: string;
  readonly namespace: string;
  readonly key: string;
  readonly detail: string;
}
export interface Verified {
  readonly type: "verified";
  readonly ok: boolean;
  readonly keysChecked: number;
  readonly violations: readonly Violation[];
  /** Nodes that did not answer: nothing is known of theirs. `ok` is false then. */
  readonly silent: readonly string[];
  /** Nodes with more copies than are looked at of one: nothing is known of the rest. `ok` is false then. */
  readonly truncated: readonly string[];
}

/** What this node keeps and has done since it started. */
export interface CacheStatistics {
  readonly hits: number;
  readonly misses: number;
  readonly writes: number;
  /** Copies given up for want of room. */
  readonly evictions: number;
  readonly invalidationsSent: number;
  readonly invalidationsReceived: number;
  /** Leases of this node that ended before they were prolonged. */
  readonly lapses: number;
  /** Copies by state, and changes as `from>to`. */
  readonly states: Readonly<Record<string, number>>;
  readonly transitions: Readonly<Record<string, number>>;
  readonly entries: number;
  readonly bytes: number;
  /** Of the node's own bounds; namespaces with bounds of their own come on top. */
  readonly maxEntries: number;
  readonly maxBytes: number;
  readonly policy: PolicyName;
  /** Of the shards that this node leads: what waits for outside origins, and for how long the longest has waited. */
  readonly behind: { readonly keys: number; readonly bytes: number; readonly forMs: number };
}
export interface CacheStatePage {
  readonly type: "state";
  readonly keys: readonly {
    readonly namespace: string;
    readonly key: string;
    readonly state: LineState;
    readonly version: number;
    readonly ageMs: number;
  }[];
  /** Where to go on; null = those were all. */
  readonly next: string | null;
}

/** A change of a key, after it was applied (rule M10). */
export interface CacheChange {
  readonly type: "changed";
  readonly namespace: string;
  /** Null = all keys with `tag`, or of the namespace. */
  readonly key: string | null;
  readonly tag: string | null;
  readonly change: "put" | "delete" | "expire" | "invalidate";
  readonly version: number;
  /** To go on from later. */
  readonly position: string;
}
export interface CacheWatch {
  readonly namespace: string;
  /** Keys that begin so; "" = all. */
  readonly prefix: string;
  /** Null = from now on. */
  readonly from: string | null;
}

type Done<T> = (outcome: T | CacheFailure) => void;

/**
 * Cached values by namespace and key, from any node: what HTTP, the stream, and programs that embed a node call. Callbacks come later,
 * never inside the call, and exactly once.
 */
export interface CacheApi {
  /**
   * The copy that this node may read at this moment, without waiting: linearizable as `get` is, and no call of anything. Undefined when
   * there is none; then `get` finds out. Counts as a hit. The same object is given to all who read this copy: do not change it.
   */
  peek(namespace: string, key: string): CacheEntry | undefined;
  get(namespace: string, key: string, consistency: CacheConsistency, timeoutMs: number, done: Done<CacheEntry>): void;
  /** As `get`; `malformed` where the namespace has no origin. */
  revalidate(namespace: string, key: string, how: CacheRevalidation, timeoutMs: number, done: Done<CacheEntry>): void;
  /**
   * One loader at a time for each key in the whole cluster, as far as possible: a new home of the key knows of none. A failure says that nobody could be asked,
   * and is no reason not to load.
   */
  claimLoad(namespace: string, key: string, timeoutMs: number, done: Done<LoadClaim>): void;
  /** Each key for itself: not one moment for all. In the order of the keys. */
  getMany(
    namespace: string,
    keys: readonly string[],
    consistency: CacheConsistency,
    timeoutMs: number,
    done: Done<{ readonly type: "entries"; readonly entries: readonly (CacheEntry | CacheFailure)[] }>,
  ): void;
  /** Answered when it is committed and no other copy can be read any more (rule M3). */
  put(request: CachePut, options: CacheCallOptions, done: Done<CacheWritten>): void;
  delete(request: CacheDelete, options: CacheCallOptions, done: Done<CacheDeleted>): void;
  increment(request: CacheIncrement, options: CacheCallOptions, done: Done<CacheWritten>): void;
  /** Everything that carries the tag (null = everything of the namespace) is gone, and nobody can read it any more (rule M8). */
  invalidate(
    namespace: string,
    tag: string | null,
    options: CacheCallOptions,
    done: Done<{ readonly type: "invalidated"; readonly shards: number }>,
  ): void;
  /** All copies of the key are given up; the stored value stays. */
  dropCopies(namespace: string, key: string, timeoutMs: number, done: Done<{ readonly type: "dropped"; readonly version: number }>): void;
  /** The copy of another node, which is not kept here; `from` null = of whichever has one. `no-copy`: none has one that it may read. */
  fetchCopy(
    namespace: string,
    key: string,
    from: string | null,
    timeoutMs: number,
    done: Done<(CacheEntry & { readonly node: string }) | { readonly type: "no-copy" }>,
  ): void;

  /** `create` refuses an existing one, `update` an unknown one, `ensure` takes either. Fields left out keep their value, or get the default. */
  defineNamespace(
    name: string,
    settings: Partial<NamespaceSettings>,
    mode: "create" | "update" | "ensure",
    options: CacheCallOptions,
    done: Done<{ readonly type: "defined"; readonly created: boolean; readonly namespace: NamespaceView }>,
  ): void;
  /** With all its values. `default` cannot go: `refused`. */
  removeNamespace(name: string, options: CacheCallOptions, done: Done<{ readonly type: "removed" }>): void;
  namespace(name: string, timeoutMs: number, done: Done<{ readonly type: "namespace"; readonly namespace: NamespaceView }>): void;
  /** By prefix, in the order of the names; `next` null = that was all. `default` is always there. */
  namespaces(
    prefix: string,
    cursor: string,
    limit: number,
    timeoutMs: number,
    done: Done<{ readonly type: "listed"; readonly namespaces: readonly NamespaceView[]; readonly next: string | null }>,
  ): void;

  explain(namespace: string, key: string, timeoutMs: number, done: Done<Explained>): void;
  /** The invariants of all keys that somebody has a copy of, over all nodes. */
  verify(timeoutMs: number, done: Done<Verified>): void;
  /** Copies of this node, in no order that means anything. */
  state(cursor: string, limit: number): CacheStatePage;
  statistics(): CacheStatistics;
  /** Until the returned function is called, or `ended`, which comes once and last unless that was called. */
  watch(request: CacheWatch, listener: { changed(change: CacheChange): void; ended(why: CacheFailure): void }): () => void;
}
