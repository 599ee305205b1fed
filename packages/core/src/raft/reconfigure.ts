import type { LogIndex } from "../kernel/brand.ts";
import { mutant } from "#mutation";
import { commitByQuorum } from "./commit.ts";
import { appendMembership } from "./leader-log.ts";
import { changeMembership } from "./membership.ts";
import type { RaftState } from "./state.ts";
import type { MembershipChange } from "./types.ts";

/** A configuration change asked of this node: carried out, or refused with a reason that people can act on (rule G4). */
export function proposeChange(s: RaftState, change: MembershipChange, expectedIndex: LogIndex | null): void {
  const { leadership } = s;
  const obstacle = obstacleTo(s, expectedIndex);
  if (leadership === null || obstacle !== null) {
    refuse(s, obstacle ?? "this node is not the leader");
    return;
  }
  const outcome = changeMembership(s.membership, change);
  if (outcome.type === "refused") {
    refuse(s, outcome.reason);
    return;
  }
  appendMembership(s, leadership, outcome.membership);
  // A smaller quorum may commit at once what the larger one was waiting for.
  commitByQuorum(s, leadership);
}

function obstacleTo(s: RaftState, expectedIndex: LogIndex | null): string | null {
  if (s.leadership === null) return "this node is not the leader";
  // Its entry would come after all that the target waits for.
  if (s.transfer !== null && !mutant("raft-change-during-transfer")) return `leadership is being transferred to ${s.transfer.to}`;
  // Before that, an uncommitted change of an earlier leader may still be out there, without a common majority (mutant 20).
  if (!s.ownTermCommitted && !mutant("raft-20-change-before-own-term-commit"))
    return "the leader has not committed an entry of its term yet";
  // Two at a time, and their majorities need not meet (thesis §4.1).
  if (s.membershipIndex > s.commit && !mutant("raft-change-upon-change"))
    return `the change at index ${s.membershipIndex} is not committed yet`;
  if (expectedIndex !== null && expectedIndex !== s.membershipIndex && !mutant("raft-change-of-another-configuration")) {
    return `the configuration is at index ${s.membershipIndex}, not at ${expectedIndex} as expected`;
  }
  return null;
}

function refuse(s: RaftState, reason: string): void {
  s.out.notices.push({ type: "membership-refused", reason });
}
