import { type Entry, logIndex, type Membership, type NodeId, type RaftRestored, type SnapshotMeta, term } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Doubt, RecoveredGroup } from "../log/types.ts";

export const emptyGroup: RecoveredGroup = {
  hardState: { term: term(0), vote: null as NodeId | null },
  floor: null,
  entries: [],
  commit: logIndex(0),
  mayVote: true,
  doubt: null,
  lostConfig: null,
};

/**
 * A group as Raft takes it up: the durable state at `snapshot`, and what the log says after it.
 *
 * @param founding Configuration where the log says nothing of one: nobody on a node that joined.
 */
export function assemble(
  founding: Membership,
  recovered: RecoveredGroup | undefined,
  snapshot: SnapshotMeta | null,
  now: number,
  doubt: Doubt | null,
): RaftRestored {
  const group = recovered ?? emptyGroup;
  const base = snapshot?.index ?? logIndex(0);
  const entries = entriesAfter(group.entries, snapshot);
  const last = entries.at(-1)?.index ?? base;
  return {
    now,
    hardState: knownTerm(group, snapshot),
    snapshot,
    membership: snapshot?.membership ?? founding,
    membershipIndex: snapshot?.membershipIndex ?? logIndex(0),
    entries,
    commit: logIndex(Math.max(base, Math.min(group.commit, last))),
    applied: base,
    mayVote: doubt === null,
    onlyTornTail: doubt === "torn-tail",
    newcomer: doubt === "newcomer",
  };
}

/**
 * A crash between adopting a leader's snapshot and the write that made its term durable: that term is known all the same, and nothing was
 * promised in it, for a vote leaves this node only after it is durable (rule W2).
 */
function knownTerm(group: RecoveredGroup, snapshot: SnapshotMeta | null): RecoveredGroup["hardState"] {
  const seen = Math.max(snapshot?.term ?? 0, group.floor?.term ?? 0);
  if (seen <= group.hardState.term || mutant("host-term-of-the-log-only")) return group.hardState;
  return { term: term(seen), vote: null };
}

/** Do the entries go on where the snapshot ends? */
export function connects(entries: readonly Entry[], snapshot: SnapshotMeta): boolean {
  const first = entries[0];
  if (first === undefined || first.index > snapshot.index + 1) return false;
  return first.index === snapshot.index + 1 || entries[snapshot.index - first.index]?.term === snapshot.term;
}

function entriesAfter(entries: readonly Entry[], snapshot: SnapshotMeta | null): readonly Entry[] {
  if (snapshot === null) return entries;
  return connects(entries, snapshot) ? entries.slice(snapshot.index + 1 - (entries[0]?.index ?? 0)) : [];
}
