import {
  decodeMembershipPayload,
  type Entry,
  type LogIndex,
  logIndex,
  type Membership,
  nodeId,
  RaftChecker,
  type RaftGroup,
  type RaftMessage,
  sameEntry,
  type Term,
} from "@trivet/core";

import type { Machine, Running } from "../world/machine.ts";
import type { AnyGroupInspection } from "../world/program.ts";
import type { World } from "../world/world.ts";

/** What was last seen of one machine's node, to notice changes cheaply. */
interface Seen {
  raft: object | null;
  term: number;
  role: string;
  vote: string | null;
  commit: number;
  last: number;
  lastTerm: number;
  applied: number;
  /** Of its state, where a shard's is known without asking. */
  hash: string | null;
  durable: number;
  /** Entries up to here were compared with all others of the same index and term. */
  matched: number;
  /** Term of the last entry known to be on this machine's own disk, with its index: what would survive a power loss. */
  durableTerm: number;
}

const everything = Number.MAX_SAFE_INTEGER;

/** The committed log of a group, applied once more by a replica that never fails. */
export interface GoldenReplica {
  /** Where the log stopped being as it must; null = nowhere. */
  readonly wrong: string | null;
  append(entry: Entry, at: number): void;
  hashAt(index: number): string | null;
}

/** A configuration that a leader has put into its log. */
export interface Configured {
  readonly machine: string;
  readonly before: Membership;
  readonly after: Membership;
  /** Has the machine the entries up to the configuration of before on its disk, as far as was seen? */
  readonly has: (machine: string) => boolean;
}

/** Which group is watched, and how it is found on a machine that runs. */
export interface WatchedGroup {
  /** Before the names of machines in reports; empty for group 0. */
  readonly label: string;
  /** Of the totals. */
  readonly elections: string;
  readonly leaderChanges: string;
  find(running: Running): AnyGroupInspection | null;
  configured?(change: Configured): void;
  /** A running node has the group no more. */
  given?(machine: string): void;
}

/**
 * The invariants of one group across nodes, after every step: RaftChecker's, plus log matching entry by entry, one committed log, equal states
 * at equal indexes, and commits that are durable on a quorum at the moment they are known.
 */
export class GroupWatcher<Golden extends GoldenReplica> {
  readonly golden: Golden;
  private readonly world: World;
  private readonly watched: WatchedGroup;
  private readonly raft = new RaftChecker();
  private readonly seen = new Map<string, Seen>();
  private readonly entries = new Map<string, Entry>();
  private readonly committed: Entry[] = [];
  private leader: string | null = null;
  private reigns = new Set<string>();

  constructor(world: World, watched: WatchedGroup, golden: Golden) {
    this.world = world;
    this.watched = watched;
    this.golden = golden;
  }

  /** A Raft message leaves a node: what others were told binds it across restarts too. */
  sent(message: RaftMessage): void {
    const [violation] = this.raft.sent(message);
    if (violation !== undefined) this.world.fail(violation.invariant, `${this.watched.label}${violation.detail}`);
  }

  restarted(name: string): void {
    const seen = this.seen.get(name);
    if (seen !== undefined) seen.raft = null;
    this.raft.restarted(nodeId(name));
  }

  /** With an empty disk it is another replica under the same name (rule G5). */
  replaced(name: string): void {
    this.raft.replaced(nodeId(name));
  }

  /** Code of the machine's node ran. */
  look(machine: Machine): void {
    const { running } = machine;
    const group = running === null ? null : this.watched.find(running);
    if (group !== null) this.inspect(machine.name, group);
    else if (running !== null) this.missed(machine.name);
  }

  private missed(name: string): void {
    const seen = this.seen.get(name);
    if (seen === undefined || seen.raft === null) return;
    seen.raft = null;
    this.watched.given?.(name);
  }

  private fail(invariant: string, detail: string): void {
    this.world.fail(invariant, `${this.watched.label}${detail}`);
  }

