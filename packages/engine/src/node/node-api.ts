import type { LogIndex, Membership, NodeId, RememberedAnswer, Role, SystemEvent, SystemView, Term } from "@trivet/core";
import type { Command, Result } from "@trivet/wire";
import type { Submission, SubmitOptions, Unavailable, Unknown } from "../ports/calls.ts";
import type { ShardWait } from "../shards/placement-waits.ts";
import type { ShardAccess } from "../shards/shard-access.ts";

export type { Submission, SubmitOptions, Unavailable, Unknown };

export type Outcome =
  | {
      readonly type: "answered";
      readonly result: Result;
      readonly requestId: string;
      /** Applied index of this node when the answer came (S4's /raft/append shows it). */
      readonly index?: LogIndex;
    }
  | Unavailable
  | Unknown;

/** What became of an earlier call (rule X3), of group 0 or of a shard. */
export type RequestOutcome =
  | { readonly type: "answered"; readonly result: Result; readonly requestId: string }
  | { readonly type: "shard-answered"; readonly answer: RememberedAnswer }
  | { readonly type: "pending" | "not-executed" | "gone" | "invalid" }
  | Unavailable;

/** Answers for one caller whose frames this node submits (a stream connection). */
export interface CallerRoute<R = Result> {
  answer(sequence: number, result: R): void;
  /** Called once after every batch of answers. */
  flush(): void;
  /** A whole frame was refused before it reached the log. */
  refused(firstSequence: number, count: number, reason: Unavailable): void;
}

export interface PeerStatus {
  readonly node: NodeId;
  readonly address: string;
  /** Linked, and heard within HEARTBEAT_TIMEOUT. */
  readonly connected: boolean;
  readonly matchIndex: number;
  readonly lag: number;
  readonly rttMs: number | null;
  readonly lastError: string | null;
  readonly lastContactMsAgo: number | null;
}
export interface SnapshotStatus {
  readonly index: LogIndex;
  readonly bytes: number;
  /** Null = this process has neither made nor received one: when the one on the disk was made is not written down. */
  readonly ageMs: number | null;
}
export interface GroupStatus {
  readonly group: number;
  readonly role: Role | "learner";
  readonly term: Term;
  readonly leader: NodeId | null;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly firstIndex: LogIndex;
  readonly membership: Membership;
  /** The newest on this node's disk. */
  readonly snapshot: SnapshotStatus | null;
}
export interface NodeStatus {
  readonly node: NodeId;
  readonly cluster: string | null;
  readonly phase: "starting" | "founding" | "joining" | "running" | "recovering" | "removed" | "stopping" | "failed";
  readonly phaseDetail: string;
  readonly groups: readonly GroupStatus[];
  readonly peers: readonly PeerStatus[];
  /** Milliseconds since a quorum was last heard from, on a leader; since the leader was, on a follower. */
  readonly quorumContactMsAgo: number | null;
  /** This node's wall clock less group time, as its leader last said it; null before one was heard. */
  readonly clockOffsetMs: number | null;
  /** Commands whose answer is awaited on this node. */
  readonly openCommands: number;
  /** Decision 0022: the cluster's level, null while it is not known here, and the highest that this node knows. */
  readonly features: { readonly cluster: number | null; readonly own: number };
  /** Shards that are not where the map wants them, as their leaders say. */
  readonly shardWaits: readonly ShardWait[];
}

/** A decoded log entry for people (S4's /raft/log). */
export interface LogLine {
  readonly index: number;
  readonly term: number;
  readonly type: string;
  readonly command: Command | null;
}

/** The state of one group, in chunks, for a backup. */
export interface GroupExport {
  readonly cluster: string;
  readonly node: string;
  readonly group: number;
  /** Of the cluster, whichever group this is. */
  readonly shards: number;
  /** Unix milliseconds. */
  readonly groupTime: number;
  readonly index: number;
  readonly term: number;
  /** One call at a time. Null = there are no more. Not called back where the state was replaced meanwhile: give it a time of its own. */
  next(done: (problem: string | null, chunk: Uint8Array | null) => void): void;
  /** Must be called, also after the last chunk. */
  close(): void;
}

