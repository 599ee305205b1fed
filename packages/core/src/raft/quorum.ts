import { logIndex } from "../kernel/brand.ts";
import type { LogIndex, NodeId } from "../kernel/brand.ts";
import { mutant } from "#mutation";

/** The two halves of a configuration; `outgoing` is empty outside the joint phase. */
export interface QuorumConfig {
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
}

export type VoteResult = "won" | "pending" | "lost";

export function majority(size: number): number {
  return (size >> 1) + 1;
}

/** The largest value that a majority of `ids` has reached; Infinity for no ids, so that an empty half decides nothing. */
export function majorityValue(ids: readonly NodeId[], valueOf: (id: NodeId) => number): number {
  if (ids.length === 0) return Infinity;
  const values: number[] = [];
  for (const id of ids) {
    const value = valueOf(id);
    if (mutant("raft-17-unsorted-quorum")) {
      values.push(value);
      continue;
    }
    let at = values.length;
    // Insertion sort, largest first: configurations are tiny, and this runs once per acknowledgement.
    while (at > 0 && (values[at - 1] ?? 0) < value) at--;
    values.splice(at, 0, value);
  }
  return values[majority(ids.length) - 1] ?? 0;
}

/** In the joint phase a majority of *each* half must agree (thesis §4.3); counting the union is mutant 16. */
export function jointValue(config: QuorumConfig, valueOf: (id: NodeId) => number): number {
  if (mutant("raft-16-joint-quorum-on-union")) return majorityValue(unionOf(config), valueOf);
  return Math.min(majorityValue(config.voters, valueOf), majorityValue(config.outgoing, valueOf));
}

/** Highest index known to be stored by a quorum. */
export function committedIndex(config: QuorumConfig, matchOf: (id: NodeId) => number): LogIndex {
  const index = jointValue(config, matchOf);
  return logIndex(index === Infinity ? 0 : index);
}

/** Three-valued, so that a lost election ends at once. `voteOf` answers null for nodes not heard from. */
export function majorityVote(ids: readonly NodeId[], voteOf: (id: NodeId) => boolean | null): VoteResult {
  if (ids.length === 0) return "won";
  let yes = 0;
  let missing = 0;
  for (const id of ids) {
    const vote = voteOf(id);
    if (vote === null) missing++;
    else if (vote) yes++;
  }
  const needed = majority(ids.length);
  if (yes >= needed) return "won";
  return yes + missing >= needed ? "pending" : "lost";
}

export function jointVote(config: QuorumConfig, voteOf: (id: NodeId) => boolean | null): VoteResult {
  if (mutant("raft-16-joint-quorum-on-union")) return majorityVote(unionOf(config), voteOf);
  const incoming = majorityVote(config.voters, voteOf);
  const outgoing = majorityVote(config.outgoing, voteOf);
  if (incoming === outgoing) return incoming;
  return incoming === "lost" || outgoing === "lost" ? "lost" : "pending";
}

function unionOf(config: QuorumConfig): readonly NodeId[] {
  return [...new Set([...config.voters, ...config.outgoing])];
}
