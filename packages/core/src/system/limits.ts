import { type NamespaceSettings, type QueueSettings, limits as wireLimits } from "@trivet/wire";

/**
 * Bounds of group 0's state. They decide outcomes of apply, so they are replicated constants: every replica must be built with the
 * same values, and a snapshot carries them.
 */
export interface SystemLimits {
  /** Open sessions of the cluster. */
  readonly sessions: number;
  /** Locks that one session holds or waits for, each key of a set counted. */
  readonly locksPerSession: number;
  /** Requests of one session that wait at a time. */
  readonly waitersPerSession: number;
  /** The same two for a principal that acts without a session. */
  readonly locksPerPrincipal: number;
  readonly waitersPerPrincipal: number;
  /** Depth of a re-entrant hold. */
  readonly reentryDepth: number;
  /** Keys of one atomic request. */
  readonly keysPerRequest: number;
  /** Edges that one deadlock search may look at (rule K3). A request whose search would need more is refused, never left unsearched. */
  readonly deadlockSearchEdges: number;
  /** Callers that the dedupe table remembers (rule X1). */
  readonly callers: number;
  /** How long a caller is remembered after its latest not-after (rule X1). */
  readonly dedupeRetentionMs: number;
  /** How far ahead of group time a not-after may lie; further ahead it would pin memory. */
  readonly deadlineHorizonMs: number;
  /** Nodes of the registry. */
  readonly nodes: number;
  /** Queues at a time. */
  readonly queues: number;
  /** Namespaces of cached values at a time, `default` among them. */
  readonly namespaces: number;
}

export const defaultSystemLimits: SystemLimits = {
  sessions: 100_000,
  locksPerSession: 10_000,
  waitersPerSession: 10_000,
  locksPerPrincipal: 100_000,
  waitersPerPrincipal: 10_000,
  reentryDepth: 65_535,
  keysPerRequest: wireLimits.maxKeysPerSet,
  deadlockSearchEdges: 50_000,
  callers: 500_000,
  dedupeRetentionMs: 600_000,
  deadlineHorizonMs: 86_400_000,
  nodes: 1024,
  queues: 10_000,
  namespaces: 1000,
};

/** What a new queue has where its owner says nothing; the QUEUE_* settings of a node have the same defaults (a test of the server compares them). */
export const defaultQueueSettings: QueueSettings = {
  partitions: 1,
  visibilityMs: 30_000,
  maxDeliveries: 5,
  maxAcquired: 100,
  backoffMs: 1000,
  maxMessages: 1_000_000,
  maxBytes: 0,
  ttlMs: 0,
  dedupeWindowMs: 300_000,
  maxLeased: 0,
  ratePerSecond: 0,
  paused: false,
};

/** Of the namespace `default`, and of a new one where its owner says nothing. */
export const defaultNamespaceSettings: NamespaceSettings = {
  mode: "write-through",
  staleMs: 0,
  ttlMs: 0,
  negativeTtlMs: 5_000,
  maxEntries: 0,
  maxBytes: 0,
  write: "here",
  maxBehind: 0,
  revalidateMs: 0,
  copyEntries: 0,
  copyBytes: 0,
  policy: "wtinylfu",
  origin: "none",
  compressOver: 0,
};

/** Holders, owners and cycle steps that one answer lists; an answer is kept in the dedupe table, so it must stay small. */
export const listedHolders = 16;
export const listedCycleSteps = 64;
/** Deadlocks kept for `/locks/wait_for`. */
export const keptResolutions = 64;
/** Anchors of audit logs (docs/decisions/0036-audit-anchors.md): replicated constants as well. */
export const auditLimits = {
  /** Logs of a node that are remembered: the one that goes on, and those that were begun before it. */
  keptLogs: 4,
  /** Anchors of a log whose ordinals are divided by the same power of two and no higher one. */
  keptPerPowerOfTwo: 2,
  /** Of all powers of two below 2^53, which no ordinal reaches. */
  keptAnchors: 106,
  /** Removed nodes whose anchors are still there: those that anchored last. */
  keptRemovedNodes: 64,
} as const;
/** Names that one call puts in order for listings. */
export const arrangedPerCall = 2048;

/** Where counters start after a restore into a new cluster (rule W9): above everything the old one can have handed out. */
export type CounterFloor = Readonly<Record<"fence" | "session" | "wait" | "delay" | "anonymous", number>>;
