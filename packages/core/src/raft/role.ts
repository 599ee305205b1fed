import { invariant } from "../kernel/assert.ts";
import type { NodeId, Term } from "../kernel/brand.ts";
import { termMonotone } from "../invariants/raft.ts";
import { mutant } from "#mutation";
import { refuseForwardedReads, refuseLeaderReads } from "./read-index.ts";
import type { RaftState } from "./state.ts";
import type { Role } from "./types.ts";

/** Enters a higher term: who was voted for in the old one says nothing about this one. Both change in one record (mutant 3). */
export function enterTerm(s: RaftState, term: Term): void {
  invariant(term !== s.term && termMonotone(s.term, term), "raft-term-monotone", () => `${term} after ${s.term}`);
  s.term = term;
  s.vote = null;
  s.out.hardState = true;
  // What is committed is in every later leader's log (leader completeness), so that much stays verified.
  s.verified = s.commit;
}

export function becomeFollower(s: RaftState, term: Term, leader: NodeId | null, reason: string): void {
  if (term > s.term) enterTerm(s, term);
  else if (mutant("raft-04-step-down-clears-vote") && s.vote !== null) {
    s.vote = null;
    s.out.hardState = true;
  }
  const was = s.role;
  changeRole(s, "follower", reason, leader);
  setLeader(s, leader);
  if (was !== "follower") resetElectionTimer(s);
}

/** Ends what belonged to the old role. */
export function changeRole(s: RaftState, role: Role, reason: string, leader: NodeId | null): void {
  if (s.leadership !== null) {
    refuseLeaderReads(s, s.leadership);
    s.leadership = null;
  }
  if (s.role === role) return;
  s.role = role;
  s.votes.clear();
  s.out.notices.push({ type: "role", role, term: s.term, leader, reason });
}

/** Reads that were sent to another leader are refused: their answers would come from a deposed one, or never. */
export function setLeader(s: RaftState, leader: NodeId | null): void {
  if (leader !== null && leader !== s.self) s.leaderContactAt = s.now;
  if (s.leader === leader) return;
  s.leader = leader;
  refuseForwardedReads(s);
  s.out.notices.push({ type: "leader", leader, term: s.term });
  if (leader !== null) settleTransfer(s, leader);
}

/** The next leader decides how a transfer ended, whoever it is. */
function settleTransfer(s: RaftState, leader: NodeId): void {
  const { transfer } = s;
  if (transfer === null || s.term === transfer.term) return;
  s.transfer = null;
  s.out.notices.push({ type: "transfer-ended", to: transfer.to, succeeded: leader === transfer.to });
}

/** Random, so that two nodes seldom stand for election at once (§5.2). */
export function resetElectionTimer(s: RaftState): void {
  const { electionMinMs, electionMaxMs } = s.config;
  s.electionDeadline = s.now + s.prng.between(electionMinMs, electionMaxMs);
}

export function hearsLeader(s: RaftState): boolean {
  return s.role === "leader" || (s.leader !== null && s.now - s.leaderContactAt < s.config.electionMinMs);
}
