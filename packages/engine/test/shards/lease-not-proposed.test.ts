import { expect, vi } from "vitest";
import { guard } from "../hosts/guard.ts";
import { withMessage } from "./support.ts";

guard(
  "shard-lease-due-forgotten",
  "a lease that ends while the leader's disk is full is ended once there is room, though nothing else is asked of the shard",
  () => {
    const { shards, cluster, leader } = withMessage();
    expect(shards.consume(leader, 1, { visibilityMs: 500 })).toHaveLength(1);
    const full = vi.spyOn(cluster.member(leader).host.disk, "critical", "get").mockReturnValue(true);
    cluster.run(2_000);
    expect(stateOf(shards, leader)).toMatchObject({ leased: 1, ready: 0 });
    full.mockReturnValue(false);
    cluster.run(200);
    expect(stateOf(shards, leader)).toMatchObject({ leased: 0, ready: 1 });
  },
);

function stateOf(shards: ReturnType<typeof withMessage>["shards"], node: string): unknown {
  const reply = shards.query(node, { type: "stats", queue: shards.queue, partition: 0 });
  return reply.type === "stats" ? reply.stats.groups[0] : reply;
}
