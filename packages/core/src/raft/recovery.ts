import { logIndex } from "../kernel/brand.ts";
import { mutant } from "#mutation";
import { reaches } from "./log-end.ts";
import type { LogEnd } from "./log-end.ts";
import type { RaftState } from "./state.ts";
import type { ReadReply } from "./types.ts";

/*
 * A node whose disk lost something it had promised (rules W3, W6, G5) follows, but neither votes nor campaigns, and its answers are
 * marked `recovering`: they steer replication and count for no quorum, neither of commits, nor of reads, nor of contact.
 *
 * It takes part again when all of this holds:
 * 1. A leader has answered its `read` with `recovering`, in the term the node is in. The leader does so only after a quorum, without
 *    this node, confirmed it in a round begun after the question, and after an entry of its own term was committed. The index it names is
 *    its *last* index, which is at or past the commit index W6 asks for, and at or past everything this node can ever have acknowledged
 *    to this leader, acknowledgements still on their way included.
 * 2. The node's durable log and its commit index have reached that index.
 * 3. A whole election timeout has passed since the restart, so that a candidate it may have voted for, and forgotten, has given up.
 *
 * Or, when only the end of its log is in doubt and there is no leader, after comparing logs with all members: see compare.ts.
 *
 * A new term before that starts the question again. The host restores the node with `mayVote: false` at every start until it has seen the
 * notice `recovered`.
 *
 * A `newcomer` has lost its terms and votes, too (rule G5). It may have voted in a term *later* than the leader's, for a candidate that was
 * itself paused for longer than point 3, and with five voters or more the leader's quorum need not know that term. So its question is
 * answered only by a leader whose configuration does not count it: the host removes it and adds it again as a learner. That makes the
 * forgotten vote worthless. Its candidate needs a majority of a configuration with this node, hence a majority of the others, short of one;
 * the removal is committed by a majority of the others. One of them is in both: it has the removal and refuses a log without it. A
 * candidate that has the removal does not count this node's vote.
 */

export function isWhole(s: RaftState): boolean {
  return s.recovery === null || mutant("raft-w6-damaged-node-votes");
}

/** Whole, or what it may have lost was looked for at all members (compare.ts); then candidates must also reach the floor. */
export function mayVote(s: RaftState): boolean {
  return isWhole(s) || s.recovery?.floor != null;
}

/** Its answers count for no quorum. */
export function isRecovering(s: RaftState): boolean {
  return s.recovery !== null && s.recovery.floor === null;
}

/** Called on contact with a leader. */
export function continueRecovery(s: RaftState): void {
  const { recovery, leader } = s;
  if (recovery === null || leader === null || leader === s.self) return;
  recovery.comparison = null;
  // This leader's log will carry its own past the floor.
  if (recovery.floor !== null) return;
  const answered = recovery.term === s.term && recovery.target > 0;
  if (answered || s.now - recovery.askedAt < s.config.electionMinMs) return;
  recovery.askedAt = s.now;
  s.out.now.push({ type: "read", from: s.self, to: leader, term: s.term, context: 0, recovering: true, newcomer: recovery.newcomer });
}

export function onRecoveryReply(s: RaftState, message: ReadReply): void {
  const { recovery } = s;
  if (recovery === null || message.refused || message.from !== s.leader) return;
  recovery.term = s.term;
  recovery.target = logIndex(message.index);
  finishRecovery(s);
}

/** Called when commit index, durable index or time moved. */
export function finishRecovery(s: RaftState): void {
  const { recovery, config } = s;
  if (recovery === null) return;
  if (recovery.floor !== null) return finishCompared(s, recovery.floor);
  if (recovery.target === 0 || recovery.term !== s.term) return;
  if (s.commit < recovery.target || s.cursors.flushed < recovery.target) return;
  if (s.now - recovery.since < config.electionMaxMs) return;
  s.recovery = null;
  // It may have voted in this very term and forgotten: the leader it follows takes the vote, so that nobody else can have it.
  if (s.vote === null && s.leader !== null) {
    s.vote = s.leader;
    s.out.hardState = true;
  }
  s.out.notices.push({ type: "recovered", index: recovery.target });
}

/** After a comparison (compare.ts): its own log on disk says now what the floor said. */
function finishCompared(s: RaftState, floor: LogEnd): void {
  const index = s.cursors.flushed;
  const flushedTerm = s.log.termAt(index);
  const reached = flushedTerm !== null && reaches({ term: flushedTerm, index }, floor);
  if (!reached && !mutant("raft-w3-whole-before-floor")) return;
  s.recovery = null;
  s.out.notices.push({ type: "recovered", index });
}
