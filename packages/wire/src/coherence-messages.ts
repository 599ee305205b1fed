import type { Packing } from "./cache-commands.ts";

/**
 * Coherence of cached copies: what homes and holders say to each other (rules M1–M7; the protocol itself is in the core). Any message may be lost, repeated or overtaken by any other. Each names the home's term and the
 * holder's incarnation, so that nothing of a former home or a former life is taken for something of the present one.
 */

/** A line is one cached key; its name is unique in the cluster. */
export type LineName = string;
export type HolderId = string;

/** The namespace first, so that a line tells where it belongs. Namespaces are names without control characters. */
export function lineName(namespace: string, key: string): LineName {
  return `${namespace}\u0000${key}`;
}

export function namespaceOf(line: LineName): string {
  return line.slice(0, line.indexOf("\u0000"));
}

/** What the shard's store says of a line. */
export interface CachedRecord {
  /** Rises with every change of the line, also across deletion; 0 = there is nothing, and nothing is known of what was. */
  readonly version: number;
  /** Null = there is nothing: this too may be kept as a copy (negative entry). */
  readonly value: Uint8Array | null;
  /** How `value` is compressed, as it is in the store and on its way; left out = it is not, as in every copy (decision 0024). */
  readonly packing?: Packing;
  readonly tags: readonly string[];
  /** Group time left when it was read; 0 = for ever. */
  readonly ttlMs: number;
  /** Version counter of the shard when it was read: what a loader's put is held against (rule M8). */
  readonly asOf: number;
}

/** What an invalidation is about: one line, or all lines of a namespace that carry a tag (null = all of them), or everything. */
export type Scope =
  | { readonly type: "line"; readonly line: LineName }
  | { readonly type: "namespace"; readonly namespace: string; readonly tag: string | null }
  | { readonly type: "everything" };

export const grants = ["none", "S", "E", "M"] as const;
/** Under which right a copy may be kept: not at all, beside others, alone, alone and just written. */
export type Grant = (typeof grants)[number];

/** Outcome of a write as the shard's apply decided it. */
export interface WriteOutcome {
  /** Version that the write gave the line; null = it changed nothing (compare-and-set that failed, full, refused). */
  readonly version: number | null;
  /** The encoded answer for whoever asked. */
  readonly answer: Uint8Array;
}

interface ToHome {
  readonly term: number;
  readonly incarnation: number;
}
export type HolderMessage = ToHome &
  (
    | { readonly type: "renew"; readonly request: number; readonly processed: number }
    /** `confirmed`: without a copy, by a read that a quorum round has confirmed. */
    | { readonly type: "fetch"; readonly line: LineName; readonly txn: number; readonly confirmed: boolean }
    /** `keep`: the written value is wanted as a copy. */
    | { readonly type: "write"; readonly line: LineName; readonly txn: number; readonly command: Uint8Array; readonly keep: boolean }
    | { readonly type: "inv-ack"; readonly sequence: number }
    /** `fill` is the transaction that brought the copy: a newer one is another copy. */
    | { readonly type: "evict"; readonly line: LineName; readonly fill: number }
    | { readonly type: "flush-ack" }
    | { readonly type: "leave" }
    /**
     * The value alone, true at a moment after this was sent (decision 0027): said by a node to its programs, from a copy of its own or from what it gets for one. To a home it is a
     * confirmed `fetch`, and as such it goes between nodes.
     */
    | { readonly type: "read"; readonly line: LineName; readonly txn: number }
  );

/** Sequenced: what takes something from a holder. Counted per session, from 1. */
export type Withdrawal =
  | { readonly type: "inv"; readonly sequence: number; readonly scope: Scope }
  /** E and M become S: somebody else reads. */
  | { readonly type: "share"; readonly sequence: number; readonly line: LineName };

/** Numbers on the wire are places in these lists, which only grow at their ends. */
export const leaseRefusals = ["lapsed", "barred", "closing", "full"] as const;
/** `lapsed`: this life is over. `barred`: somebody had to wait for this holder. `closing`: the home is moving. `full`: too many holders. */
export type RefusalOfLease = (typeof leaseRefusals)[number];

interface ToHolder {
  readonly term: number;
  readonly incarnation: number;
}
export type HomeMessage = ToHolder &
  (
    | { readonly type: "renewed"; readonly request: number; readonly sequence: number }
    | { readonly type: "refused"; readonly request: number; readonly reason: RefusalOfLease; readonly retryMs: number }
    /** `sequence`: the last withdrawal sent before it. */
    | {
        readonly type: "data";
        readonly line: LineName;
        readonly txn: number;
        readonly grant: Grant;
        readonly record: CachedRecord;
        readonly sequence: number;
      }
    | {
        readonly type: "done";
        readonly line: LineName;
        readonly txn: number;
        readonly grant: Grant;
        readonly outcome: WriteOutcome;
        readonly record: CachedRecord;
        readonly sequence: number;
      }
    | Withdrawal
    /** This is the home now: whatever came from another is void. Also the answer to what was meant for another term. */
    | { readonly type: "flush" }
  );

/** Append only; never reuse. */
export const holderMessageNumbers: Readonly<Record<HolderMessage["type"], number>> = {
  renew: 1,
  fetch: 2,
  write: 3,
  "inv-ack": 4,
  evict: 5,
  "flush-ack": 6,
  leave: 7,
  read: 8,
};
export const homeMessageNumbers: Readonly<Record<HomeMessage["type"], number>> = {
  renewed: 1,
  refused: 2,
  data: 3,
  done: 4,
  inv: 5,
  share: 6,
  flush: 7,
};
