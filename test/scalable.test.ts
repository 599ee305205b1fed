import { existsSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { startCluster, type FinishedTest, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, textOf, type Json } from "./support/http.ts";
import { ready, waitFor } from "./support/wait.ts";

let cluster: TestCluster;
afterEach((test: FinishedTest) => cluster.destroy(test));

const members = async (): Promise<readonly Json[]> => (await cluster.node("node1").status())["members"] as readonly Json[];
const memberOf = async (id: string): Promise<Json | undefined> => (await members()).find(({ node }) => node === id);

/** A replica as `docker compose --scale` starts it: it knows nodes of the cluster, and nobody knows it. */
async function replica(): Promise<TestNode> {
  const join = cluster.nodes.map(({ url }) => url).join(",");
  const node = await cluster.addNode({ PEERS: "", JOIN: join, NODE_SCALABLE: "true", NODE_ROLES: "queue", SHUTDOWN_TIMEOUT_MS: "60000" });
  node.start();
  await node.waitUntilHealthy();
  return node;
}

/** The replica leads or follows shards of its own. */
const untilPlaced = (node: TestNode): Promise<true> =>
  waitFor(
    `${node.id} to hold shards`,
    async () => {
      const ring = await expectStatus(200, `${cluster.node("node1").url}/v1/ring`);
      const placed = (ring.body["shards"] as readonly Json[]).some((shard) => JSON.stringify(shard).includes(`"${node.id}"`));
      return placed ? ready(true as const) : ring.text.slice(0, 2_000);
    },
    { deadlineMs: 60_000 },
  );

describe("a scaled replica", () => {
  it("joins without a vote and holds shards; stopped, it gives them away and leaves; started again, it comes back empty", async () => {
    cluster = await startCluster({ nodes: 3 });
    const node = await replica();
    expect(await memberOf(node.id)).toMatchObject({ kind: "learner", roles: "queue,scalable" });
    await untilPlaced(node);
    for (let at = 0; at < 16; at += 1) await expectStatus(201, `${node.url}/v1/queues/q${at}/messages`, { body: { body: { at } } });

    expect(await node.stop()).toBe(0);
    expect(node.process().output()).toMatch(/event=node\.left/);
    await waitFor("it to be no member", async () => ((await memberOf(node.id)) === undefined ? ready(true) : "it is one"));
    expect(existsSync(node.dataDir)).toBe(false);
    expect(existsSync(`${node.dataDir}.left`)).toBe(true);
    for (let at = 0; at < 16; at += 1) {
      const { body } = await expectStatus(200, `${cluster.node("node2").url}/v1/queues/q${at}/consume`, { body: { wait_ms: 10_000 } });
      const [message] = body["messages"] as readonly Json[];
      expect(message?.["body"]).toEqual({ at });
      expect(textOf(message?.["receipt"])).not.toBe("");
    }

    node.start();
    await node.waitUntilHealthy(60_000);
    expect(await memberOf(node.id)).toMatchObject({ kind: "learner" });
  });

  it("killed, it stays a member and comes back with what it has", async () => {
    cluster = await startCluster({ nodes: 3 });
    const node = await replica();
    await node.kill();
    expect(await memberOf(node.id)).toMatchObject({ kind: "learner" });
    node.start();
    await node.waitUntilHealthy();
    expect(existsSync(`${node.dataDir}.left`)).toBe(false);
  });
});
