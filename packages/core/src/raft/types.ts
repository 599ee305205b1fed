import type { GroupId, LogIndex, NodeId, Term } from "../kernel/brand.ts";

/** What a log entry is for. Wire numbers are append-only. */
export const entryKinds = { noop: 0, command: 1, config: 2 } as const;
export type EntryKind = keyof typeof entryKinds;

export interface Entry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: EntryKind;
  /** Opaque to Raft, except `config`: an encoded Membership. One command entry carries a whole batch of commands. */
  readonly payload: Uint8Array;
}

/** Written before any message that depends on it (Figure 2, "persistent state"). Term and vote are one record (mutant 3). */
export interface HardState {
  readonly term: Term;
  readonly vote: NodeId | null;
}

/**
 * A configuration (Raft thesis §4). Joint while `outgoing` is not empty: then a quorum of `voters` and one of `outgoing`
 * are both needed. `learnersNext` are outgoing voters that become learners when the joint phase ends.
 */
export interface Membership {
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly learnersNext: readonly NodeId[];
  /** Leave the joint phase by itself once the joint configuration is committed. */
  readonly autoLeave: boolean;
}

export type Role = "follower" | "pre-candidate" | "candidate" | "leader";

/** A snapshot as Raft sees it: what it replaces, not what it holds. */
export interface SnapshotMeta {
  /** Unique per snapshot taken or received, so that chunks of two are never mixed (mutant 33). */
  readonly id: string;
  readonly index: LogIndex;
  readonly term: Term;
  readonly membership: Membership;
  /** Index of the config entry that made `membership`; 0 = founding. */
  readonly membershipIndex: LogIndex;
  readonly bytes: number;
}

// ── Messages between the same group on two nodes ────────────────────────────────────────────────────────────────────

interface Envelope {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: Term;
}
export interface VoteRequest extends Envelope {
  readonly type: "vote";
  /** PreVote (thesis §9.6): `term` is the term the sender would campaign in. */
  readonly pre: boolean;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Set by a leadership transfer: overrides leader stickiness (thesis §4.2.3). */
  readonly transfer: boolean;
}
export interface VoteReply extends Envelope {
  readonly type: "vote-reply";
  readonly pre: boolean;
  readonly granted: boolean;
}
export interface AppendRequest extends Envelope {
  readonly type: "append";
  readonly prevIndex: LogIndex;
  readonly prevTerm: Term;
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
}
export interface AppendReply extends Envelope {
  readonly type: "append-reply";
  readonly rejected: boolean;
  /** Accepted: prevIndex + entries.length, durable at the sender. Rejected: the prevIndex that did not match. */
  readonly index: LogIndex;
  /** Rejected only: where and in which term the follower suggests to continue (fast backtracking). */
  readonly hintIndex: LogIndex;
  readonly hintTerm: Term;
  /** The sender lost durable state (W3, W6, G5): steers replication, counts for nothing, and what it once acknowledged is void. */
  readonly recovering: boolean;
  /** Somebody waits at the sender for what gets committed: it wants to hear of it at once. */
  readonly awaiting: boolean;
}
/** Empty append for one group; the host coalesces those of all groups to a peer into one frame. */
export interface Heartbeat extends Envelope {
  readonly type: "heartbeat";
  readonly commit: LogIndex;
  /** What the receiver has acknowledged in this term: up to there it may believe `commit`, also when a restart made it forget. */
  readonly match: LogIndex;
  /**
   * Rounds are numbered by the leader; a reply confirms leadership for every read and renewal asked before that round began.
   * 0 = news of the commit index only: no reply is wanted, and the host must not delay it.
   */
  readonly round: number;
}
export interface HeartbeatReply extends Envelope {
  readonly type: "heartbeat-reply";
  readonly round: number;
  /** As in AppendReply: confirms nothing. */
  readonly recovering: boolean;
}
/** A follower asks the leader for a read index (thesis §6.4). `context` is the follower's own batch number. */
export interface ReadRequest extends Envelope {
  readonly type: "read";
  readonly context: number;
  /** Asked by a node that lost durable state, to learn from which index on it may take part again (W6). */
  readonly recovering: boolean;
  /** With `recovering`: it has nothing at all of the group's past, and must not be a voter of it (G5). */
  readonly newcomer: boolean;
}
export interface ReadReply extends Envelope {
  readonly type: "read-reply";
  readonly context: number;
  /** 0 with `refused` = the receiver cannot answer (not leader, no own-term commit yet). */
  readonly index: LogIndex;
  readonly refused: boolean;
  /** Answers a recovering node: `index` is the leader's last index, not its commit index. */
  readonly recovering: boolean;
}
/**
 * A node whose log lost more than a partial record at its end asks every member where its log ends (rule W3, see raft/compare.ts). With
 * `pre` nothing is promised; otherwise `term` is a later term than the receiver's, which it enters before it answers.
 */
