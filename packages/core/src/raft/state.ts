import { invariant } from "../kernel/assert.ts";
import { logIndex, term } from "../kernel/brand.ts";
import type { LogIndex, NodeId, Term } from "../kernel/brand.ts";
import { Prng } from "../kernel/prng.ts";
import { LogView } from "./log-view.ts";
import { decodeMembershipPayload } from "./codec.ts";
import { MembershipHistory } from "./membership-history.ts";
import { isVoter } from "./membership.ts";
import { Outbox } from "./outbox.ts";
import type { Progress } from "./progress.ts";
import type { LogEnd } from "./log-end.ts";
import type { CompareReply, Membership, RaftConfig, RaftRestored, Role, SnapshotMeta } from "./types.ts";
import { WriteCursors } from "./write-cursors.ts";

/** A read asked by this node's clients or by a follower, waiting for its heartbeat round. */
export interface LeaderRead {
  /** Null = asked here. */
  readonly from: NodeId | null;
  readonly context: number;
  readonly recovering: boolean;
  readonly newcomer: boolean;
}
/** Reads that share a round. `index` is the commit index when the round began. */
export interface ReadRound {
  round: number;
  readonly index: LogIndex;
  readonly reads: readonly LeaderRead[];
}
/** Reads a follower asked its leader for with one message. */
export interface ForwardedReads {
  readonly batch: number;
  readonly contexts: readonly number[];
  readonly deadline: number;
}

/** Exists only while this node leads, so nothing of one term's leadership can leak into another. */
export class Leadership {
  readonly peers: Map<NodeId, Progress> = new Map();
  /** Index of the empty entry that opened the term (§8). */
  readonly firstIndex: LogIndex;
  nextHeartbeatAt: number;
  /** Heartbeat rounds: begun, and confirmed by a quorum. */
  round = 0;
  confirmedRound = 0;
  /** When the latest confirmed round began; null = none yet. */
  confirmedAt: number | null = null;
  /** When each round after `confirmedRound` began, oldest first. */
  readonly roundStarts: { readonly round: number; readonly at: number }[] = [];
  /** Reads that no round has been begun for. */
  readsWaiting: LeaderRead[] = [];
  readonly readRounds: ReadRound[] = [];
  /** CheckQuorum is suspended until then, after time in which this process did not run. */
  quorumGraceUntil: number;
  uncommittedBytes = 0;
  /** Peers that nobody waits at are due to hear of the commit index. */
  newsDue = false;

  constructor(firstIndex: LogIndex, now: number, graceMs: number) {
    this.firstIndex = firstIndex;
    this.nextHeartbeatAt = now;
    this.quorumGraceUntil = now + graceMs;
  }
}

/** A leadership transfer under way; outlives the leadership until its outcome is known (thesis §3.10). */
export interface Transfer {
  readonly to: NodeId;
  readonly term: Term;
  readonly deadline: number;
  /** TimeoutNow has been sent. */
  told: boolean;
}

/** A node that lost durable state; see recovery.ts. */
export interface Recovery {
  readonly since: number;
  askedAt: number;
  /** Term whose leader answered, and the index it named; 0 = not answered yet. */
  term: Term;
  target: LogIndex;
  /** It lost everything, terms and votes included: only a leader that does not count it may answer (G5). */
  readonly newcomer: boolean;
  /** Only the end of the log is in doubt: comparing with all members settles it. See compare.ts. */
  readonly onlyTornTail: boolean;
  comparison: Comparison | null;
  /** All members were compared with, and this is the furthest end of their logs; null = not yet. */
  floor: LogEnd | null;
}

/** An attempt to hear from all members where their logs end. */
export interface Comparison {
  readonly context: number;
  readonly pre: boolean;
  readonly asked: Set<NodeId>;
  readonly answers: Map<NodeId, CompareReply>;
}

export interface Receiving {
  readonly meta: SnapshotMeta;
  /** Durable bytes; null = the host has not said yet. */
  offset: number | null;
  writing: boolean;
}

/** Everything one member of one group knows. Only data: the parts of the protocol are functions over it, one file each. */
export class RaftState {
  readonly config: RaftConfig;
  readonly self: NodeId;
  readonly prng: Prng;
  readonly out: Outbox = new Outbox();
  readonly log: LogView;
  readonly history: MembershipHistory;
  readonly cursors: WriteCursors;
  now: number;

  // Persistent (Figure 2).
  term: Term;
  vote: NodeId | null;

