import { expect } from "vitest";
import { nodeId, type NodeId, type PlacementMap, type Prng } from "@trivet/core";

export const nodesOf = (count: number, from = 1): NodeId[] => Array.from({ length: count }, (_, i) => nodeId(`node${from + i}`));

export function loads(map: PlacementMap, of: (replicas: readonly NodeId[]) => readonly NodeId[]): Map<NodeId, number> {
  const counts = new Map<NodeId, number>();
  for (const replicas of map) for (const node of of(replicas)) counts.set(node, (counts.get(node) ?? 0) + 1);
  return counts;
}
export const replicaLoads = (map: PlacementMap): Map<NodeId, number> => loads(map, (replicas) => replicas);
export const leaderLoads = (map: PlacementMap): Map<NodeId, number> => loads(map, (replicas) => replicas.slice(0, 1));

/** Replicas that have to be copied somewhere new. */
export function moved(before: PlacementMap, after: PlacementMap): number {
  return after.reduce((sum, replicas, shard) => sum + replicas.filter((node) => !before[shard]?.includes(node)).length, 0);
}

/** A chain of moves may touch the replicas of one shard more than the least that has to move. */
export const oneShard = 3;

export function expectSound(map: PlacementMap, nodes: readonly NodeId[], shards: number, replication: number): void {
  const wanted = Math.min(replication, nodes.length);
  expect(map).toHaveLength(shards);
  for (const replicas of map) {
    expect(new Set(replicas).size).toBe(wanted);
    expect(replicas.every((node) => nodes.includes(node))).toBe(true);
  }
  const replicaMost = Math.ceil((shards * wanted) / nodes.length);
  const replicaLeast = Math.floor((shards * wanted) / nodes.length);
  for (const node of nodes) {
    const held = replicaLoads(map).get(node) ?? 0;
    expect(held).toBeLessThanOrEqual(replicaMost);
    expect(held).toBeGreaterThanOrEqual(replicaLeast);
    expect(leaderLoads(map).get(node) ?? 0).toBeLessThanOrEqual(Math.ceil(shards / nodes.length));
  }
}

/** Leaders that are not who they were. */
export function leadersChanged(before: PlacementMap, after: PlacementMap): number {
  return after.filter((replicas, shard) => replicas[0] !== before[shard]?.[0]).length;
}

/** Any map at all of these nodes: uneven, of too few replicas or too many, as nobody would have made it. */
export function anyMap(prng: Prng, nodes: readonly NodeId[], shards: number): PlacementMap {
  return Array.from({ length: shards }, () => {
    const count = prng.below(Math.min(5, nodes.length) + 1);
    const bag = [...nodes];
    return Array.from({ length: count }, () => bag.splice(prng.below(bag.length), 1)[0] as NodeId);
  });
}
