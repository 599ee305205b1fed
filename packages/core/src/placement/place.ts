import { mutant } from "#mutation";
import { invariant } from "../kernel/assert.ts";
import type { NodeId } from "../kernel/brand.ts";
import { Matching } from "./matching.ts";
import { preference } from "./preference.ts";
import { quotas } from "./quotas.ts";

/** Who should hold one shard: the first should lead it. Who does is for Raft to say (D4). */
export type Replicas = readonly NodeId[];
/** By shard number less one. */
export type PlacementMap = readonly Replicas[];

/**
 * Where the shards belong (D4): the order of rendezvous hashing as preference, equal shares of replicas and of leaders as ceilings, and of the
 * map there is only as much changed as a lost or new node makes necessary: orphans are given a home, excess is shed, followers before
 * leaders. Deterministic in its arguments.
 *
 * @param nodes Nodes that may hold shards; no order, no repeats.
 * @param shards Their number.
 * @param replication Wanted replicas of each; fewer while there are fewer nodes (rule G3).
 * @param current The map so far; null = none.
 */
export function place(nodes: readonly NodeId[], shards: number, replication: number, current: PlacementMap | null): PlacementMap {
  invariant(nodes.length > 0 && new Set(nodes).size === nodes.length, "placement-nodes", () => nodes.join());
  invariant(current === null || current.length === shards, "placement-map-size", () => `${current?.length} of ${shards}`);
  const sorted = mutant("placement-by-order") ? nodes : [...nodes].sort();
  const wanted = Math.min(replication, sorted.length);
  const preferred = Array.from({ length: shards }, (_, shard) => preference(shard, sorted));
  const kept = preferred.map((order, shard) =>
    (current?.[shard] ?? []).filter((node) => order.includes(node) || mutant("placement-gone-kept")),
  );
  const replicas = placeReplicas(sorted, preferred, kept, wanted);
  const leaders = placeLeaders(sorted, preferred, kept, replicas);
  return replicas.map((held, shard) => {
    const leader = leaders[shard] as NodeId;
    const followers = held.filter((node) => node !== leader);
    const order = preferred[shard] ?? [];
    return [leader, ...followers.sort((a, b) => order.indexOf(a) - order.indexOf(b))];
  });
}

function placeReplicas(nodes: Replicas, preferred: readonly Replicas[], kept: readonly Replicas[], wanted: number): readonly Replicas[] {
  const share = quotas(preferred.length * wanted, nodes, loadsOf(kept));
  const matching = new Matching(kept, share, (shard) => preferred[shard] ?? []);
  // More than wanted only after the replication was lowered: those it likes least go.
  for (const [shard, held] of matching.holders.entries()) {
    const order = preferred[shard] ?? [];
    const first = mutant("placement-leader-dropped-first") ? 0 : 1;
    while (held.length > wanted && !mutant("placement-more-than-wanted"))
      held.splice(held.indexOf(leastPreferred(held.slice(first), order)), 1);
  }
  const fresh = new Matching(matching.holders, share, (shard) => preferred[shard] ?? []);
  for (const shard of fresh.holders.keys()) {
    while ((fresh.holders[shard]?.length ?? 0) < wanted) {
      const found = fresh.fill(shard);
      // The quotas add up, but an overloaded node may still sit on the room; shedding follows.
      if (!found) fresh.give(shard, leastLoaded(fresh, preferred[shard] ?? [], fresh.holders[shard] ?? []));
    }
  }
  for (const node of nodes) {
    while (fresh.isOver(node) && !mutant("placement-replicas-not-shed"))
      if (!fresh.shed(node, sheddable(fresh, node, preferred, kept))) break;
  }
  return fresh.holders;
}

/** What `node` gives up first: followers before leaders, then what likes it least. */
function sheddable(matching: Matching, node: NodeId, preferred: readonly Replicas[], kept: readonly Replicas[]): number[] {
  const shards: { readonly shard: number; readonly leads: boolean; readonly rank: number }[] = [];
  for (const [shard, held] of matching.holders.entries()) {
    if (held.includes(node))
      shards.push({
        shard,
        leads: kept[shard]?.[0] === node && !mutant("placement-leaders-shed-first"),
        rank: (preferred[shard] ?? []).indexOf(node),
      });
  }
  shards.sort((a, b) => Number(a.leads) - Number(b.leads) || b.rank - a.rank || a.shard - b.shard);
  return shards.map(({ shard }) => shard);
}

function placeLeaders(
  nodes: Replicas,
  preferred: readonly Replicas[],
  kept: readonly Replicas[],
  replicas: readonly Replicas[],
): readonly NodeId[] {
  const leading = replicas.map((held, shard) => {
    const leader = kept[shard]?.[0];
    return leader !== undefined && held.includes(leader) ? [leader] : [];
  });
  const share = quotas(replicas.length, nodes, loadsOf(leading));
  const candidates = (shard: number): Replicas => {
    const held = replicas[shard] ?? [];
    return (preferred[shard] ?? []).filter((node) => held.includes(node) || mutant("placement-leader-without-replica"));
  };
  // Who has the shard already can lead it at once.
  const complete = (shard: number): Replicas =>
    candidates(shard).filter((node) => kept[shard]?.includes(node) || mutant("placement-leader-incomplete"));
  const matching = new Matching(leading, share, candidates);
  for (const [shard, leader] of matching.holders.entries()) {
    if (leader.length === 0 && !matching.fill(shard, complete) && !matching.fill(shard))
      matching.give(shard, leastLoaded(matching, candidates(shard), []));
  }
  for (const node of nodes) {
    while (matching.isOver(node) && !mutant("placement-leaders-not-shed")) {
      const led = [...matching.holders.keys()].filter((shard) => matching.holders[shard]?.[0] === node);
      if (!matching.shed(node, led)) break;
    }
  }
  return matching.holders.map((leader) => leader[0] as NodeId);
}

function loadsOf(held: readonly Replicas[]): Map<NodeId, number> {
  const loads = new Map<NodeId, number>();
  for (const nodes of held) for (const node of nodes) loads.set(node, (loads.get(node) ?? 0) + 1);
  return loads;
}

function leastPreferred(held: Replicas, order: Replicas): NodeId {
  return held.reduce((worst, node) => (order.indexOf(node) > order.indexOf(worst) ? node : worst));
}

function leastLoaded(matching: Matching, order: Replicas, held: Replicas): NodeId {
  const free = order.filter((node) => !held.includes(node));
  invariant(free.length > 0, "placement-room", () => order.join());
  return free.reduce((best, node) => (matching.load(node) < matching.load(best) ? node : best));
}
