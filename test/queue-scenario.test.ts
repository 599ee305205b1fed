import { afterEach, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus } from "./support/http.ts";
import { problemsOf, startQueueLoad, type QueueLoad } from "./support/queue-clients.ts";
import { startWorker, type QueueWorker } from "./support/queue-workers.ts";
import { settledRing, shardLeader, shardOf } from "./support/shard-leaders.ts";
import { ready, waitFor } from "./support/wait.ts";

/** A longer run: TRIVET_QUEUE_MESSAGES=100000. */
const messages = Number(process.env["TRIVET_QUEUE_MESSAGES"] ?? 20_000);
const queue = "scenario";
const visibilityMs = 3_000;

let cluster: TestCluster;
let load: QueueLoad | null = null;
let workers: QueueWorker[] = [];
afterEach(async (test) => {
  await load?.finish();
  await Promise.all(workers.map((worker) => worker.kill()));
  workers = [];
  load = null;
  await cluster.destroy(test);
});

const url = (nodes: readonly TestNode[]): readonly string[] => nodes.map((node) => node.url);
function newWorker(): QueueWorker {
  const name = `worker-${workers.length + 1}`;
  const worker = startWorker(cluster.folder, { name, urls: url(cluster.nodes), queue, max: 100, visibilityMs });
  workers.push(worker);
  return worker;
}

it(
  `a worker killed in the middle of ${messages} messages, the death of the leader and a new node lose none and reorder no key`,
  async () => {
    cluster = await startCluster({ nodes: 3 });
    const [first] = cluster.nodes;
    if (!first) throw new Error("no node");
    await expectStatus(201, `${first.url}/v1/queues/${queue}`, { method: "PUT", body: { partitions: 4, visibility_ms: visibilityMs } });
    const producing = startQueueLoad({
      queue,
      urls: () => url(cluster.nodes),
      producers: 4,
      consumers: 0,
      keysPerProducer: 100,
      batch: 100,
      visibilityMs,
      messages,
    });
    load = producing;
    const [victim] = [newWorker(), newWorker()];
    if (!victim) throw new Error("no worker");
    await victim.settled(messages / 20);
    expect(await victim.killAtWork()).toBeGreaterThan(0);

    const leader = await shardLeader(cluster.running(), await shardOf(first, queue));
    await leader.kill();
    const survivors = cluster.running();
    await shardLeader(survivors, await shardOf(survivors[0] as TestNode, queue));
    const replacement = newWorker();
    const fourth = await cluster.addNode();
    fourth.start({ PEERS: "" }, ["--join", (survivors[0] as TestNode).url]);
    await replacement.settled(messages / 20);
    leader.start();
    await Promise.all(cluster.nodes.map((node) => node.waitUntilHealthy(60_000)));

    await producing.drain(600_000);
    await settledRing(cluster);
    // At rest: nothing is leased, so every worker ends with empty hands.
    const surprises = await Promise.all(workers.filter((worker) => worker !== victim).map((worker) => worker.finish()));
    expect(surprises.flat()).toEqual([]);
    for (const worker of workers) for (const record of worker.records()) producing.records.push(record);
    expect(producing.sent()).toBe(messages);
    expect(await problemsOf(producing, queue, url(cluster.nodes))).toEqual([]);
    await waitFor("the new node to hold its share", async () => {
      const { body } = await expectStatus(200, `${fourth.url}/v1/ring`);
      const share = (body["nodes"] as readonly { readonly node: string; readonly replicas: number }[]).find(
        ({ node }) => node === fourth.id,
      );
      return (share?.replicas ?? 0) > 0 ? ready(true) : JSON.stringify(body["nodes"]);
    });
  },
  60_000 + messages * 10,
);
