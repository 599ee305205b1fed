import type { TestCluster, TestNode } from "./cluster.ts";
import { expectStatus, type Json } from "./http.ts";
import { ready, waitFor } from "./wait.ts";

/** The Raft group of a queue's first partition: shards take the partitions in turn (decision 8). */
export async function shardOf(node: TestNode, queue: string): Promise<number> {
  const [{ body }, ring] = await Promise.all([
    expectStatus(200, `${node.url}/v1/queues/${queue}`),
    expectStatus(200, `${node.url}/v1/ring`),
  ]);
  return 1 + (Number(body["id"]) % (ring.body["shards"] as readonly Json[]).length);
}

/** Waits until one of these nodes leads the group, and all of them that have a replica say so. */
export async function shardLeader(nodes: readonly TestNode[], group: number, deadlineMs = 30_000): Promise<TestNode> {
  return waitFor(
    `a leader of group ${group} among ${nodes.map(({ id }) => id).join(", ")}`,
    async () => {
      const all = await Promise.all(nodes.map((node) => node.status()));
      const views = all.map((status) => (status["groups"] as readonly Json[]).find((one) => one["group"] === group));
      const leader = nodes.find((_, at) => views[at]?.["role"] === "leader");
      const agreed = views.every((view) => view === undefined || view["leader"] === leader?.id);
      return leader !== undefined && agreed ? ready(leader) : JSON.stringify(views);
    },
    { deadlineMs },
  );
}

/** Waits until the replicas of every shard are where the ring of every running node says, and led by one of them. */
export async function settledRing(cluster: TestCluster, deadlineMs = 60_000): Promise<Json> {
  return waitFor(
    "shards to be where the ring says",
    async () => {
      const nodes = cluster.running();
      const rings = await Promise.all(nodes.map(async ({ url }) => (await expectStatus(200, `${url}/v1/ring`)).body));
      const [ring] = rings;
      if (ring === undefined || rings.some((other) => JSON.stringify(other) !== JSON.stringify(ring))) return "rings differ";
      const held = await Promise.all(
        nodes.map(async (node) => new Set(((await node.status())["groups"] as readonly Json[]).map((group) => group["group"]))),
      );
      const wrong = (ring["shards"] as readonly Json[]).flatMap(({ shard, replicas }) =>
        nodes.flatMap(({ id }, at) =>
          (replicas as readonly unknown[]).includes(id) === held[at]?.has(Number(shard)) ? [] : [`shard ${Number(shard)} on ${id}`],
        ),
      );
      return wrong.length === 0 ? ready(ring) : `not yet: ${wrong.join(", ")}`;
    },
    { deadlineMs, everyMs: 100 },
  );
}