export interface CompareRequest extends Envelope {
  readonly type: "compare";
  readonly pre: boolean;
  /** Number of the attempt, another one after every restart. */
  readonly context: number;
}
export interface CompareReply extends Envelope {
  readonly type: "compare-reply";
  readonly context: number;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** What the sender itself may have lost; after "more" its answer proves nothing. */
  readonly lost: LostState;
  /** The newest configuration it knows to be committed, and every later one of its log. */
  readonly configurations: readonly KnownConfiguration[];
}
/** Wire numbers are append-only. */
export const lostStates = { nothing: 0, tail: 1, more: 2 } as const;
export type LostState = keyof typeof lostStates;
export interface KnownConfiguration {
  readonly index: LogIndex;
  readonly membership: Membership;
}
export interface SnapshotChunk extends Envelope {
  readonly type: "snapshot";
  readonly meta: SnapshotMeta;
  readonly offset: number;
  readonly data: Uint8Array;
  readonly done: boolean;
}
export interface SnapshotReply extends Envelope {
  readonly type: "snapshot-reply";
  readonly id: string;
  /** Bytes durable at the receiver: where to continue. */
  readonly offset: number;
  /** The receiver has installed it, or did not need it; its log continues after `index`. */
  readonly installed: boolean;
  readonly index: LogIndex;
}
export interface TimeoutNow extends Envelope {
  readonly type: "timeout-now";
}
export type RaftMessage =
  | VoteRequest
  | VoteReply
  | AppendRequest
  | AppendReply
  | Heartbeat
  | HeartbeatReply
  | ReadRequest
  | ReadReply
  | CompareRequest
  | CompareReply
  | SnapshotChunk
  | SnapshotReply
  | TimeoutNow;

// ── Events in ───────────────────────────────────────────────────────────────────────────────────────────────────────

export type RaftEvent =
  /** Time passes. `now` is monotonic milliseconds; the host sends it every few milliseconds and before other events after a pause. */
  | { readonly type: "tick"; readonly now: number }
  | { readonly type: "message"; readonly message: RaftMessage }
  /** Appends one command entry per payload. Only a leader that is not transferring accepts; see `RaftGroup.canPropose`. */
  | { readonly type: "propose"; readonly payloads: readonly Uint8Array[] }
  /** Asks for a linearizable read; answered in `RaftEffects.reads` (at any role; followers ask the leader). */
  | { readonly type: "read"; readonly context: number }
  /** Everything handed out by `takeEffects` up to this write number is durable. */
  | { readonly type: "durable"; readonly write: number }
  | { readonly type: "applied"; readonly index: LogIndex }
  | { readonly type: "change-membership"; readonly change: MembershipChange; readonly expectedIndex: LogIndex | null }
  | { readonly type: "transfer"; readonly to: NodeId }
  /** Behave as if the election timeout had passed: start PreVote now (tests, single-node start). */
  | { readonly type: "campaign" }
  /** Whether clients of this node wait for the commit of something: asks the leader for news of it without delay. */
  | { readonly type: "await-commit"; readonly awaiting: boolean }
  /** A node whose state differs from the others' may vote but not lead (rule W7); true again once it was refetched. */
  | { readonly type: "may-lead"; readonly allowed: boolean }
  /** The connection to `peer` closed; if it led us, PreVote starts early (rule G6). */
  | { readonly type: "peer-down"; readonly peer: NodeId }
  /** A local snapshot is durable; entries up to `keepFrom` - 1 may be dropped from memory. */
  | { readonly type: "snapshot-taken"; readonly meta: SnapshotMeta; readonly keepFrom: LogIndex }
  /** Answer to the effect `read-chunk`; `meta` null = that snapshot is gone, use the latest. */
  | {
      readonly type: "chunk-read";
      readonly to: NodeId;
      readonly meta: SnapshotMeta | null;
      readonly offset: number;
      readonly data: Uint8Array;
      readonly done: boolean;
    }
  /** Answer to `write-chunk`: `offset` bytes of snapshot `id` are durable. `failed` = start again from 0. */
  | { readonly type: "chunk-written"; readonly id: string; readonly offset: number; readonly failed: boolean }
  /** Answer to `install`: the state machine now is the snapshot's. */
  | { readonly type: "installed"; readonly meta: SnapshotMeta };

/** A change asked for; turned into a joint configuration (always joint when more than one voter changes, D7). */
export interface MembershipChange {
  readonly addVoters: readonly NodeId[];
  readonly addLearners: readonly NodeId[];
  readonly remove: readonly NodeId[];
}

