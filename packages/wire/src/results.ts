import type { CacheMode, NamespaceSettings } from "./cache-commands.ts";
import type { AuditMark, LockMode } from "./commands.ts";
import type { QueueDefinition } from "./queue-commands.ts";

/** One current holder, as told to a caller that was refused. `expiresInMs` is added by the leader's lease host, never by apply. */
export interface HolderInfo {
  readonly owner: string;
  readonly session: number;
  readonly mode: LockMode;
  readonly fence: number;
}

/** One step of a deadlock: `owner` waits for `waitsFor`, asking `mode` of a lock that `heldBy` holds. */
export interface CycleStep {
  readonly owner: string;
  readonly waitsFor: string;
  readonly mode: LockMode;
  readonly heldBy: string;
}

export interface GrantedKey {
  readonly name: string;
  readonly fence: number;
  readonly mode: LockMode;
}

/** A queue as its definition left it. */
export interface DefinedQueue {
  /** Its number: the order of creation, never used again. */
  readonly queue: number;
  readonly definition: QueueDefinition;
  /** Group time. */
  readonly createdAt: number;
}

/** Why a queue was not defined or deleted. */
export type QueueRefused =
  | ({ readonly type: "queue-refused"; readonly reason: "exists" } & DefinedQueue)
  | { readonly type: "queue-refused"; readonly reason: "unknown" }
  /** What is decided at creation stays. */
  | {
      readonly type: "queue-refused";
      readonly reason: "fixed";
      readonly field: "partitions";
      readonly value: number;
      readonly asked: number;
    }
  | { readonly type: "queue-refused"; readonly reason: "too-many"; readonly max: number }
  | { readonly type: "queue-refused"; readonly reason: "invalid"; readonly detail: string };

/** A namespace as its definition left it. */
export interface DefinedNamespace {
  readonly namespace: number;
  readonly name: string;
  readonly version: number;
  readonly settings: NamespaceSettings;
  /** Group time; 0 = it was always there. */
  readonly createdAt: number;
}

/** Why a namespace was not defined or deleted. */
export type NamespaceRefused =
  | ({ readonly type: "namespace-refused"; readonly reason: "exists" } & DefinedNamespace)
  | { readonly type: "namespace-refused"; readonly reason: "unknown" }
  | {
      readonly type: "namespace-refused";
      readonly reason: "fixed";
      readonly field: "mode";
      readonly value: CacheMode;
      readonly asked: CacheMode;
    }
  | { readonly type: "namespace-refused"; readonly reason: "too-many"; readonly max: number }
  | { readonly type: "namespace-refused"; readonly reason: "invalid"; readonly detail: string }
  /** `default` is always there. */
  | { readonly type: "namespace-refused"; readonly reason: "standing" };

/**
 * Answers of group 0. Expected outcomes are values; each is final for its (caller, sequence) except none:
 * a queued acquire has no answer until it is granted, cancelled, timed out or chosen as deadlock victim.
 */
export type Result =
  | { readonly type: "done" }
  | { readonly type: "session-opened"; readonly session: number; readonly ttlMs: number }
  /** First key's fence at top level: the hot path has one key. `more` holds the others of a set. */
  | {
      readonly type: "granted";
      readonly fence: number;
      readonly owner: string;
      readonly mode: LockMode;
      /** Re-entry depth, 1 for a first grant. */
      readonly depth: number;
      readonly more: readonly GrantedKey[];
    }
  | { readonly type: "released"; readonly fence: number; readonly remaining: number; readonly grantedTo: readonly string[] }
  /** Not granted and not queued (waitMs 0), or the wait ran out. */
  | {
      readonly type: "busy";
      readonly waited: boolean;
      readonly name: string;
      readonly holders: readonly HolderInfo[];
      readonly waiters: number;
    }
  | { readonly type: "deadlock"; readonly cycle: readonly CycleStep[] }
  | { readonly type: "cancelled" }
  | { readonly type: "not-held"; readonly name: string; readonly holders: readonly HolderInfo[] }
  | { readonly type: "stale-fence"; readonly name: string; readonly fence: number }
  | { readonly type: "not-found"; readonly what: "lock" | "session" | "wait" | "node" }
  | { readonly type: "session-lost"; readonly session: number }
  | { readonly type: "quota"; readonly limit: string; readonly max: number }
  | { readonly type: "conflict"; readonly reason: ConflictReason; readonly detail: string }
  | { readonly type: "malformed"; readonly detail: string }
  /** Refused by the dedupe table (X1): too late, already acknowledged, window full, other body. */
  | { readonly type: "refused"; readonly reason: RefusalReason }
  /** The queue as it is now; `created` = it was not there before. */
  | ({ readonly type: "queue-defined"; readonly created: boolean } & DefinedQueue)
  | QueueRefused
  | { readonly type: "queue-deleted"; readonly queue: number }
  /** The placement has this epoch now. */
  | { readonly type: "placement-set"; readonly epoch: number }
  /** It was derived from another placement than that of this epoch, which stays. */
  | { readonly type: "placement-refused"; readonly epoch: number }
  /** The namespace as it is now; `created` = it was not there before. */
  | ({ readonly type: "namespace-defined"; readonly created: boolean } & DefinedNamespace)
  | NamespaceRefused
  | { readonly type: "namespace-deleted"; readonly namespace: number }
  /** The audit log's chain has this anchor (null = none), and the new one does not follow from it. */
  | { readonly type: "anchor-refused"; readonly last: AuditMark | null };

export const conflictReasons = ["semaphore-size", "lock-kind", "already-waiting", "not-upgradable", "mode"] as const;
export type ConflictReason = (typeof conflictReasons)[number];
export const refusalReasons = [
  "past-deadline",
  "already-acknowledged",
  "window-full",
  "other-body",
  "too-many-callers",
  // Rule X4: the caller's command before it is missing. Not final: in its order the same command is executed.
  "out-of-order",
] as const;
export type RefusalReason = (typeof refusalReasons)[number];

/** Numbers on the wire are places in this list, which only grows at its end. */
export const queueRefusalReasons = ["exists", "unknown", "fixed", "too-many", "invalid"] as const;

export const namespaceRefusalReasons = ["exists", "unknown", "fixed", "too-many", "invalid", "standing"] as const;

export type ResultType = Result["type"];

/** Numbers of the result types on the wire and in snapshots. Append only; never reuse. */
export const resultNumbers: Readonly<Record<ResultType, number>> = {
  done: 0,
  "session-opened": 1,
  granted: 2,
  released: 3,
  busy: 4,
  deadlock: 5,
  cancelled: 6,
  "not-held": 7,
  "stale-fence": 8,
  "not-found": 9,
  "session-lost": 10,
  quota: 11,
  conflict: 12,
  malformed: 13,
  refused: 14,
  "queue-defined": 15,
  "queue-refused": 16,
  "queue-deleted": 17,
  "placement-set": 18,
  "placement-refused": 19,
  "namespace-defined": 20,
  "namespace-refused": 21,
  "namespace-deleted": 22,
  "anchor-refused": 23,
};
