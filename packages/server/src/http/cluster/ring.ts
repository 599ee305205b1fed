import type { placementRoutes } from "@trivet/contract";
import type { PlacementView } from "@trivet/core";
import { ok } from "../answer.ts";
import type { Some } from "../calls.ts";

function loads(placement: PlacementView | null): readonly Readonly<Record<string, unknown>>[] {
  const shards = placement?.shards ?? [];
  const nodes = [...new Set(shards.flat())].sort();
  return nodes.map((node) => ({
    node,
    replicas: shards.filter((replicas) => replicas.includes(node)).length,
    leads: shards.filter(([leader]) => leader === node).length,
  }));
}

export const ringHandlers: Some<keyof typeof placementRoutes> = {
  getRing: (_call, context) => {
    const placement = context.queues?.placement() ?? null;
    const waits = new Map(context.node.status().shardWaits.map(({ next, shard, why }) => [shard, { why, next }]));
    return ok({
      backend: context.queues?.backend ?? "embedded",
      epoch: placement?.epoch ?? null,
      replication: placement?.replication ?? 0,
      shards: (placement?.shards ?? []).map((replicas, index) => ({
        shard: index + 1,
        leader: replicas[0] ?? null,
        replicas: [...replicas],
        waiting: waits.get(index + 1) ?? null,
      })),
      nodes: loads(placement),
    });
  },
};