  private inspect(name: string, group: AnyGroupInspection): void {
    const { raft } = group;
    let seen = this.seen.get(name);
    if (seen === undefined) {
      seen = {
        raft: null,
        term: -1,
        role: "",
        vote: null,
        commit: 0,
        last: 0,
        lastTerm: 0,
        applied: 0,
        hash: null,
        durable: 0,
        matched: 0,
        durableTerm: 0,
      };
      this.seen.set(name, seen);
    }
    if (seen.raft !== raft) {
      // Another replica of the node's: after a restart, or of a shard that went and came back.
      this.raft.restarted(raft.self);
      seen.raft = raft;
      seen.term = -1;
      seen.matched = 0;
      seen.commit = 0;
    } else if (
      seen.commit === raft.commitIndex &&
      seen.last === raft.lastIndex &&
      seen.applied === group.appliedIndex &&
      seen.hash === knownHash(group) &&
      seen.durable === raft.durableIndex &&
      seen.term === raft.term &&
      seen.role === raft.role &&
      seen.vote === raft.vote &&
      seen.lastTerm === raft.lastTerm
    ) {
      return;
    }
    const [violation] = this.raft.check([raft]);
    if (violation !== undefined) this.fail(violation.invariant, violation.detail);
    if (raft.role === "leader") this.noteLeader(name, raft.term);
    this.matchLog(name, group, seen);
    seen.durable = raft.durableIndex;
    seen.durableTerm = raft.termAt(raft.durableIndex) ?? 0;
    this.commit(name, group, seen);
    this.compareState(name, group, seen);
    if (group.appliedIndex > raft.durableIndex) {
      this.fail("apply-durable", `${name} has applied ${group.appliedIndex}, of which ${raft.durableIndex} is on its own disk (rule W2)`);
    }
    seen.term = raft.term;
    seen.role = raft.role;
    seen.vote = raft.vote;
    seen.commit = raft.commitIndex;
    seen.last = raft.lastIndex;
    seen.lastTerm = raft.lastTerm;
    seen.applied = group.appliedIndex;
    seen.hash = knownHash(group);
  }

  private noteLeader(name: string, term: Term): void {
    const reign = `${name}@${term}`;
    if (this.reigns.has(reign)) return;
    this.reigns.add(reign);
    this.world.totals.add(this.watched.elections);
    if (this.leader !== null && this.leader !== name) this.world.totals.add(this.watched.leaderChanges);
    this.leader = name;
    this.world.event(`${this.watched.label}${name}`, "leads", () => `term ${term}`);
    this.world.trace.number(term);
  }

  /** Log matching (Figure 3): one content per (index, term), on whatever node, whenever. */
  private matchLog(name: string, { raft }: AnyGroupInspection, seen: Seen): void {
    const truncated = raft.lastIndex < seen.matched || (seen.matched === seen.last && raft.termAt(logIndex(seen.last)) !== seen.lastTerm);
    let from = truncated ? Math.min(seen.matched, raft.commitIndex) : seen.matched;
    from = Math.max(from, raft.firstIndex - 1);
    if (raft.lastIndex <= from) {
      seen.matched = raft.lastIndex;
      return;
    }
    for (const entry of raft.entries(logIndex(from + 1), raft.lastIndex, everything)) {
      const key = `${entry.index}/${entry.term}`;
      const known = this.entries.get(key);
      if (known === undefined) {
        this.entries.set(key, entry);
        if (entry.kind === "config" && raft.role === "leader" && entry.term === raft.term) this.configured(name, raft, entry);
      } else if (!sameEntry(known, entry))
        this.fail("raft-log-matching", `${name} has another entry ${entry.index} of term ${entry.term} than others`);
    }
    seen.matched = raft.lastIndex;
  }

  private configured(machine: string, raft: RaftGroup, entry: Entry): void {
    const before = raft.membershipAt(logIndex(entry.index - 1));
    const has = (other: string): boolean => (this.seen.get(other)?.durable ?? 0) >= before.index;
    this.watched.configured?.({ machine, before: before.membership, after: decodeMembershipPayload(entry.payload), has });
  }

