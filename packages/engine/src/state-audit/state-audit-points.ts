import { jointVote, type Membership, type NodeId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { statePointEvery, statePointsKept } from "../base/limits.ts";

/** State hashes by the log index they were taken at. */
export type Points = ReadonlyMap<number, string>;

/** Hashes of a machine at indexes that the log alone decides, so that replicas have them of the same ones (rule W7). The latest few. */
export class StatePoints {
  private readonly kept = new Map<number, string>();

  /** Called after every entry; all but one in `statePointEvery` cost one comparison. */
  passed(index: number, hash: () => string): void {
    if (index % statePointEvery !== 0) return;
    this.kept.set(index, hash());
    if (this.kept.size <= statePointsKept) return;
    for (const oldest of this.kept.keys()) {
      this.kept.delete(oldest);
      return;
    }
  }

  /** Another machine took the place of the one they speak of. */
  clear(): void {
    this.kept.clear();
  }

  all(): Points {
    return this.kept;
  }
}

/** What comparing hashes at equal indexes tells. */
export interface Comparison {
  /**
   * `equal` and `differs`: of this node, against what a quorum of voters has at the newest index where one agrees. `unknown` = at no index
   * does a quorum agree.
   */
  readonly own: "equal" | "differs" | "unknown";
  readonly index: number;
  /** Who makes that quorum. */
  readonly agreed: readonly NodeId[];
  /** Who has another hash than that quorum; without one, than this node. */
  readonly others: readonly NodeId[];
  /** At a newer index, or without any quorum, others differ from this node and nobody can say who is right. */
  readonly undecided: boolean;
}

const nothing: Comparison = { own: "unknown", index: 0, agreed: [], others: [], undecided: false };

/**
 * Compares from the newest index back. Only what a quorum of voters agrees on is believed: with fewer, either side may be the wrong one,
 * so nobody is.
 */
export function compareStates(self: NodeId, membership: Membership, own: Points, peers: ReadonlyMap<NodeId, Points>): Comparison {
  let undecided = nothing;
  for (const index of [...own.keys()].sort((a, b) => b - a)) {
    const holders = new Map<string, NodeId[]>([[own.get(index) ?? "", [self]]]);
    for (const [peer, points] of peers) {
      const hash = points.get(index);
      if (hash === undefined) continue;
      const same = holders.get(hash);
      if (same === undefined) holders.set(hash, [peer]);
      else same.push(peer);
    }
    const all = [...holders.values()];
    const mine = all[0] ?? [];
    const agreed = all.find((nodes) => isQuorum(membership, nodes) || (mutant("host-w7-one-other-believed") && nodes !== mine));
    const others = all.filter((nodes) => nodes !== (agreed ?? mine)).flat();
    if (agreed !== undefined) {
      const verdict = agreed === mine ? "equal" : "differs";
      return undecided.undecided ? { ...undecided, own: verdict, agreed } : { own: verdict, index, agreed, others, undecided: false };
    }
    if (others.length > 0 && !undecided.undecided) undecided = { own: "unknown", index, agreed: [], others, undecided: true };
  }
  return undecided;
}

function isQuorum(membership: Membership, nodes: readonly NodeId[]): boolean {
  return membership.voters.length > 0 && jointVote(membership, (id) => nodes.includes(id)) === "won";
}
