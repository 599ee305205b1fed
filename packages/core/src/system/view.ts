import type { AuditMark, CycleStep, ExpiryKind, LockMode, NamespaceSettings, QueueDefinition, Result } from "@trivet/wire";

export interface HoldView {
  readonly owner: string;
  readonly principal: string;
  readonly session: number;
  readonly mode: LockMode;
  readonly fence: number;
  readonly depth: number;
  readonly anonymous: boolean;
  /** Lease of a sessionless grant, ms; 0 = held by the session. */
  readonly ttlMs: number;
  /** Group time of the grant. */
  readonly since: number;
}
export interface WaitView {
  readonly owner: string;
  readonly principal: string;
  readonly session: number;
  readonly mode: LockMode;
  readonly waitMs: number;
  readonly since: number;
  readonly caller: string;
  readonly sequence: number;
}
export interface LockView {
  readonly name: string;
  readonly status: "available" | "held" | "delayed";
  /** Size of the semaphore, 0 = not one. */
  readonly of: number;
  readonly holders: readonly HoldView[];
  readonly waiters: readonly WaitView[];
}
export interface SessionView {
  readonly session: number;
  readonly principal: string;
  readonly label: string;
  readonly ttlMs: number;
  readonly lockDelayMs: number;
  readonly locks: number;
  readonly waiters: number;
  readonly openedAt: number;
}
export interface WaitEdge {
  readonly waiter: string;
  readonly holder: string;
  readonly name: string;
  readonly mode: LockMode;
  /** `hard` = waits for a holder; `order` = waits behind an earlier waiter. */
  readonly kind: "hard" | "order";
  readonly since: number;
}
export interface DeadlockResolution {
  readonly at: number;
  readonly victim: string;
  readonly name: string;
  readonly cycle: readonly CycleStep[];
}
/** A queue as group 0 knows it (rule G1). */
export interface QueueView {
  /** Its number: the order of creation, never used again. */
  readonly queue: number;
  readonly definition: QueueDefinition;
  /** Group time. */
  readonly createdAt: number;
}
/** A namespace of cached values as group 0 knows it (rule G1). */
export interface NamespaceView {
  /** Its number: the order of creation, never used again; 1 = `default`, which nobody has to create. */
  readonly namespace: number;
  readonly name: string;
  /** Rises with each change. */
  readonly version: number;
  readonly settings: NamespaceSettings;
  /** Group time; 0 = it was always there. */
  readonly createdAt: number;
}
export interface NamespacePage {
  readonly namespaces: readonly NamespaceView[];
  readonly next: string | null;
}
/** Where the shards should be (D4); where they are is for their Raft groups to say. */
export interface PlacementView {
  /** Rises with every change. */
  readonly epoch: number;
  /** Wanted replicas of each shard. */
  readonly replication: number;
  /** By shard number less one: who founded the shard's Raft group, with which disks. Never changes. */
  readonly founders: readonly (readonly { readonly node: string; readonly storage: string }[])[];
  /** By shard number less one: who should hold it; the first should lead. */
  readonly shards: readonly (readonly string[])[];
}
export interface NodeView {
  readonly node: string;
  readonly storage: string;
  readonly url: string;
  readonly roles: string;
  readonly voter: boolean;
  /** Its disk was given up by an operator (rule G5): another one may take its place. */
  readonly replaceable: boolean;
  /** Is to be emptied before it is removed (rule G4): it gets no shard, and those it has move away. */
  readonly draining: boolean;
}

/** The head of an audit log, as a node has told it. */
export interface AuditAnchor extends AuditMark {
  /** Group time at which it was put here. */
  readonly at: number;
  /** The how manieth of its chain it is, from 1. Not all are kept. */
  readonly ordinal: number;
}
export interface AuditChainView {
  readonly chain: string;
  /** The how manieth log of its node it is, from 1. */
  readonly number: number;
  /** Oldest first; the last is the newest there was. */
  readonly anchors: readonly AuditAnchor[];
}
/** The audit logs of a node, which may have been removed since. */
export interface AuditedNodeView {
  readonly node: string;
  /** Logs it has begun, those that are not kept here any more among them. */
  readonly begun: number;
  readonly chains: readonly AuditChainView[];
}

/** Read side of group 0's state machine. Valid until the next apply; copy what you keep. */
export interface SystemView {
  /** Group time of the last applied entry, Unix milliseconds (rule L3). */
  readonly groupTime: number;
  readonly lastFence: number;
  lock(name: string): LockView;
  /** Names in byte order after `cursor`; at most `limit`. */
  locks(prefix: string, cursor: string, limit: number): { readonly locks: readonly LockView[]; readonly next: string | null };
  /** Work of a millisecond at most towards pages of `locks` that cost about what they show. True when they do. */
  arrangeToList(): boolean;
  /** Do they? Asking does nothing. */
  isListable(): boolean;
  lockCount(): number;
  waiterCount(): number;
  session(id: number): SessionView | null;
  sessions(cursor: number, limit: number): { readonly sessions: readonly SessionView[]; readonly next: number | null };
  sessionCount(): number;
  /** Is `fence` the fence of a current hold of `name`? */
  isHeld(name: string, fence: number): boolean;
  waitEdges(limit: number): readonly WaitEdge[];
  lastResolutions(): readonly DeadlockResolution[];
  nodes(): readonly NodeView[];
  queue(name: string): QueueView | null;
  queueByNumber(queue: number): QueueView | null;
  /** Number of the newest queue: a number up to it without a queue was dropped. */
  lastQueue(): number;
  /** Names in byte order after `cursor`; at most `limit`. */
  queues(prefix: string, cursor: string, limit: number): { readonly queues: readonly QueueView[]; readonly next: string | null };
  queueCount(): number;
  /** Namespaces of cached values; `default` is always there. */
  namespace(name: string): NamespaceView | null;
  namespaceByNumber(namespace: number): NamespaceView | null;
  /** Number of the newest one: a number up to it without a namespace was dropped. */
  lastNamespace(): number;
  /** Names in byte order after `cursor`; at most `limit`. */
  namespaces(prefix: string, cursor: string, limit: number): NamespacePage;
  /** Null before the shards were placed first. */
  placement(): PlacementView | null;
  /** Does any shard name `node`? It is not to be removed while one does (rule G4). */
  placementNames(node: string): boolean;
  /** Anchors of the audit logs, in the order of the nodes' names. */
  auditedNodes(): readonly AuditedNodeView[];
  /** What the dedupe table knows of a request (X3). */
  lookup(caller: string, sequence: number): Result | "pending" | "unknown";
  timerCount(kind: ExpiryKind): number;
}
