import type { LogIndex, NodeId, Term } from "../kernel/brand.ts";

/**
 * What must hold in a Raft group at every moment (Figure 3 and what follows from it), as named predicates. The core asserts those that one
 * node can see; RaftChecker applies all of them across nodes in the simulator.
 */
export const raftInvariants = {
  "raft-term-monotone": "a node's term never falls",
  "raft-one-vote-per-term": "a node votes for at most one candidate in a term",
  "raft-one-leader-per-term": "a term has at most one leader",
  "raft-log-matching": "entries of equal index and term are equal, and so is everything before them",
  "raft-leader-completeness": "a leader's log holds every entry that was committed in an earlier term",
  "raft-commit-monotone": "a commit index never falls while the node runs",
  "raft-commit-within-log": "a commit index is at most the last index",
  "raft-committed-agree": "no two nodes commit different entries at one index",
  "raft-committed-truncated": "a committed entry is never truncated",
  "raft-match-within-log": "a leader believes of no peer more than it has itself",
  "raft-durable-within-log": "what counts as durable is in the log",
} as const;
export type RaftInvariant = keyof typeof raftInvariants;

export function termMonotone(before: Term, after: Term): boolean {
  return after >= before;
}

export function oneVotePerTerm(before: NodeId | null, after: NodeId | null): boolean {
  return before === null || before === after;
}

export function oneLeaderPerTerm(known: NodeId | null | undefined, claims: NodeId): boolean {
  return known === null || known === undefined || known === claims;
}

export function commitMonotone(before: LogIndex, after: LogIndex): boolean {
  return after >= before;
}

export function commitWithinLog(commit: LogIndex, lastIndex: LogIndex): boolean {
  return commit <= lastIndex;
}

/** May the log be cut from `from` on? */
export function committedKept(from: LogIndex, commit: LogIndex): boolean {
  return from > commit;
}

export function matchWithinLog(match: LogIndex, lastIndex: LogIndex): boolean {
  return match <= lastIndex;
}
