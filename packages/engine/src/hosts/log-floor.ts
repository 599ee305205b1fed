import { type LogIndex, logIndex, type RaftGroup, type SnapshotMeta } from "@trivet/core";
import type { Floor } from "../log/types.ts";
import type { GroupHost } from "./group-host.ts";

/** Entries behind what is durable by itself stay for lagging followers, up to `retainBytes` (rule W1). */
export function keptFrom(raft: RaftGroup, index: LogIndex, retainBytes: number): LogIndex {
  let bytes = 0;
  let from = index + 1;
  while (from > raft.firstIndex) {
    const [entry] = raft.entries(logIndex(from - 1), logIndex(from - 1), 1);
    if (entry === undefined) break;
    bytes += entry.payload.length + 32;
    if (bytes > retainBytes) break;
    from -= 1;
  }
  return logIndex(from);
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
