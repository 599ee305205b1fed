import type { NodeId } from "../kernel/brand.ts";
import { raftLimits } from "../kernel/limits.ts";
import type { Membership, MembershipChange } from "./types.ts";

export const emptyMembership: Membership = { voters: [], outgoing: [], learners: [], learnersNext: [], autoLeave: false };

export function isJoint(membership: Membership): boolean {
  return membership.outgoing.length > 0;
}

/** Counts in one of the halves. */
export function isVoter(membership: Membership, node: NodeId): boolean {
  return membership.voters.includes(node) || membership.outgoing.includes(node);
}

export function isLearner(membership: Membership, node: NodeId): boolean {
  return membership.learners.includes(node);
}

/** Everybody the leader replicates to, in byte order. */
export function membersOf(membership: Membership): readonly NodeId[] {
  return sorted(new Set([...membership.voters, ...membership.outgoing, ...membership.learners, ...membership.learnersNext]));
}

/** Voters of both halves, in byte order. */
export function votersOf(membership: Membership): readonly NodeId[] {
  return isJoint(membership) ? sorted(new Set([...membership.voters, ...membership.outgoing])) : membership.voters;
}

export type ChangeOutcome =
  | { readonly type: "changed"; readonly membership: Membership }
  | { readonly type: "refused"; readonly reason: string };

/**
 * The configuration that `change` leads to. One voter more or less (or learners only) goes in a single step, which is safe because old
 * and new majorities overlap (thesis §4.1); anything larger goes through a joint configuration that leaves by itself (thesis §4.3).
 * A change that names nobody asks to leave the joint phase.
 */
export function changeMembership(current: Membership, change: MembershipChange): ChangeOutcome {
  const asked = change.addVoters.length + change.addLearners.length + change.remove.length;
  if (isJoint(current)) {
    if (asked === 0) return leaveJoint(current);
    return refused("a configuration change is under way: the joint phase has not ended");
  }
  if (asked === 0) return refused("the change names no node");
  const problem = problemWith(current, change);
  if (problem !== null) return refused(problem);
  const target = targetOf(current, change);
  if (sameMembership(current, target)) return refused("the change changes nothing");
  if (membersOf(target).length > raftLimits.members) return refused(`more than ${raftLimits.members} members`);
  return votersChanged(current.voters, target.voters) <= 1 ? changeAtOnce(current, target) : enterJoint(current, target, true);
}

/** From one plain configuration to another in a single step. */
export function changeAtOnce(current: Membership, target: Membership): ChangeOutcome {
  if (isJoint(current)) return refused("in a joint phase only leaving it is possible");
  if (target.voters.length === 0) return refused("the change would leave no voter");
  if (votersChanged(current.voters, target.voters) > 1) return refused("more than one voter changes without a joint phase");
  return changed(target);
}

/** From the plain configuration `current` into the joint one that leads to the plain configuration `target`. */
export function enterJoint(current: Membership, target: Membership, autoLeave: boolean): ChangeOutcome {
  if (isJoint(current)) return refused("the configuration is joint already");
  if (current.voters.length === 0) return refused("there is no voter to go from");
  if (target.voters.length === 0) return refused("the change would leave no voter");
  const stillVoting = new Set(current.voters);
  return changed({
    voters: target.voters,
    outgoing: current.voters,
    // A voter of the outgoing half cannot be a learner at once: it becomes one when the joint phase ends.
    learners: target.learners.filter((id) => !stillVoting.has(id)),
    learnersNext: target.learners.filter((id) => stillVoting.has(id)),
    autoLeave,
  });
}

export function leaveJoint(joint: Membership): ChangeOutcome {
  if (!isJoint(joint)) return refused("there is no joint phase to leave");
  return changed({
    voters: joint.voters,
    outgoing: [],
    learners: sorted(new Set([...joint.learners, ...joint.learnersNext])),
    learnersNext: [],
    autoLeave: false,
  });
}

/** `change` carried out at once, without asking whether it may be. */
export function targetOf(current: Membership, change: MembershipChange): Membership {
  const voters = new Set(current.voters);
  const learners = new Set(current.learners);
  for (const id of change.addVoters) {
    learners.delete(id);
    voters.add(id);
  }
  for (const id of change.addLearners) {
    voters.delete(id);
    learners.add(id);
  }
  for (const id of change.remove) {
    voters.delete(id);
    learners.delete(id);
  }
  return { voters: sorted(voters), outgoing: [], learners: sorted(learners), learnersNext: [], autoLeave: false };
}

/** How many nodes enter or leave the set of voters. */
export function votersChanged(from: readonly NodeId[], to: readonly NodeId[]): number {
  const left = from.filter((id) => !to.includes(id)).length;
  const entered = to.filter((id) => !from.includes(id)).length;
  return left + entered;
}

export function sameMembership(a: Membership, b: Membership): boolean {
  return (
    sameIds(a.voters, b.voters) &&
    sameIds(a.outgoing, b.outgoing) &&
    sameIds(a.learners, b.learners) &&
    sameIds(a.learnersNext, b.learnersNext) &&
    a.autoLeave === b.autoLeave
  );
}

/** What every configuration must satisfy; null, or what is wrong with this one. */
export function membershipProblem(membership: Membership): string | null {
  const { voters, outgoing, learners, learnersNext, autoLeave } = membership;
  for (const list of [voters, outgoing, learners, learnersNext]) {
    if (new Set(list).size !== list.length) return "a node is listed twice";
  }
  if (voters.length === 0 && (outgoing.length > 0 || learners.length > 0)) return "there is no voter";
  if (learners.some((id) => isVoter(membership, id))) return "a voter is a learner too";
  if (learnersNext.some((id) => !outgoing.includes(id))) return "a node is to become a learner but is no outgoing voter";
  if (learnersNext.some((id) => voters.includes(id))) return "a node is to become a learner but is an incoming voter";
  if (outgoing.length === 0 && (learnersNext.length > 0 || autoLeave)) return "joint fields outside the joint phase";
  return null;
}

function problemWith(current: Membership, change: MembershipChange): string | null {
  const named = [...change.addVoters, ...change.addLearners, ...change.remove];
  const seen = new Set<NodeId>();
  for (const id of named) {
    if (id === "") return "a node without a name";
    if (seen.has(id)) return `${id} is named twice`;
    seen.add(id);
  }
  const unknown = change.remove.find((id) => !membersOf(current).includes(id));
  return unknown === undefined ? null : `${unknown} is not a member`;
}

function changed(membership: Membership): ChangeOutcome {
  return { type: "changed", membership };
}

function refused(reason: string): ChangeOutcome {
  return { type: "refused", reason };
}

function sameIds(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}

/** One order everywhere, so that equal configurations are encoded equally. */
function sorted(ids: Iterable<NodeId>): readonly NodeId[] {
  return [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}
