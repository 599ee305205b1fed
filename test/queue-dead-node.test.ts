import { rm } from "node:fs/promises";
import { afterEach, describe, expect, it } from "vitest";
import { startCluster, type ClusterOptions, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, type Json } from "./support/http.ts";
import { run, trivet } from "./support/processes.ts";
import { problemsOf, startQueueLoad, type QueueLoad } from "./support/queue-clients.ts";
import { settledRing, shardLeader, shardOf } from "./support/shard-leaders.ts";
import { ready, waitFor } from "./support/wait.ts";

const queue = "orders";

let cluster: TestCluster;
let load: QueueLoad;
/** Who is asked: not those that are dead. */
let alive: readonly TestNode[] = [];
afterEach(async (test) => {
  await load.finish();
  await cluster.destroy(test);
});

const urls = (): readonly string[] => alive.map(({ url }) => url);

/** `pauseMs`: of a producer between two calls. */
async function begin(options: ClusterOptions, pauseMs: number): Promise<void> {
  cluster = await startCluster(options);
  alive = cluster.nodes;
  const body = { partitions: 4, max_deliveries: 0, visibility_ms: 3_000 };
  await expectStatus(201, `${alive[0]?.url}/v1/queues/${queue}`, { method: "PUT", body });
  load = startQueueLoad({
    queue,
    urls,
    producers: 3,
    consumers: 3,
    keysPerProducer: 10,
    batch: 20,
    visibilityMs: 3_000,
    failing: 0.01,
    pauseMs,
    most: 60_000,
  });
  await load.progress(300);
}

/** kill -9 of the node that leads the queue's first shard; its disk is gone as well. */
async function loseLeader(): Promise<TestNode> {
  const dead = await shardLeader(alive, await shardOf(first(), queue));
  await dead.kill();
  await rm(dead.dataDir, { recursive: true });
  alive = alive.filter((node) => node !== dead);
  await load.progress(200);
  return dead;
}

function first(): TestNode {
  const [node] = alive;
  if (node === undefined) throw new Error("no node is alive");
  return node;
}

const replicasOf = async (node: TestNode): Promise<readonly (readonly string[])[]> =>
  ((await expectStatus(200, `${node.url}/v1/ring`)).body["shards"] as readonly Json[]).map(({ replicas }) => replicas as readonly string[]);

/** Every shard has three replicas among those that are alive, in fact and not only on the map, and each of them votes. */
async function untilWhole(deadlineMs: number): Promise<void> {
  const ids = alive.map(({ id }) => id);
  await waitFor(
    `three replicas of each shard at ${ids.join(", ")}`,
    async () => {
      const shards = await replicasOf(first());
      const isWhole = shards.length > 0 && shards.every((replicas) => replicas.length === 3 && replicas.every((id) => ids.includes(id)));
      return isWhole ? ready(true) : JSON.stringify(shards);
    },
    { deadlineMs, everyMs: 250 },
  );
  await settledRing(cluster, 90_000);
  await waitFor("each replica to have its vote", async () => {
    const all = await Promise.all(alive.map((node) => node.status()));
    const without = all.flatMap(({ groups, node_id: id }) =>
      (groups as readonly Json[])
        .filter(({ role }) => role !== "leader" && role !== "follower")
        .map((group) => JSON.stringify([id, group])),
    );
    return without.length === 0 ? ready(true) : without.join(", ");
  });
}

/** Each of them dies once and comes back: a replica without a vote, or without the messages, would be missed. */
async function oneAfterTheOther(nodes: readonly TestNode[]): Promise<void> {
  for (const node of nodes) {
    const all = alive;
    await node.kill();
    alive = all.filter((other) => other !== node);
    await load.progress(100);
    node.start({ PEERS: "" }, ["--join", first().url]);
    await node.waitUntilHealthy();
    alive = all;
  }
  await load.progress(100);
}

async function check(): Promise<void> {
  await Promise.all(alive.map((node) => node.waitUntilHealthy()));
  await load.drain();
  expect(await problemsOf(load, queue, urls())).toEqual([]);
  expect(load.sent()).toBeGreaterThan(1_000);
}

describe("a node is dead for good while a queue is under load", () => {
  it(
    "of four: after a minute the others have its shards, it is removed, and each of them can be missed",
    { timeout: 360_000 },
    async () => {
      // A dead node is given a minute: some hundred messages a second go by meanwhile.
      await begin({ nodes: 4 }, 200);
      const dead = await loseLeader();
      // Nobody moves anything for a node that may come back.
      expect(JSON.stringify(await replicasOf(first()))).toContain(`"${dead.id}"`);
      await untilWhole(150_000);
      await load.progress(200);
      await expectStatus(200, `${first().url}/v1/raft/members/${dead.id}`, { method: "DELETE", timeoutMs: 90_000 });
      await oneAfterTheOther(alive);
      await check();
    },
  );

  it("of three: another machine takes its place, and each of the three can be missed", { timeout: 300_000 }, async () => {
    await begin({ nodes: 3 }, 50);
    const dead = await loseLeader();
    const other = await cluster.addNode();
    other.start({ PEERS: "" }, ["--join", first().url]);
    const words = ["member", "replace", dead.id, other.id, "--address", other.url, "--yes", "--within", "3"];
    const env = { TRIVET_URL: urls().join(",") };
    const replaced = await run(process.execPath, ["--", trivet, ...words], { cwd: cluster.folder, env });
    expect(replaced.code, replaced.output).toBe(0);
    alive = [...alive, other];
    await untilWhole(60_000);
    await load.progress(200);
    await oneAfterTheOther(alive);
    await check();
  });

  it("of three: it comes back with an empty disk under its name, and each of the three can be missed", { timeout: 300_000 }, async () => {
    await begin({ nodes: 3, env: { AUTO_REPLACE: "true" } }, 50);
    const dead = await loseLeader();
    dead.start({ PEERS: "" }, ["--join", first().url]);
    await dead.waitUntilHealthy(60_000);
    alive = [...alive, dead];
    await untilWhole(60_000);
    await load.progress(200);
    await oneAfterTheOther(alive);
    await check();
  });
});
