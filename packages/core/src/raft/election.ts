import { logIndex, term } from "../kernel/brand.ts";
import type { LogIndex, NodeId, Term } from "../kernel/brand.ts";
import { mutant } from "#mutation";
import { beginComparison, reachesFloor } from "./compare.ts";
import { appendAsLeader, appendMembership, followMembership } from "./leader-log.ts";
import { reaches } from "./log-end.ts";
import { isVoter, votersOf } from "./membership.ts";
import { jointVote } from "./quorum.ts";
import { becomeFollower, changeRole, enterTerm, hearsLeader, resetElectionTimer, setLeader } from "./role.ts";
import { isWhole, mayVote } from "./recovery.ts";
import { nextBeat } from "./read-index.ts";
import { Leadership } from "./state.ts";
import type { RaftState } from "./state.ts";
import type { TimeoutNow, VoteReply, VoteRequest } from "./types.ts";

const noPayload: Uint8Array = new Uint8Array(0);

/** No leader was heard for an election timeout (§5.2): ask first whether an election could be won (PreVote, thesis §9.6). */
export function onElectionTimeout(s: RaftState, reason: string): void {
  reportFailure(s);
  resetElectionTimer(s);
  if (!mayCampaign(s)) {
    if (s.role !== "follower") becomeFollower(s, s.term, null, "may not campaign");
    else setLeader(s, null);
    beginComparison(s);
    return;
  }
  if (mutant("raft-40-no-prevote")) {
    startElection(s, reason, false);
    return;
  }
  changeRole(s, "pre-candidate", reason, null);
  s.votes.clear();
  setLeader(s, null);
  s.votes.set(s.self, true);
  askForVotes(s, true, term(s.term + 1), false);
  decide(s);
}

/** The leader asks this node to take over (thesis §3.10): no PreVote, and stickiness does not apply. */
export function onTimeoutNow(s: RaftState, message: TimeoutNow): void {
  if (s.role !== "leader" && mayCampaign(s)) startElection(s, `asked to by ${message.from}`, true);
}

/** RequestVote, receiver implementation (Figure 2), with PreVote and stickiness (thesis §4.2.3). Handles terms by itself. */
export function onVoteRequest(s: RaftState, message: VoteRequest): void {
  if (message.term < s.term) {
    reply(s, message, false, s.term);
    return;
  }
  if (message.term > s.term) {
    // Whoever hears a leader neither votes nor lets its term be raised: a node that was cut off or removed cannot disrupt (mutant 40).
    if (hearsLeader(s) && !message.transfer && !mutant("raft-40-no-stickiness")) {
      reply(s, message, false, s.term);
      return;
    }
    if (!message.pre) becomeFollower(s, message.term, null, `${message.from} campaigns in a later term`);
  }
  const free = message.pre ? message.term > s.term || canVoteFor(s, message.from) : canVoteFor(s, message.from);
  // Being no voter in our own view is no reason to refuse: we may not have heard yet that we are one (mutant 19).
  const known = !mutant("raft-19-learner-refuses-to-vote") || s.isVoter;
  const { lastIndex, lastTerm } = message;
  const logIsGood = upToDate(s, lastIndex, lastTerm) && reachesFloor(s, { index: lastIndex, term: lastTerm });
  const granted = free && known && mayVote(s) && logIsGood;
  if (granted && !message.pre) {
    s.vote = message.from;
    s.out.hardState = true;
    resetElectionTimer(s);
  }
  reply(s, message, granted, granted ? message.term : s.term);
}

export function onVoteReply(s: RaftState, message: VoteReply): void {
  const expected = message.pre ? "pre-candidate" : "candidate";
  if (s.role !== expected) return;
  // A granted PreVote names the term we asked for; one for an earlier attempt says nothing about this one.
  if (message.granted && message.term !== (message.pre ? s.term + 1 : s.term)) return;
  // A set, not a count: a repeated reply is still one vote (mutant 5).
  if (mutant("raft-05-votes-counted") && s.votes.has(message.from)) countTwice(s, message);
  else if (!s.votes.has(message.from)) s.votes.set(message.from, message.granted);
  decide(s);
}

/** The candidate's own vote counts when it is on disk, like everyone's (mutant 7). */
export function onOwnVoteDurable(s: RaftState): void {
  if (s.role !== "candidate" || s.cursors.durableTerm !== s.term || s.cursors.durableVote !== s.self) return;
  if (s.votes.has(s.self)) return;
  s.votes.set(s.self, true);
  decide(s);
}

/** A voter whose state and disk are sound, whose disk keeps up, and whose log is not just being replaced. */
export function mayCampaign(s: RaftState): boolean {
  return isElectable(s) && s.mayLead && isWhole(s) && s.installing === null && !s.diskStalled;
}

