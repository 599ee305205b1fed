import type { GroupId, HardState } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { emptyGroup } from "../groups/restore.ts";
import { type Doubt, newReplica, type RecoveredGroup, type WalApi } from "../log/types.ts";

export interface RecoveredLog {
  readonly wal: WalApi;
  readonly groups: ReadonlyMap<GroupId, RecoveredGroup>;
  readonly doubt: Doubt | null;
}

/** What a replica that is opened now may rely on. */
export interface Beginning {
  readonly recovered: RecoveredGroup | undefined;
  /** Of a shard that the log says nothing of. */
  readonly doubtElse: Doubt | null;
  /** Why it is not to be trusted before it was taken in or caught up, to be written down before it is opened; null = it is. */
  readonly distrust: string | null;
}

/** What this node remembers of shards that it has not open: those it gave away, and those it never had anything of. */
export class ShardPast {
  private readonly log: RecoveredLog;
  /** Shards this node had and gave away since it started, and what it had promised in them. */
  private readonly given = new Map<GroupId, HardState>();
  /** Shards of which nothing was here before, until their groups have taken this replica in (rule G5). */
  private readonly newcomers = new Set<GroupId>();

  constructor(log: RecoveredLog) {
    this.log = log;
  }

  gave(group: GroupId, promised: HardState): void {
    this.given.set(group, promised);
  }

  /** The replica takes part. */
  trusted(group: GroupId): void {
    this.newcomers.delete(group);
  }

  /** As the log says that was found at the start. */
  wasGiven(group: GroupId): boolean {
    const known = this.log.groups.get(group);
    // With entries after it, it came back: what it has since acknowledged is here.
    return known?.floor?.index === 0 && known.entries.length === 0;
  }

  isGone(group: GroupId): boolean {
    return (this.given.has(group) || this.wasGiven(group)) && !mutant("shard-founded-again");
  }

  promised(group: GroupId): HardState {
    return this.given.get(group) ?? this.log.groups.get(group)?.hardState ?? emptyGroup.hardState;
  }

  begin(group: GroupId, isFounder: boolean): Beginning {
    const isGone = this.isGone(group);
    const isNewcomer = this.hasNoPast(group, isFounder);
    if (isNewcomer) this.newcomers.add(group);
    const doubt = isNewcomer ? newcomerDoubt() : "damage";
    // Its state is gone, its promises are not: a term that it forgot would let a leader of before it speak.
    const left: RecoveredGroup = { ...emptyGroup, hardState: this.promised(group), mayVote: false, doubt };
    return {
      recovered: isGone ? left : this.log.groups.get(group),
      doubtElse: isNewcomer ? doubt : this.log.doubt,
      distrust: isNewcomer ? newReplica : isGone ? "it was given away, and what it acknowledged went with it" : null,
    };
  }

  /**
   * Rule G5: who comes without the shard's past, under whatever name, may have voted in it and forgotten. Its terms are gone, too, so to have
   * caught up is not enough: the group must have removed whoever had that name, and added this replica (raft/recovery.ts).
   */
  private hasNoPast(group: GroupId, isFounder: boolean): boolean {
    const known = this.log.groups.get(group);
    if (this.newcomers.has(group) || known?.doubt === "newcomer") return true;
    // A founder's log without a word of the shard, where damage may have taken all of it.
    return known === undefined && !this.given.has(group) && (!isFounder || this.log.doubt === "damage");
  }
}

function newcomerDoubt(): Doubt | null {
  if (mutant("shard-newcomer-votes-at-once")) return null;
  return mutant("shard-newcomer-catches-up") ? "damage" : "newcomer";
}