  // Volatile.
  role: Role = "follower";
  leader: NodeId | null = null;
  commit: LogIndex;
  applied: LogIndex;
  /** Our log up to here is known to equal the log of this term's leader, so its commit index may be believed up to here. */
  verified: LogIndex;
  /** Configuration index last reported as committed. */
  membershipReported: LogIndex;

  // Elections.
  electionDeadline = 0;
  leaderContactAt: number = -Infinity;
  votes: Map<NodeId, boolean> = new Map();

  leadership: Leadership | null = null;
  /** False = its state is in doubt: it follows and votes, but must not be the one that answers (rule W7). */
  mayLead = true;
  transfer: Transfer | null = null;
  recovery: Recovery | null;
  /** Clients of this node wait for the commit of something. */
  awaiting = false;

  // Reads at a follower.
  readsQueued: number[] = [];
  readonly readsForwarded: ForwardedReads[] = [];
  /** Begins at a random number: a reply to a question from before a restart must not pass for one to a later question. */
  nextReadBatch: number;

  // A snapshot from the leader.
  receiving: Receiving | null = null;
  installing: SnapshotMeta | null = null;

  constructor(config: RaftConfig, restored: RaftRestored) {
    const { snapshot, entries, hardState } = restored;
    this.config = config;
    this.self = config.self;
    this.prng = new Prng(config.seed ^ Math.imul(config.group + 1, 0x9e3779b9) ^ hash(config.self));
    this.nextReadBatch = this.prng.nextUint32() * 0x10_0000;
    this.now = restored.now;
    this.term = hardState.term;
    this.vote = hardState.vote;
    this.log = restoreLog(restored);
    this.history = new MembershipHistory(restored.membershipIndex, restored.membership);
    for (const entry of entries) {
      if (entry.kind === "config" && entry.index > restored.membershipIndex) {
        this.history.append(entry.index, decodeMembershipPayload(entry.payload));
      }
    }
    this.cursors = new WriteCursors(this.log.lastIndex, hardState);
    this.commit = logIndex(Math.max(restored.commit, snapshot?.index ?? 0));
    this.applied = restored.applied;
    invariant(this.commit <= this.log.lastIndex, "raft-commit-within-log", () => `${this.commit} > ${this.log.lastIndex}`);
    invariant(this.applied <= this.commit, "raft-applied-within-commit", () => `${this.applied} > ${this.commit}`);
    invariant(this.log.lastTerm <= this.term, "raft-log-within-term", () => `${this.log.lastTerm} > ${this.term}`);
    this.verified = this.commit;
    this.membershipReported = this.history.at(this.commit).index;
    this.recovery = restored.mayVote ? null : recoveryOf(restored);
  }

  get membership(): Membership {
    return this.history.current.membership;
  }

  get membershipIndex(): LogIndex {
    return this.history.current.index;
  }

  get isVoter(): boolean {
    return isVoter(this.membership, this.self);
  }

  /** §8: until an entry of its own term is committed, a leader does not know what is. */
  get ownTermCommitted(): boolean {
    return this.leadership !== null && this.commit >= this.leadership.firstIndex;
  }

  /** The oldest write has been under way for longer than a disk should take. */
  get diskStalled(): boolean {
    const oldest = this.cursors.oldestPendingAt;
    return oldest !== null && this.now - oldest > this.config.diskStallMs;
  }
}

function recoveryOf({ now, newcomer = false, onlyTornTail = false }: RaftRestored): Recovery {
  return { since: now, askedAt: -Infinity, term: term(0), target: logIndex(0), newcomer, onlyTornTail, comparison: null, floor: null };
}

function restoreLog(restored: RaftRestored): LogView {
  const { snapshot, entries } = restored;
  const first = entries[0];
  const covered = snapshot?.index ?? logIndex(0);
  // Entries kept for lagging followers may begin before the snapshot's end; what precedes the first is unknown, so it serves as base.
  const early = first !== undefined && first.index <= covered;
  const log = early ? new LogView(first.index, first.term) : new LogView(covered, snapshot?.term ?? term(0));
  for (const entry of early ? entries.slice(1) : entries) log.append(entry);
  invariant(log.lastIndex >= covered, "raft-log-reaches-snapshot", () => `${log.lastIndex} < ${covered}`);
  return log;
}

/** FNV-1a: gives every node its own election jitter even when all were given one seed. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h;
}
