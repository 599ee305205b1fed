/**
 * Commands of the system group (group 0). One encoding serves client, peer frame, WAL record and apply input
 * (docs/decisions/0002-hot-path.md). Numbers on the wire are append-only.
 */
import type { NamespaceSettings } from "./cache-commands.ts";
import type { QueueSettings } from "./queue-commands.ts";

/** Lock modes, weakest first. `permit` is one permit of a semaphore (`of` fixes its size). */
export const lockModes = ["shared", "update", "exclusive", "permit"] as const;
export type LockMode = (typeof lockModes)[number];

/** Who acts. `session` 0 = no session: then (principal, owner) is the owner for waiting and re-entrancy (rule K2). */
export interface Actor {
  readonly session: number;
  readonly principal: string;
  readonly owner: string;
}

/** One key of an acquire. `of` is the size of the semaphore when `mode` is `permit`, else 0. */
export interface LockKey {
  readonly name: string;
  readonly mode: LockMode;
  readonly of: number;
}

export interface OpenSession {
  readonly type: "open-session";
  readonly ttlMs: number;
  /** Pause before a lock of this session is granted again after an involuntary release; 0 = none. */
  readonly lockDelayMs: number;
  readonly principal: string;
  /** Free text shown to people: host name, process id. */
  readonly label: string;
}
export interface CloseSession {
  readonly type: "close-session";
  readonly session: number;
}

export interface AcquireLock {
  readonly type: "acquire";
  readonly actor: Actor;
  /** One key, or several taken atomically (counted locks only alone). */
  readonly keys: readonly LockKey[];
  /** Lease of a sessionless grant, from the grant; ignored when the actor has a session. */
  readonly ttlMs: number;
  /** 0 = answer at once; else wait in line at most so long, counted by the leader (liveness time, L3). */
  readonly waitMs: number;
  /** Re-entrant by equal owner, only when asked. */
  readonly reentrant: boolean;
  /** S0's acquire without owner: a later release without owner frees the oldest anonymous hold. */
  readonly anonymous: boolean;
}
/** Releases what `fence` granted under `name`; fence 0 = by owner, or the oldest anonymous hold when `anonymous`. */
export interface ReleaseLock {
  readonly type: "release";
  readonly actor: Actor;
  readonly name: string;
  readonly fence: number;
  readonly anonymous: boolean;
}
/** All or nothing: every (name, fence) must be held, else nothing changes. */
export interface ReleaseSet {
  readonly type: "release-set";
  readonly actor: Actor;
  readonly locks: readonly { readonly name: string; readonly fence: number }[];
}
export interface UpgradeLock {
  readonly type: "upgrade";
  readonly actor: Actor;
  readonly name: string;
  readonly fence: number;
  readonly mode: LockMode;
  readonly waitMs: number;
}
export interface DowngradeLock {
  readonly type: "downgrade";
  readonly actor: Actor;
  readonly name: string;
  readonly fence: number;
  readonly mode: LockMode;
}
/** Changes the lease length of a sessionless grant. Plain renewals never reach the log (rule L1). */
export interface SetLease {
  readonly type: "set-lease";
  readonly actor: Actor;
  readonly name: string;
  readonly fence: number;
  readonly ttlMs: number;
}
/** Ends a wait. By request identity (caller, sequence) when `caller` is not empty, else by (name, actor). */
export interface CancelWait {
  readonly type: "cancel";
  readonly actor: Actor;
  readonly name: string;
  readonly caller: string;
  readonly sequence: number;
}
export interface ForceRelease {
  readonly type: "force-release";
  readonly principal: string;
  readonly name: string;
  /** 0 = every hold of the name. */
  readonly fence: number;
  readonly reason: string;
}

