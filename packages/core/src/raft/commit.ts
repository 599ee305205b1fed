import { invariant } from "../kernel/assert.ts";
import { logIndex } from "../kernel/brand.ts";
import type { LogIndex, NodeId } from "../kernel/brand.ts";
import { commitMonotone, commitWithinLog } from "../invariants/raft.ts";
import { mutant } from "#mutation";
import { decodeMembershipPayload } from "./codec.ts";
import { activateMembership, appendMembership } from "./leader-log.ts";
import { isJoint, leaveJoint } from "./membership.ts";
import { committedIndex } from "./quorum.ts";
import type { QuorumConfig } from "./quorum.ts";
import { becomeFollower } from "./role.ts";
import { flushPeers } from "./sending.ts";
import type { Leadership, RaftState } from "./state.ts";
import { tellSuccessor } from "./transfer.ts";

/** Leader: commits what a quorum has durably stored, if it is of this term; earlier terms are committed along with it (§5.4.2). */
export function commitByQuorum(s: RaftState, leadership: Leadership): void {
  const index = committedIndex(countedConfig(s), (id) => durableAt(s, leadership, id));
  if (index <= s.commit) return;
  if (s.log.termAt(index) !== s.term && !mutant("raft-01-commit-earlier-term-by-counting")) return;
  advanceCommit(s, index);
}

/** Follower: believes the leader's commit index as far as its own log is known to equal the leader's (mutant 15). */
export function learnCommit(s: RaftState, leaderCommit: LogIndex): void {
  // The state machine is about to jump to a snapshot; applying meanwhile would race it (mutant 32).
  if (s.installing !== null && !mutant("raft-32-apply-races-install")) return;
  const reach = mutant("raft-15-commit-beyond-verified") ? s.log.lastIndex : s.verified;
  const index = Math.min(leaderCommit, reach);
  if (index > s.commit) advanceCommit(s, logIndex(index));
}

export function advanceCommit(s: RaftState, index: LogIndex): void {
  invariant(commitMonotone(s.commit, index), "raft-commit-monotone", () => `${index} after ${s.commit}`);
  invariant(commitWithinLog(index, s.log.lastIndex), "raft-commit-within-log", () => `${index} > ${s.log.lastIndex}`);
  const before = s.commit;
  s.commit = index;
  s.out.commit = index;
  if (mutant("raft-21-config-active-at-commit")) activateCommitted(s, before);
  if (s.leadership !== null) releaseBytes(s, s.leadership, before);
  reportMembership(s);
  if (s.leadership !== null) afterLeaderCommit(s, s.leadership, before);
}

/** What the new commit index allows a leader to do. */
function afterLeaderCommit(s: RaftState, leadership: Leadership, before: LogIndex): void {
  s.out.stirred = true;
  if (!s.ownTermCommitted || s.membershipIndex > s.commit) return;
  if (s.membershipIndex > before) leadership.newsDue = true;
  if (isJoint(s.membership)) {
    const left = leaveJoint(s.membership);
    if (s.membership.autoLeave && left.type === "changed") appendMembership(s, leadership, left.membership);
    return;
  }
  if (!s.isVoter && !mutant("raft-24-removed-leader-stays")) resign(s, leadership);
}

/**
 * A leader that is no longer a member leads until the configuration without it is committed, then stops (thesis §4.2.2): peers learn the
 * commit index first, and the best of them is told to stand for election at once.
 */
function resign(s: RaftState, leadership: Leadership): void {
  leadership.newsDue = true;
  flushPeers(s, leadership);
  tellSuccessor(s, leadership);
  becomeFollower(s, s.term, null, "no longer a voter");
}

function durableAt(s: RaftState, leadership: Leadership, id: NodeId): number {
  // The leader's own copy counts once it is on disk, like everyone's (mutant 7).
  if (id === s.self) return mutant("raft-07-own-match-before-fsync") ? s.log.lastIndex : s.cursors.flushed;
  const progress = leadership.peers.get(id);
  return progress === undefined || progress.recovering ? 0 : progress.match;
}

function countedConfig(s: RaftState): QuorumConfig {
  const { membership } = s;
  if (mutant("raft-18-learner-counted")) return { voters: [...membership.voters, ...membership.learners], outgoing: membership.outgoing };
  return membership;
}

function releaseBytes(s: RaftState, leadership: Leadership, before: LogIndex): void {
  for (let index = before + 1; index <= s.commit; index++) {
    leadership.uncommittedBytes -= s.log.entryAt(logIndex(index))?.payload.length ?? 0;
  }
}

function reportMembership(s: RaftState): void {
  const { index, membership } = s.history.at(s.commit);
  if (index <= s.membershipReported) return;
  s.membershipReported = index;
  s.out.notices.push({ type: "membership", membership, index, committed: true });
}

function activateCommitted(s: RaftState, before: LogIndex): void {
  for (let index = before + 1; index <= s.commit; index++) {
    const entry = s.log.entryAt(logIndex(index));
    if (entry !== null && entry.kind === "config") activateMembership(s, entry.index, decodeMembershipPayload(entry.payload));
  }
}
