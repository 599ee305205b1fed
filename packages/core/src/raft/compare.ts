import type { NodeId } from "../kernel/brand.ts";
import { logIndex, term } from "../kernel/brand.ts";
import { mutant } from "#mutation";
import { reaches } from "./log-end.ts";
import type { LogEnd } from "./log-end.ts";
import { finishRecovery } from "./recovery.ts";
import { becomeFollower, enterTerm, hearsLeader, resetElectionTimer } from "./role.ts";
import { isVoter } from "./membership.ts";
import type { Comparison, RaftState, Recovery } from "./state.ts";
import type { CompareReply, CompareRequest, KnownConfiguration, LostState } from "./types.ts";

/*
 * Rule W3. A node that cut more than a partial record off the end of its log may have forgotten a vote and entries it had acknowledged, so
 * it waits for a leader (recovery.ts). After a power loss of the whole cluster a majority may be in that state, and then nobody is elected.
 * So, when it hears no leader for an election timeout, it asks *every* member where its log ends, and takes part again when all have said:
 *
 * - It first asks without binding anybody (`pre`, like PreVote): a member that is away, hears a leader, or is damaged itself ends the attempt
 *   there, and nobody's term was raised.
 * - Then it enters a term N later than all it was told and asks again. A member answers only when N is later than its own term, enters N, and
 *   sends the answer when that is durable, and with it all its log held. That makes the answer a stable fact: no leader of a term before N can
 *   put anything into that log any more, whatever happens to the member later; and no candidate can still use a vote of a term before N, so
 *   the votes this node may have forgotten are void, and it votes in N and later terms only.
 * - The floor is the furthest end of all logs, its own included. From now on it votes for logs that reach the floor, and only stands with such
 *   a log itself. Let e be committed, and one member still have it when it answers. The floor is at or past e, so a log that reaches the floor
 *   ends with an entry of e's term not before e, or with one of a later term, whose leader had e. Either way that log has e. An e that was
 *   acknowledged later was acknowledged in a term from N on, by members that have it.
 * - Once its own durable log reaches the floor, its log speaks for the floor and all is as if nothing had been lost: notice `recovered`, and
 *   only then does the host record its trust. A restart before that compares anew. So does an election timeout, if by then no member's log
 *   reaches the floor: the one that did has lost its end, too, and what nobody has any more cannot be waited for.
 *
 * Every member means: of every configuration that anybody who answered knows, from the newest one that any of them knows to be committed.
 * Its own may be old. Learners are asked as well: this node may have forgotten that they became voters. A node that is no voter by its own
 * configuration, or the only member, does not compare. A member that lost more than its end may have lost anything: with it, nothing is
 * settled (rule W6), neither for it nor for others.
 */

/** No leader was heard for an election timeout. */
export function beginComparison(s: RaftState): void {
  const { recovery } = s;
  if (recovery === null || (!recovery.onlyTornTail && !mutant("raft-w3-damage-compared")) || !isVoter(s.membership, s.self)) return;
  if (recovery.comparison !== null) reportUnfinished(s, recovery.comparison);
  start(s, recovery, true);
}

/** May be asked by anyone: a member may not know that the sender is one. */
export function onCompare(s: RaftState, message: CompareRequest): void {
  // Whoever hears a leader stays with it: that leader will catch the sender up. A log that is being replaced ends nowhere.
  if (hearsLeader(s) || s.installing !== null) return;
  if (!message.pre) {
    const unfenced = mutant("raft-w3-answer-without-term");
    if (message.term <= s.term && !unfenced) return;
    if (!unfenced) becomeFollower(s, message.term, null, `${message.from} compares logs`);
    resetElectionTimer(s);
  }
  const { from, context, pre } = message;
  const { index: lastIndex, term: lastTerm } = endOf(s);
  const reply: CompareReply = {
    type: "compare-reply",
    from: s.self,
    to: from,
    term: s.term,
    context,
    lastIndex,
    lastTerm,
    lost: lostBy(s),
    configurations: s.history.from(s.commit),
  };
  if (pre || mutant("raft-w3-answer-before-durable")) s.out.now.push(reply);
  else s.out.durable.push(reply);
}