/** What a leader's timers may end, each named by an id that is never reused (compare-and-delete, W-27). */
export const expiryKinds = ["session", "grant", "wait", "lock-delay"] as const;
export type ExpiryKind = (typeof expiryKinds)[number];
/** Proposed only by a leader for itself, never forwarded (rule L1). */
export interface Expire {
  readonly type: "expire";
  readonly kind: ExpiryKind;
  readonly id: number;
}
/** Does nothing but travel the log: barriers and latency probes. */
export interface Nothing {
  readonly type: "nothing";
}
/** Where a node is reached and what it runs; proposed for members that join or move (rule G4). */
export interface SetNode {
  readonly type: "set-node";
  readonly node: string;
  readonly storage: string;
  readonly url: string;
  readonly roles: string;
  /** May become a voter of group 0; false = stays a learner (rule G3). */
  readonly voter: boolean;
}
export interface ForgetNode {
  readonly type: "forget-node";
  readonly node: string;
}
/** An operator gives up the disk `storage` of a node (rule G5): whoever asks to join under this id with another disk takes its place. */
export interface ReplaceNode {
  readonly type: "replace-node";
  readonly node: string;
  readonly storage: string;
}
/** An operator empties a node before it is removed (rule G4): the placement gives it nothing more and takes away what it has. */
export interface DrainNode {
  readonly type: "drain-node";
  readonly node: string;
  readonly draining: boolean;
}

/** `create` refuses an existing queue, `update` an unknown one, `ensure` takes either. */
export const defineModes = ["create", "update", "ensure"] as const;
export type DefineMode = (typeof defineModes)[number];
/** Fields left out keep their value, or get the default. What differs from the present definition makes a new version of it (rule G1). */
export interface DefineQueue {
  readonly type: "define-queue";
  readonly name: string;
  readonly mode: DefineMode;
  readonly settings: Partial<QueueSettings>;
  readonly principal: string;
}
/** Its number is never given again; the shards drop what they have of it. */
export interface DeleteQueue {
  readonly type: "delete-queue";
  readonly name: string;
  readonly principal: string;
}
/** As a queue's. */
export interface DefineNamespace {
  readonly type: "define-namespace";
  readonly name: string;
  readonly mode: DefineMode;
  readonly settings: Partial<NamespaceSettings>;
  readonly principal: string;
}
/** With its values. */
export interface DeleteNamespace {
  readonly type: "delete-namespace";
  readonly name: string;
  readonly principal: string;
}
/** Where the shards should be (D4). Compare-and-set on the epoch of the placement it was derived from; 0 = there was none. */
export interface SetPlacement {
  readonly type: "set-placement";
  readonly epoch: number;
  readonly replication: number;
  /** By shard number less one; the first node of each should lead it. */
  readonly shards: readonly (readonly string[])[];
}

/** Every member knows what `level` stands for (feature-levels.ts). Only ever raised. */
export interface RaiseLevel {
  readonly type: "raise-level";
  readonly level: number;
}

/** The end of an audit log at some moment: number and code of a record. */
export interface AuditMark {
  readonly seq: number;
  /** HMAC of the record and all before it, 64 hexadecimal digits. */
  readonly mac: string;
}
/** The head of a node's audit log, where nobody who can write that file can change it (docs/decisions/0036-audit-anchors.md). */
export interface AnchorAudit {
  readonly type: "anchor-audit";
  readonly node: string;
  /** Of the log's chain, drawn when it was begun: a log that is begun anew has another one. */
  readonly chain: string;
  readonly head: AuditMark;
  /** Compare-and-set: the anchor of this chain before, which the node has found in its log; null = there is none. */
  readonly before: AuditMark | null;
}

export type Command =
  | OpenSession
  | CloseSession
  | AcquireLock
  | ReleaseLock
  | ReleaseSet
  | UpgradeLock
  | DowngradeLock
  | SetLease
  | CancelWait
  | ForceRelease
  | Expire
  | Nothing
  | SetNode
  | ForgetNode
  | ReplaceNode
  | DrainNode
  | DefineQueue
  | DeleteQueue
  | SetPlacement
  | DefineNamespace
  | DeleteNamespace
  | RaiseLevel
  | AnchorAudit;
export type CommandType = Command["type"];

/** Numbers of the command types on the wire and in the log. Append only; never reuse. */
export const commandNumbers: Readonly<Record<CommandType, number>> = {
  nothing: 0,
  "open-session": 1,
  "close-session": 2,
  acquire: 3,
  release: 4,
  "release-set": 5,
  upgrade: 6,
  downgrade: 7,
  "set-lease": 8,
  cancel: 9,
  "force-release": 10,
  expire: 11,
  "set-node": 12,
  "forget-node": 13,
  "replace-node": 14,
  "drain-node": 15,
  "define-queue": 16,
  "delete-queue": 17,
  "set-placement": 18,
  "define-namespace": 19,
  "delete-namespace": 20,
  "raise-level": 21,
  "anchor-audit": 22,
};
