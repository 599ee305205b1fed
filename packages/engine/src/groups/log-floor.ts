import type { LogIndex, RaftGroup, SnapshotMeta } from "@trivet/core";
import type { Floor } from "../log/types.ts";
import type { GroupHost } from "./group-host.ts";

/** Entries behind what is durable by itself stay for lagging followers, up to `retainBytes` (rule W1). */
export function keptFrom(raft: RaftGroup, index: LogIndex, retainBytes: number): LogIndex {
  return raft.stretchTo(index, retainBytes);
}

export function floorOf(group: GroupHost, { index, membership, membershipIndex, term }: SnapshotMeta, keepFrom: LogIndex): Floor {
  return { group: group.id, index, term, membership, membershipIndex, keepFrom };
}

/** The configuration in force at an index that was given to the machine: what a state of then carries (mutant 23). */
export function membershipAt(group: GroupHost, index: LogIndex): Pick<SnapshotMeta, "membership" | "membershipIndex"> {
  const { appliedIndex, appliedMembership, appliedMembershipIndex, raft } = group;
  if (index === appliedIndex) return { membership: appliedMembership, membershipIndex: appliedMembershipIndex };
  const { membership, index: membershipIndex } = raft.membershipAt(index);
  return { membership, membershipIndex };
}
