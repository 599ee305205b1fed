import { mutant } from "#mutation";
import { invariant } from "../kernel/assert.ts";
import type { NodeId } from "../kernel/brand.ts";

/** One change of holder: `shard` is taken from `from` (null = it lacked one) and given to `to`. */
interface Step {
  readonly shard: number;
  readonly to: NodeId;
  readonly before: Step | null;
}

/**
 * Shards held by nodes, each node up to its quota. What is missing is found by the shortest chain of moves (augmenting paths, breadth first:
 * Ford and Fulkerson 1956, Edmonds and Karp 1972), so a repair moves as little as there is to move: mostly nothing but what is missing.
 */
export class Matching {
  readonly holders: NodeId[][];
  private readonly quota: ReadonlyMap<NodeId, number>;
  /** Nodes that may hold a shard, the best first. */
  private readonly candidates: (shard: number) => readonly NodeId[];
  private readonly loads: Map<NodeId, number> = new Map();

  constructor(
    holders: readonly (readonly NodeId[])[],
    quota: ReadonlyMap<NodeId, number>,
    candidates: (shard: number) => readonly NodeId[],
  ) {
    this.holders = holders.map((nodes) => [...nodes]);
    this.quota = quota;
    this.candidates = candidates;
    for (const nodes of this.holders) for (const node of nodes) this.loads.set(node, this.load(node) + 1);
  }

  load(node: NodeId): number {
    return this.loads.get(node) ?? 0;
  }

  isOver(node: NodeId): boolean {
    return this.load(node) > (this.quota.get(node) ?? 0);
  }

  hasRoom(node: NodeId): boolean {
    return this.load(node) < (this.quota.get(node) ?? 0) || mutant("placement-quota-ignored");
  }

  /** Gives `shard` one more holder. False when no chain of moves makes room for it within the quotas and among `candidates`. */
  fill(shard: number, candidates: (shard: number) => readonly NodeId[] = this.candidates): boolean {
    const path = this.pathFrom(shard, null, candidates);
    if (path === null) return false;
    this.follow(path);
    return true;
  }

  /** Takes one shard away from `node`, which holds too many; `shards` names those it may give up, the first to go first. */
  shed(node: NodeId, shards: readonly number[]): boolean {
    let best: { readonly shard: number; readonly path: Step; readonly length: number } | null = null;
    for (const shard of shards) {
      const path = this.pathFrom(shard, node, this.candidates);
      if (path === null) continue;
      const length = lengthOf(path);
      if (best === null || length < best.length) best = { shard, path, length };
      if (length === 1 || mutant("placement-any-chain")) break;
    }
    if (best === null) return false;
    this.drop(best.shard, node);
    this.follow(best.path);
    return true;
  }

  /** Outside the quotas: for a shard that would else have too few. */
  give(shard: number, node: NodeId): void {
    this.holdersOf(shard).push(node);
    this.loads.set(node, this.load(node) + 1);
  }

  private pathFrom(shard: number, leaving: NodeId | null, candidates: (shard: number) => readonly NodeId[]): Step | null {
    const seen = new Set<NodeId>(leaving === null ? [] : [leaving]);
    let level: { readonly shard: number; readonly before: Step | null }[] = [{ shard, before: null }];
    while (level.length > 0) {
      const steps: Step[] = [];
      for (const { shard: wanting, before } of level) {
        for (const to of candidates(wanting)) {
          if (seen.has(to) || (this.holdersOf(wanting).includes(to) && !mutant("placement-twice-at-one"))) continue;
          const step: Step = { shard: wanting, to, before };
          if (this.hasRoom(to)) return step;
          seen.add(to);
          steps.push(step);
        }
      }
      // Every shard that a full node holds may look for another in its place.
      level = mutant("placement-no-chains")
        ? []
        : steps.flatMap((step) => this.heldBy(step.to).map((held) => ({ shard: held, before: step })));
    }
    return null;
  }

  /** From the end: the last takes what has room, each one before takes what its successor gave up. */
  private follow(path: Step): void {
    for (let step: Step | null = path; step !== null; step = step.before) {
      if (step.before !== null) this.drop(step.shard, step.before.to);
      this.give(step.shard, step.to);
    }
  }

  private drop(shard: number, node: NodeId): void {
    const nodes = this.holdersOf(shard);
    const at = nodes.indexOf(node);
    invariant(at >= 0, "placement-holds", () => `${node} does not hold shard ${shard}`);
    nodes.splice(at, 1);
    this.loads.set(node, this.load(node) - 1);
  }

  private heldBy(node: NodeId): number[] {
    const shards: number[] = [];
    for (const [shard, nodes] of this.holders.entries()) if (nodes.includes(node)) shards.push(shard);
    return shards;
  }

  private holdersOf(shard: number): NodeId[] {
    const nodes = this.holders[shard];
    invariant(nodes !== undefined, "placement-shard-known", () => `no shard ${shard}`);
    return nodes;
  }
}

function lengthOf(path: Step): number {
  let length = 0;
  for (let step: Step | null = path; step !== null; step = step.before) length += 1;
  return length;
}