/**
 * While the configuration that removes a voter is not committed, it must still stand: it may hold the longest log, without which the
 * others cannot elect anyone (thesis §4.2.2). It then leads until that configuration is committed, and is no part of the quorum.
 */
function isElectable(s: RaftState): boolean {
  if (s.isVoter) return true;
  if (s.membershipIndex <= s.commit || mutant("raft-removed-voter-does-not-stand")) return false;
  return isVoter(s.history.at(s.commit).membership, s.self);
}

function startElection(s: RaftState, reason: string, transfer: boolean): void {
  enterTerm(s, term(s.term + 1));
  s.vote = s.self;
  changeRole(s, "candidate", reason, null);
  s.votes.clear();
  setLeader(s, null);
  resetElectionTimer(s);
  if (mutant("raft-07-own-vote-before-fsync")) s.votes.set(s.self, true);
  askForVotes(s, false, s.term, transfer);
  decide(s);
}

function askForVotes(s: RaftState, pre: boolean, asked: Term, transfer: boolean): void {
  const { lastIndex, lastTerm } = s.log;
  for (const to of votersOf(s.membership)) {
    if (to === s.self) continue;
    const request: VoteRequest = { type: "vote", from: s.self, to, term: asked, pre, transfer, lastIndex, lastTerm };
    // A real request waits for term, vote and log to be durable: after a crash the same term must not be campaigned in with a shorter log.
    if (pre || mutant("raft-07-own-vote-before-fsync")) s.out.now.push(request);
    else s.out.durable.push(request);
  }
}

function decide(s: RaftState): void {
  const result = jointVote(s.membership, (id) => s.votes.get(id) ?? null);
  if (result === "pending") return;
  if (result === "lost") {
    reportFailure(s);
    becomeFollower(s, s.term, null, "a quorum refused");
  } else if (s.role === "pre-candidate") startElection(s, "a quorum would vote for this node", false);
  else becomeLeader(s);
}

function becomeLeader(s: RaftState): void {
  changeRole(s, "leader", "elected by a quorum", s.self);
  setLeader(s, s.self);
  const leadership = new Leadership(logIndex(s.log.lastIndex + 1), s.now, s.config.electionMaxMs);
  leadership.nextHeartbeatAt = nextBeat(s);
  s.leadership = leadership;
  for (let index = s.commit + 1; index <= s.log.lastIndex; index++) {
    leadership.uncommittedBytes += s.log.entryAt(logIndex(index))?.payload.length ?? 0;
  }
  // An entry of its own term, so that the leader learns what is committed (§8) and may count (§5.4.2). The first one writes the founding
  // configuration down: a member that lost its disk is refilled from the log, and must learn from it who the members are.
  if (s.membershipIndex === 0) appendMembership(s, leadership, s.membership);
  else appendAsLeader(s, leadership, "noop", noPayload);
  followMembership(s, leadership);
}

/** §5.4.1: the later last term wins; within one term, the longer log (mutant 6). */
function upToDate(s: RaftState, lastIndex: LogIndex, lastTerm: Term): boolean {
  if (mutant("raft-06-up-to-date-by-index")) return lastIndex >= s.log.lastIndex;
  return reaches({ term: lastTerm, index: lastIndex }, { term: s.log.lastTerm, index: s.log.lastIndex });
}

function canVoteFor(s: RaftState, candidate: NodeId): boolean {
  return s.vote === candidate || (s.vote === null && s.leader === null);
}

function reply(s: RaftState, request: VoteRequest, granted: boolean, inTerm: Term): void {
  const message: VoteReply = { type: "vote-reply", from: s.self, to: request.from, term: inTerm, pre: request.pre, granted };
  // A vote given must survive a crash before anybody hears of it (mutant 2). A PreVote promises nothing.
  if (request.pre || mutant("raft-02-vote-reply-before-durable")) s.out.now.push(message);
  else s.out.durable.push(message);
}

/** For people: who did not answer and who said no. */
function reportFailure(s: RaftState): void {
  if (s.role !== "pre-candidate" && s.role !== "candidate") return;
  const silent: NodeId[] = [];
  const refused: NodeId[] = [];
  for (const id of votersOf(s.membership)) {
    const vote = s.votes.get(id);
    if (vote === undefined) silent.push(id);
    else if (!vote) refused.push(id);
  }
  s.out.notices.push({ type: "election-failed", term: s.term, silent, refused });
}

function countTwice(s: RaftState, message: VoteReply): void {
  const silent = votersOf(s.membership).find((id) => !s.votes.has(id));
  if (silent !== undefined) s.votes.set(silent, message.granted);
}