// ── Effects out ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Snapshot work for the host. */
export type SnapshotEffect =
  | { readonly type: "read-chunk"; readonly to: NodeId; readonly id: string | null; readonly offset: number; readonly maxBytes: number }
  | {
      readonly type: "write-chunk";
      readonly meta: SnapshotMeta;
      readonly offset: number;
      readonly data: Uint8Array;
      readonly done: boolean;
    }
  /** `keepSuffix` = entries after the snapshot stay valid (rule W5): the log has its last entry. */
  | { readonly type: "install"; readonly meta: SnapshotMeta; readonly keepSuffix: boolean };

/** Things worth a log line or a metric. Names of peers are in the fields; the host renders them. */
export type RaftNotice =
  | { readonly type: "role"; readonly role: Role; readonly term: Term; readonly leader: NodeId | null; readonly reason: string }
  | { readonly type: "leader"; readonly leader: NodeId | null; readonly term: Term }
  | { readonly type: "election-failed"; readonly term: Term; readonly silent: readonly NodeId[]; readonly refused: readonly NodeId[] }
  | { readonly type: "membership"; readonly membership: Membership; readonly index: LogIndex; readonly committed: boolean }
  | { readonly type: "membership-refused"; readonly reason: string }
  | { readonly type: "transfer-ended"; readonly to: NodeId; readonly succeeded: boolean }
  | { readonly type: "truncated"; readonly from: LogIndex }
  /** Every member has said where its log ends: this node votes for logs that reach the furthest of them (W3). */
  | { readonly type: "compared"; readonly lastIndex: LogIndex; readonly lastTerm: Term; readonly members: readonly NodeId[] }
  /** Members that did not answer, or whose own log is damaged, stand in the way of that. */
  | { readonly type: "comparison-failed"; readonly silent: readonly NodeId[]; readonly damaged: readonly NodeId[] }
  /** A node restored with `mayVote: false` has caught up and takes part again (W3, W6). */
  | { readonly type: "recovered"; readonly index: LogIndex };

/**
 * What a step asks of the host, in two outboxes (etcd's msgs / msgsAfterAppend): `sendNow` may leave at once; `sendDurable`
 * only when `write` is durable. The host hands each write to the WAL in the order taken and reports `durable` in that order.
 */
export interface RaftEffects {
  /** Number of this write, 0 = nothing to persist (then `sendDurable` depends on the last write handed out before). */
  readonly write: number;
  readonly hardState: HardState | null;
  /** Drop log entries from this index on before appending; 0 = none. */
  readonly truncateFrom: LogIndex;
  readonly append: readonly Entry[];
  readonly sendNow: readonly RaftMessage[];
  readonly sendDurable: readonly RaftMessage[];
  /** New commit index, or 0 when it did not move. Apply up to min(commit, own durable index) (rule W2). */
  readonly commit: LogIndex;
  /** Reads whose state may be served once `index` is applied; `index` 0 = refused, ask again later. */
  readonly reads: readonly { readonly context: number; readonly index: LogIndex }[];
  readonly snapshots: readonly SnapshotEffect[];
  readonly notices: readonly RaftNotice[];
}

export interface RaftConfig {
  readonly group: GroupId;
  readonly self: NodeId;
  /** Seed of the election jitter and of the numbers of read messages: another one at every start. */
  readonly seed: number;
  readonly heartbeatMs: number;
  /** Heartbeats go out when the time and this make a whole multiple of `heartbeatMs`. */
  readonly beatOffsetMs: number;
  readonly electionMinMs: number;
  readonly electionMaxMs: number;
  /** A leader whose oldest unsynced write is older steps down; nobody campaigns while its own disk stalls. */
  readonly diskStallMs: number;
  readonly maxEntriesPerAppend: number;
  readonly maxBytesPerAppend: number;
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
  /** Proposals are refused while so many bytes are uncommitted. */
  readonly maxUncommittedBytes: number;
  readonly snapshotChunkBytes: number;
}

/** What recovery found. */
export interface RaftRestored {
  readonly now: number;
  readonly hardState: HardState;
  /** Membership at the snapshot (or founding), before `entries`. */
  readonly snapshot: SnapshotMeta | null;
  readonly membership: Membership;
  readonly membershipIndex: LogIndex;
  /** Entries after the snapshot, contiguous. */
  readonly entries: readonly Entry[];
  /** Known committed (a hint persisted lazily); at most the last entry. */
  readonly commit: LogIndex;
  readonly applied: LogIndex;
  /** False = may follow but neither vote, campaign nor acknowledge (rules W3, W6, G5) until it has recovered: see raft/recovery.ts. */
  readonly mayVote: boolean;
  /** With `mayVote: false`: nothing but the end of the log is in doubt, so comparing logs with all members settles it (W3, raft/compare.ts). */
  readonly onlyTornTail?: boolean;
  /** With `mayVote: false`: terms and votes are among what was lost, so having caught up is not enough (G5, raft/recovery.ts). */
  readonly newcomer?: boolean;
}
