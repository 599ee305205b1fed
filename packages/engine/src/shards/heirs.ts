import type { GroupId, NodeId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { leaderMovesEveryMs } from "./limits.ts";

interface Tries {
  readonly term: number;
  /** Of the first. */
  readonly since: number;
  readonly tried: readonly NodeId[];
}

/**
 * To whom leaders that are to leave their shards have handed them in this term. One that did not take a shard may never do so: a state in doubt
 * (rule W7) leads nothing, and nobody else knows of the doubt.
 */
export class Heirs {
  private readonly tries = new Map<GroupId, Tries>();

  untried(group: GroupId, term: number, heirs: readonly NodeId[]): NodeId | undefined {
    const tried = this.of(group, term)?.tried ?? [];
    return heirs.find((node) => !tried.includes(node));
  }

  /** To one that was tried already: all were, and it begins anew. */
  handedOver(group: GroupId, term: number, to: NodeId, now: number): void {
    const { since, tried }: Tries = this.of(group, term) ?? { term, since: now, tried: [] };
    const before = tried.includes(to) ? [] : tried;
    this.tries.set(group, { term, since, tried: mutant("shard-heir-tried-for-ever") ? [] : [...before, to] });
  }

  /** Has it been tried for so long that nobody is likely to take the shard? */
  isInVain(group: GroupId, term: number, now: number): boolean {
    const tries = this.of(group, term);
    return tries !== undefined && (now - tries.since >= leaderMovesEveryMs || mutant("shard-promoted-at-the-first-refusal"));
  }

  forget(group: GroupId): void {
    this.tries.delete(group);
  }

  private of(group: GroupId, term: number): Tries | undefined {
    const tries = this.tries.get(group);
    return tries?.term === term ? tries : undefined;
  }
}
