import type { NodeId } from "@trivet/core";
import type { QuorumConfig } from "../../src/raft/quorum.ts";

/** Brute force: no sorting, no arithmetic on positions. */
const halvesOf = (config: QuorumConfig): readonly (readonly NodeId[])[] =>
  [config.voters, config.outgoing].filter((half) => half.length > 0);
const isMajority = (count: number, half: readonly NodeId[]): boolean => count * 2 > half.length;

export function quorumCommitted(config: QuorumConfig, matchOf: (id: NodeId) => number): number {
  const halves = halvesOf(config);
  let best = 0;
  for (const candidate of halves.flat().map(matchOf)) {
    if (halves.every((half) => isMajority(half.filter((id) => matchOf(id) >= candidate).length, half))) best = Math.max(best, candidate);
  }
  return best;
}

export function quorumVote(config: QuorumConfig, voteOf: (id: NodeId) => boolean | null): "won" | "pending" | "lost" {
  const halves = halvesOf(config);
  if (halves.every((half) => isMajority(half.filter((id) => voteOf(id) === true).length, half))) return "won";
  return halves.every((half) => isMajority(half.filter((id) => voteOf(id) !== false).length, half)) ? "pending" : "lost";
}
