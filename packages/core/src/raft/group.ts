import { logIndex, term as toTerm } from "../kernel/brand.ts";
import type { LogIndex, NodeId, Term } from "../kernel/brand.ts";
import { mutant } from "#mutation";
import { isLearner } from "./membership.ts";
import type { MembershipAt } from "./membership-history.ts";
import type { PeerProgress } from "./progress.ts";
import { flushReads } from "./read-index.ts";
import { isWhole } from "./recovery.ts";
import { resetElectionTimer } from "./role.ts";
import { flushPeers } from "./sending.ts";
import { RaftState } from "./state.ts";
import { step } from "./step.ts";
import { nextTickAt, quorumContact } from "./tick.ts";
import type { Entry, HardState, Membership, RaftConfig, RaftEffects, RaftEvent, RaftRestored, Role } from "./types.ts";

/** Why a proposal is not taken now. Nothing happened; ask again here or at the leader. */
export type ProposeRefusal = "not-leader" | "transferring" | "uncommitted-bytes";

const nothing: readonly Entry[] = [];

/**
 * One member of one Raft group: pure and synchronous. `step` takes events, `takeEffects` hands out what they ask for; between the two
 * nothing happens by itself. Any number of events may be stepped before effects are taken: what they cause is then sent together.
 */
export class RaftGroup {
  private readonly s: RaftState;

  constructor(config: RaftConfig, restored: RaftRestored) {
    this.s = new RaftState(config, restored);
    resetElectionTimer(this.s);
    const { voters, outgoing } = this.s.membership;
    // Nobody to wait for: a single voter stands at the first tick.
    if (outgoing.length === 0 && voters.length === 1 && voters[0] === config.self) this.s.electionDeadline = restored.now;
  }

  step(event: RaftEvent): void {
    step(this.s, event);
  }

  /** Cheap; false while idle. */
  hasEffects(): boolean {
    return !this.s.out.empty;
  }

  /** When the next tick has something to do, as things stand; not later than the time of the last one = at once. */
  get nextTickAt(): number {
    return nextTickAt(this.s);
  }

  takeEffects(): RaftEffects {
    const { s } = this;
    if (s.leadership !== null) flushPeers(s, s.leadership);
    flushReads(s);
    return this.persist();
  }

  get self(): NodeId {
    return this.s.self;
  }
  get role(): Role {
    return this.s.role;
  }
  get term(): Term {
    return this.s.term;
  }
  get vote(): NodeId | null {
    return this.s.vote;
  }
  get leader(): NodeId | null {
    return this.s.leader;
  }
  get commitIndex(): LogIndex {
    return this.s.commit;
  }
  get appliedIndex(): LogIndex {
    return this.s.applied;
  }
  get firstIndex(): LogIndex {
    return this.s.log.firstIndex;
  }
  get lastIndex(): LogIndex {
    return this.s.log.lastIndex;
  }
  get lastTerm(): Term {
    return this.s.log.lastTerm;
  }
  /** Last index that is on this node's own disk. Apply up to min(commitIndex, durableIndex) (rule W2). */
  get durableIndex(): LogIndex {
    return this.s.cursors.flushed;
  }
  get membership(): Membership {
    return this.s.membership;
  }
  get membershipIndex(): LogIndex {
    return this.s.membershipIndex;
  }
  get isLearner(): boolean {
    return isLearner(this.s.membership, this.s.self);
  }
  /** False while this node has not recovered from lost durable state. It may vote before, within limits, once all logs were compared (W3). */
  get mayVote(): boolean {
    return isWhole(this.s);
  }
  /** Whom leadership is being handed to; null = nobody. */
  get transferring(): NodeId | null {
    return this.s.transfer?.to ?? null;
  }
  /** Leader: when the latest round confirmed by a quorum began; monotonic. Null = not confirmed yet, or not the leader. */
  get leaderConfirmedAt(): number | null {
    return this.s.leadership?.confirmedAt ?? null;
  }
  /** Leader: when a quorum was last heard from. Otherwise: when the leader was. Null = never. */
  get lastQuorumContact(): number | null {
    const { leadership, leaderContactAt } = this.s;
    const at = leadership === null ? leaderContactAt : quorumContact(this.s, leadership);
    return Number.isFinite(at) ? at : null;
  }
  /** Leader: has it committed an entry of its own term, so that it knows what is committed (§8)? */
  get ownTermCommitted(): boolean {
    return this.s.ownTermCommitted;
  }

  /** Null = a `propose` would be taken now. */
  canPropose(): ProposeRefusal | null {
    const { leadership, transfer, config } = this.s;
    if (leadership === null) return "not-leader";
    if (transfer !== null) return "transferring";
    return leadership.uncommittedBytes >= config.maxUncommittedBytes ? "uncommitted-bytes" : null;
  }

  /** Term of an entry, or of the last one dropped from memory; null when it is not known here. */
  termAt(index: LogIndex): Term | null {
    return this.s.log.termAt(index);
  }

  /** Where the longest stretch of entries in memory begins that ends with `index` and takes at most `maxBytes`; index + 1 = none does. */
  stretchTo(index: LogIndex, maxBytes: number): LogIndex {
    return this.s.log.stretchTo(index, maxBytes);
  }

  /** Entries from `from` to `to`, both included, as far as they are in memory; at least one when there is one, else up to `maxBytes` of payload. */
  entries(from: LogIndex, to: LogIndex, maxBytes: number): readonly Entry[] {
    return this.s.log.slice(from, to, Infinity, maxBytes);
  }

  /** The configuration in force at `index`: what a snapshot taken there must carry. */
  membershipAt(index: LogIndex): MembershipAt {
    return this.s.history.at(index);
  }

  /** Leader: what it knows of each peer, in no particular order. Empty elsewhere. */
  progress(): readonly PeerProgress[] {
    const { leadership, membership } = this.s;
    if (leadership === null) return [];
    return [...leadership.peers.values()].map((progress) => ({
      peer: progress.peer,
      state: progress.state,
      match: progress.match,
      next: progress.next,
      learner: isLearner(membership, progress.peer),
      recovering: progress.recovering,
      newcomer: progress.newcomer,
      inflightMessages: progress.inflight.messages,
      inflightBytes: progress.inflight.bytes,
      contactAt: progress.contactAt,
      snapshot:
        progress.transfer === null
          ? null
          : { id: progress.transfer.meta?.id ?? null, offset: progress.transfer.offset, bytes: progress.transfer.meta?.bytes ?? 0 },
    }));
  }

  /** Term, vote and new entries leave as one numbered write (mutants 3 and 9). */
  private persist(): RaftEffects {
    const { log, cursors, out, term, vote, now } = this.s;
    const from = logIndex(cursors.submitted + 1);
    const append = from <= log.lastIndex ? log.slice(from, log.lastIndex, Infinity, Infinity) : nothing;
    if (!out.hardState && append.length === 0 && out.truncateFrom === 0) return out.take(0, null, append);
    const write = cursors.submit(log.lastIndex, term, vote, now);
    const withTerm = out.hardState && !(mutant("raft-09-entries-without-their-term") && append.length > 0);
    return out.take(write, withTerm ? this.hardState(term, vote) : null, append);
  }

  private hardState(term: Term, vote: NodeId | null): HardState {
    if (mutant("raft-03-vote-without-term")) return { term: vote === null ? term : toTerm(term - 1), vote };
    return { term, vote };
  }
}