  /** Extends or compares the one committed log. */
  private commit(name: string, { raft }: AnyGroupInspection, seen: Seen): void {
    if (raft.commitIndex <= seen.commit) return;
    const from = Math.max(seen.commit + 1, raft.firstIndex);
    const base = this.committed[from - 2];
    if (base !== undefined && raft.termAt(logIndex(from - 1)) !== base.term && from - 1 > 0) {
      this.fail(
        "raft-committed-agree",
        `${name} continues after ${from - 1} of term ${raft.termAt(logIndex(from - 1))}, committed is term ${base.term}`,
      );
      return;
    }
    for (const entry of raft.entries(logIndex(from), raft.commitIndex, everything)) {
      const known = this.committed[entry.index - 1];
      if (known !== undefined) {
        if (!sameEntry(known, entry)) {
          this.fail("raft-committed-agree", `${name} at ${entry.index}: term ${entry.term}, elsewhere ${known.term}`);
          return;
        }
        continue;
      }
      if (entry.index !== this.committed.length + 1) {
        this.fail("raft-committed-agree", `${name} commits ${entry.index}, but only ${this.committed.length} were committed anywhere`);
        return;
      }
      this.newlyCommitted(name, entry, raft.commitIndex);
    }
  }

  private newlyCommitted(name: string, entry: Entry, commitIndex: LogIndex): void {
    this.checkDurable(name, entry, commitIndex);
    this.committed.push(entry);
    if (entry.kind === "config") this.world.totals.add(this.watched.label === "" ? "membership changes" : "shard membership changes");
    this.golden.append(entry, this.world.clock.now());
    if (this.golden.wrong !== null) this.fail("witness-replay", this.golden.wrong);
    this.world.trace.number(entry.term);
    this.world.trace.number(entry.payload.length);
    this.world.event(`${this.watched.label}${name}`, "commits", () => `${entry.index} of term ${entry.term} ${entry.kind}`);
  }

  /** Acknowledged = fsynced on a majority: the moment an entry counts as committed, a quorum has it on disk. */
  private checkDurable(name: string, entry: Entry, commitIndex: LogIndex): void {
    // Entries of earlier terms are committed by a later one that follows them (§5.4.2); its own durability carries theirs.
    if (entry.index !== commitIndex) return;
    const running = this.world.machines.find((machine) => machine.name === name)?.running ?? null;
    const group = running === null ? null : this.watched.find(running);
    if (group === null || group.raft.role !== "leader") return;
    const { raft } = group;
    // A configuration may have been appended in the same turn, after the commit was counted.
    const { membership } = raft.membershipAt(raft.lastIndex);
    if (this.quorumHolds(membership, entry) || this.quorumHolds(raft.membershipAt(commitIndex).membership, entry)) return;
    const holding = [...membership.voters, ...membership.outgoing].filter((voter) => this.holdsDurably(voter, entry));
    this.fail(
      "commit-durable",
      `${name} commits ${entry.index} of term ${entry.term}; of ${membership.voters.join()} and ${membership.outgoing.join() || "nobody"} only ${holding.join() || "nobody"} has it on disk`,
    );
  }

  private quorumHolds({ voters, outgoing }: Membership, entry: Entry): boolean {
    return [voters, outgoing].every(
      (half) => half.length === 0 || half.filter((voter) => this.holdsDurably(voter, entry)).length * 2 > half.length,
    );
  }

  private holdsDurably(machine: string, entry: Entry): boolean {
    const seen = this.seen.get(machine);
    return seen !== undefined && seen.durable >= entry.index && seen.durableTerm >= entry.term;
  }

  /** Rule W7: at equal indexes, equal states, on every node and after every snapshot. */
  private compareState(name: string, group: AnyGroupInspection, seen: Seen): void {
    const { hash, raft, term } = seen;
    if (group.appliedIndex === seen.applied && raft === group.raft && term !== -1 && hash === knownHash(group)) return;
    if (this.world.corrupted.has(name)) return;
    const expected = this.golden.hashAt(group.appliedIndex);
    if (expected === null) return;
    const { machine } = group;
    const actual = machine.knownHash === undefined ? machine.stateHash() : machine.knownHash;
    // In production it is known now and then only. To ask for it here would take everything to the store each time, as nothing does there.
    if (actual === null && this.world.options.asInProduction) return;
    this.world.totals.add("states compared");
    if (actual !== expected) {
      this.fail("equal-state", `${name} at ${group.appliedIndex} has state ${actual}, the log gives ${expected}`);
    }
  }
}

function knownHash({ machine }: AnyGroupInspection): string | null {
  return machine.knownHash ?? null;
}