export function onCompareReply(s: RaftState, message: CompareReply): void {
  if (message.term > s.term) becomeFollower(s, message.term, null, `${message.from} is in a later term`);
  const { recovery } = s;
  const comparison = recovery?.comparison ?? null;
  if (recovery === null || comparison === null || comparison.context !== message.context) return;
  comparison.answers.set(message.from, message);
  proceed(s, recovery, comparison);
}

/** Has this log, or one like it, all that was committed and is left anywhere? */
export function reachesFloor(s: RaftState, log: LogEnd): boolean {
  const floor = s.recovery?.floor ?? null;
  return floor === null || reaches(log, floor) || mutant("raft-w3-floor-ignored");
}

function start(s: RaftState, recovery: Recovery, pre: boolean): void {
  // Later than the term of every answer: those were adopted as they came.
  if (!pre) {
    enterTerm(s, term(s.term + 1));
    resetElectionTimer(s);
  }
  const comparison: Comparison = { context: s.nextReadBatch++, pre, asked: new Set(), answers: new Map() };
  recovery.comparison = comparison;
  proceed(s, recovery, comparison);
}

/** Asks whoever is still to be asked, and draws the conclusion when all have answered. */
function proceed(s: RaftState, recovery: Recovery, comparison: Comparison): void {
  const { context, pre, asked, answers } = comparison;
  const members = membersToAsk(s, comparison);
  for (const to of members) {
    if (asked.has(to)) continue;
    asked.add(to);
    const request: CompareRequest = { type: "compare", from: s.self, to, term: pre ? term(s.term + 1) : s.term, pre, context };
    // The term it asks in must not be forgotten and used again.
    if (pre) s.out.now.push(request);
    else s.out.durable.push(request);
  }
  const answered = members.filter((id) => answers.has(id)).length;
  const enough = mutant("raft-w3-compared-with-some") ? answered * 2 >= members.length : answered === members.length;
  if (members.length === 0 || !enough) return;
  if ([...answers.values()].some((reply) => reply.lost === "more") && !mutant("raft-w3-damage-compared")) return;
  let furthest: LogEnd = endOf(s);
  for (const { lastIndex, lastTerm } of answers.values()) {
    const end = { term: lastTerm, index: lastIndex };
    if (reaches(end, furthest)) furthest = end;
  }
  if (pre) {
    // Somebody has what this node waits for. He is to be elected, not disturbed.
    if (recovery.floor === null || !reaches(furthest, recovery.floor)) start(s, recovery, false);
    return;
  }
  recovery.comparison = null;
  recovery.floor = furthest;
  s.out.notices.push({ type: "compared", lastIndex: furthest.index, lastTerm: furthest.term, members });
  finishRecovery(s);
}

/** Without this node, in the order of their configurations. */
function membersToAsk(s: RaftState, { answers }: Comparison): NodeId[] {
  const known: (readonly KnownConfiguration[])[] = [s.history.from(s.commit)];
  if (!mutant("raft-w3-old-configuration")) for (const { configurations } of answers.values()) known.push(configurations);
  // What is committed stands in every log that reaches the floor, so members of older configurations only no longer matter.
  const committed = Math.max(...known.map((list) => list[0]?.index ?? logIndex(0)));
  const members = new Set<NodeId>();
  for (const { index, membership } of known.flat()) {
    if (index < committed) continue;
    const { voters, outgoing, learners, learnersNext } = membership;
    for (const id of [...voters, ...outgoing, ...learners, ...learnersNext]) members.add(id);
  }
  members.delete(s.self);
  return [...members];
}

function endOf(s: RaftState): LogEnd {
  return { term: s.log.lastTerm, index: s.log.lastIndex };
}

function lostBy(s: RaftState): LostState {
  if (s.recovery === null) return "nothing";
  return s.recovery.onlyTornTail ? "tail" : "more";
}

/** For people: who stands in the way. */
function reportUnfinished(s: RaftState, comparison: Comparison): void {
  const { answers } = comparison;
  const silent = membersToAsk(s, comparison).filter((id) => !answers.has(id));
  const damaged = [...answers.values()].filter((reply) => reply.lost === "more").map((reply) => reply.from);
  if (silent.length + damaged.length > 0) s.out.notices.push({ type: "comparison-failed", silent, damaged });
}
