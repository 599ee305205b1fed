import { logIndex } from "../kernel/brand.ts";
import type { LogIndex, NodeId, Term } from "../kernel/brand.ts";
import type { RaftGroup } from "../raft/group.ts";
import type { Entry, RaftMessage, Role } from "../raft/types.ts";
import { commitMonotone, commitWithinLog, matchWithinLog, oneLeaderPerTerm, oneVotePerTerm, termMonotone } from "./raft.ts";
import type { RaftInvariant } from "./raft.ts";

export interface RaftViolation {
  readonly invariant: RaftInvariant;
  readonly detail: string;
}

interface NodeMemory {
  term: Term;
  vote: NodeId | null;
  role: Role;
  commit: LogIndex;
  /** Committed entries of this node up to here were compared with everybody's. */
  compared: LogIndex;
}
interface Committed {
  readonly entry: Entry;
  /** Lowest term in which a node was seen to consider it committed. */
  readonly inTerm: Term;
}

const everything = Number.MAX_SAFE_INTEGER;

/** Watches all members of one group for as long as a simulation runs. Call `check` after every step. */
export class RaftChecker {
  private readonly votes = new Map<string, NodeId>();
  private readonly leaders = new Map<Term, NodeId>();
  private readonly committed = new Map<LogIndex, Committed>();
  private readonly nodes = new Map<NodeId, NodeMemory>();
  private highestCommitted: LogIndex = logIndex(0);

  /** Highest index that any node has considered committed. */
  get lastCommitted(): LogIndex {
    return this.highestCommitted;
  }

  /** The entry committed at `index`, if it was seen. */
  committedAt(index: LogIndex): Entry | null {
    return this.committed.get(index)?.entry ?? null;
  }

  /** The node lost its memory: what was not durable may be undone. */
  restarted(node: NodeId): void {
    this.nodes.delete(node);
  }

  /**
   * Its disk was replaced by an empty one. It is a new replica under an old name (rule G5), bound by nothing that the old one said; that there
   * are no two leaders in a term must hold all the same.
   */
  replaced(node: NodeId): void {
    this.restarted(node);
    for (const key of this.votes.keys()) if (key.startsWith(`${node} `)) this.votes.delete(key);
  }

  /** Call with every message that leaves a node: what others were told binds a node also across restarts. */
  sent(message: RaftMessage): readonly RaftViolation[] {
    if (message.type === "append" || message.type === "heartbeat") {
      const known = this.leaders.get(message.term);
      this.leaders.set(message.term, message.from);
      if (!oneLeaderPerTerm(known, message.from)) {
        return [{ invariant: "raft-one-leader-per-term", detail: `${known} and ${message.from} in ${message.term}` }];
      }
    } else if (message.type === "vote-reply" && message.granted && !message.pre) {
      const key = `${message.from} ${message.term}`;
      const known = this.votes.get(key) ?? null;
      this.votes.set(key, message.to);
      if (!oneVotePerTerm(known, message.to)) {
        return [{ invariant: "raft-one-vote-per-term", detail: `${message.from} in ${message.term}: ${known} then ${message.to}` }];
      }
    }
    return [];
  }

  /** Compares the members that `touched` names (default: all) with everything seen so far. */
  check(groups: Iterable<RaftGroup>): readonly RaftViolation[] {
    const violations: RaftViolation[] = [];
    const report = (invariant: RaftInvariant, detail: string): void => void violations.push({ invariant, detail });
    for (const group of groups) this.checkNode(group, report);
    return violations;
  }

  private checkNode(group: RaftGroup, report: (invariant: RaftInvariant, detail: string) => void): void {
    const { self, term, vote, role, commitIndex, lastIndex, durableIndex } = group;
    const before = this.nodes.get(self);
    if (before !== undefined) {
      if (!termMonotone(before.term, term)) report("raft-term-monotone", `${self}: ${before.term} then ${term}`);
      if (before.term === term && !oneVotePerTerm(before.vote, vote)) {
        report("raft-one-vote-per-term", `${self} in ${term}: ${before.vote} then ${vote}`);
      }
      if (!commitMonotone(before.commit, commitIndex)) report("raft-commit-monotone", `${self}: ${before.commit} then ${commitIndex}`);
    }
    if (!commitWithinLog(commitIndex, lastIndex)) report("raft-commit-within-log", `${self}: ${commitIndex} of ${lastIndex}`);
    if (durableIndex > lastIndex) report("raft-durable-within-log", `${self}: ${durableIndex} of ${lastIndex}`);
    if (role === "leader") this.checkLeader(group, before?.role !== "leader" || before.term !== term, report);
    const compared = this.compareCommitted(group, before?.compared ?? logIndex(0), report);
    this.nodes.set(self, { term, vote, role, commit: commitIndex, compared });
  }

  private checkLeader(group: RaftGroup, fresh: boolean, report: (invariant: RaftInvariant, detail: string) => void): void {
    const { self, term, lastIndex } = group;
    const known = this.leaders.get(term);
    if (!oneLeaderPerTerm(known, self)) report("raft-one-leader-per-term", `${known} and ${self} in ${term}`);
    this.leaders.set(term, self);
    for (const { peer, match } of group.progress()) {
      if (!matchWithinLog(match, lastIndex)) report("raft-match-within-log", `${self} of ${peer}: ${match} > ${lastIndex}`);
    }
    if (!fresh) return;
    for (const [index, { entry, inTerm }] of this.committed) {
      if (inTerm >= term || index < group.firstIndex) continue;
      if (group.termAt(index) !== entry.term) {
        report("raft-leader-completeness", `${self} in ${term} lacks ${index} of ${entry.term}, committed in ${inTerm}`);
        return;
      }
    }
  }

  private compareCommitted(group: RaftGroup, compared: LogIndex, report: (invariant: RaftInvariant, detail: string) => void): LogIndex {
    const { self, term, commitIndex } = group;
    if (commitIndex <= compared) return compared;
    for (const entry of group.entries(logIndex(compared + 1), commitIndex, everything)) {
      const known = this.committed.get(entry.index);
      if (known === undefined) this.committed.set(entry.index, { entry, inTerm: term });
      else if (!sameEntry(known.entry, entry)) {
        report("raft-committed-agree", `${self} at ${entry.index}: term ${entry.term}, elsewhere ${known.entry.term}`);
      } else if (term < known.inTerm) this.committed.set(entry.index, { entry, inTerm: term });
    }
    if (commitIndex > this.highestCommitted) this.highestCommitted = commitIndex;
    return commitIndex;
  }
}

/** Log matching (Figure 3): null, or where two logs that share an entry differ before it. */
export function logMismatch(a: RaftGroup, b: RaftGroup): string | null {
  const first = Math.max(a.firstIndex, b.firstIndex);
  let meet = false;
  for (let index = Math.min(a.lastIndex, b.lastIndex); index >= first; index--) {
    const mine = a.entries(logIndex(index), logIndex(index), everything)[0];
    const theirs = b.entries(logIndex(index), logIndex(index), everything)[0];
    if (mine === undefined || theirs === undefined) return null;
    if (mine.term === theirs.term) meet = true;
    if (meet && !sameEntry(mine, theirs)) return `${a.self} and ${b.self} differ at ${index} below an equal entry`;
  }
  return null;
}

export function sameEntry(a: Entry, b: Entry): boolean {
  if (a.index !== b.index || a.term !== b.term || a.kind !== b.kind || a.payload.length !== b.payload.length) return false;
  return a.payload === b.payload || a.payload.every((byte, at) => byte === b.payload[at]);
}