/** What the HTTP layer, the stream and tests see of a running node. All callbacks; none is called synchronously. */
export interface NodeApi {
  /** Queue messages, as streams give and get them. */
  readonly shards: ShardAccess;
  status(): NodeStatus;
  /** This node's estimate of group time now, Unix milliseconds (rule L3): what the not-after of a stream's frames counts from. */
  groupTime(): number;
  /** Group 0 command, through the log, from any node. */
  submit(command: Command, options: SubmitOptions, done: (outcome: Outcome) => void): Submission;
  /** Outcome of an earlier call (X3). */
  request(requestId: string, done: (outcome: RequestOutcome) => void): void;
  /** Registers who gets the answers of `caller` on this node; replaces an older route. */
  route(caller: string, route: CallerRoute): void;
  /** Ends `route`, unless another one has replaced it meanwhile (a caller that reconnected). */
  endRoute(caller: string, route: CallerRoute): void;
  /** Submits an encoded command frame of a routed caller. Returns null when accepted, else why not. */
  submitFrame(frame: Uint8Array): Unavailable | null;
  /** Linearizable barrier (ReadIndex, batched), then the local state; `stale` skips the barrier. */
  read(
    consistency: "linearizable" | "stale",
    timeoutMs: number,
    done: (outcome: { readonly type: "ready"; readonly state: SystemView } | Unavailable) => void,
  ): void;
  /** Extends sessions after a quorum round begun later than this call (rule L1). Answers the sessions that are alive. */
  keepAlive(
    sessions: readonly number[],
    timeoutMs: number,
    done: (
      outcome: { readonly type: "alive"; readonly sessions: readonly number[]; readonly lost: readonly number[] } | Unavailable,
    ) => void,
  ): void;
  /** Same for the lease of a sessionless grant. `expiresInMs` is its full lease again. */
  renew(
    name: string,
    fence: number,
    timeoutMs: number,
    done: (outcome: { readonly type: "renewed"; readonly expiresInMs: number } | { readonly type: "lost" } | Unavailable) => void,
  ): void;
  /** Milliseconds of lease left per grant or session, known exactly on the leader only; null elsewhere. */
  leaseLeft(kind: "session" | "grant", id: number): number | null;
  /** The same in the order asked, from the leader, one hop away at most; null where it is not known or the leader does not answer in time. */
  leasesLeft(
    leases: readonly { readonly kind: "session" | "grant"; readonly id: number }[],
    timeoutMs: number,
    done: (leftMs: readonly (number | null)[]) => void,
  ): void;
  /** Changes of group 0 as they are applied here, until the returned function is called. */
  watch(listener: (event: SystemEvent, index: LogIndex) => void): () => void;
  log(start: number, end: number): readonly LogLine[];
  changeMembers(
    change: {
      readonly add?: readonly { readonly node: string; readonly url: string; readonly voter: boolean }[];
      readonly remove?: readonly string[];
      /** Give up the lost disks of these known nodes (rule G5); alone, not together with the others. */
      readonly replace?: readonly string[];
      /** Take all shards from these members, or let them have some again (rule G4); alone. */
      readonly drain?: { readonly nodes: readonly string[]; readonly draining: boolean };
    },
    timeoutMs: number,
    done: (
      outcome:
        | { readonly type: "changed"; readonly membership: Membership }
        | { readonly type: "refused"; readonly reason: string }
        | Unavailable,
    ) => void,
  ): void;
  transferLeadership(
    to: string | null,
    timeoutMs: number,
    done: (
      outcome:
        | { readonly type: "transferred"; readonly leader: NodeId }
        | { readonly type: "refused"; readonly reason: string }
        | Unavailable,
    ) => void,
  ): void;
  /** Forces a snapshot of group 0 now. */
  snapshot(done: (outcome: { readonly type: "taken"; readonly index: LogIndex } | Unavailable) => void): void;
  /** Group 0 or a shard that this node holds, with everything acknowledged before this call; null = it cannot be had here now. */
  exportGroup(group: number, timeoutMs: number, done: (opened: GroupExport | null) => void): void;
  /** Graceful stop: refuse new work, transfer leadership, finish what is under way, close files. */
  stop(done: () => void): void;
}
