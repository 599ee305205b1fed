import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCluster, type FinishedTest, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, type Json } from "./support/http.ts";
import { canPartition, type TestHost } from "./support/networks.ts";
import { problemsOf, startQueueLoad, type QueueLoad } from "./support/queue-clients.ts";
import { settledRing, shardLeader, shardOf } from "./support/shard-leaders.ts";
import { ready, waitFor } from "./support/wait.ts";

/** What each test has: a cluster that the test before left healthy, a queue of its own, and clients at work on it. */
class Bench {
  cluster: TestCluster | null = null;
  load: QueueLoad | null = null;
  queue = "";
  private readonly start: () => Promise<TestCluster>;
  private rounds = 0;
  /** Removed from the cluster. */
  gone: TestNode | null = null;

  constructor(start: () => Promise<TestCluster>) {
    this.start = start;
  }

  get nodes(): readonly TestNode[] {
    return this.running.nodes.filter((node) => node !== this.gone);
  }

  get running(): TestCluster {
    if (this.cluster === null) throw new Error("no cluster");
    return this.cluster;
  }

  async begin(): Promise<void> {
    this.cluster ??= await this.start();
    this.rounds += 1;
    this.queue = `round-${this.rounds}`;
    const body = { partitions: 2, max_deliveries: 0, visibility_ms: 3_000 };
    await expectStatus(201, `${this.nodes[0]?.url}/v1/queues/${this.queue}`, { method: "PUT", body });
    this.load = startQueueLoad({
      queue: this.queue,
      urls: () => this.nodes.map(({ url }) => url),
      producers: 3,
      consumers: 3,
      keysPerProducer: 10,
      batch: 20,
      visibilityMs: 3_000,
      failing: 0.01,
    });
    await this.load.progress(300);
  }

  async end(test: FinishedTest): Promise<void> {
    await this.load?.finish();
    this.load = null;
    if (test.task.result?.state === "fail") await this.destroy(test);
  }

  async destroy(test?: FinishedTest): Promise<void> {
    const { cluster } = this;
    this.cluster = null;
    await cluster?.destroy(test);
  }

  progress(messages: number): Promise<void> {
    if (this.load === null) throw new Error("no clients");
    return this.load.progress(messages);
  }

  /** Who leads the queue's first partition, among the nodes that run, or those given. */
  async leader(nodes?: readonly TestNode[]): Promise<TestNode> {
    const among = nodes ?? this.running.running();
    const [node] = among;
    if (!node) throw new Error("no node runs");
    return shardLeader(among, await shardOf(node, this.queue));
  }

  /** Empties the queue and judges what all clients saw. */
  async check(): Promise<void> {
    const { load, nodes, queue } = this;
    if (load === null) throw new Error("no clients");
    await Promise.all(nodes.map((node) => node.waitUntilHealthy()));
    await load.drain();
    expect(
      await problemsOf(
        load,
        queue,
        nodes.map(({ url }) => url),
      ),
    ).toEqual([]);
    expect(load.sent()).toBeGreaterThan(1_000);
  }
}

describe("a queue under load", () => {
  const bench = new Bench(() => startCluster({ nodes: 3 }));
  beforeEach(() => bench.begin());
  afterEach((test) => bench.end(test));
  afterAll(() => bench.destroy());

  it("kill -9 of the node that leads its shard, twice, each time started again", async () => {
    for (let turn = 0; turn < 2; turn += 1) {
      const leader = await bench.leader();
      await leader.kill();
      await bench.progress(200);
      leader.start();
      await leader.waitUntilHealthy();
      await bench.progress(100);
    }
    await bench.check();
  });

  it("the node that leads its shard is stopped for a while (SIGSTOP) and goes on as if nothing had happened", async () => {
    const leader = await bench.leader();
    leader.pause();
    try {
      // Longer than the leases that it timed, in the others' time.
      await bench.leader(bench.nodes.filter((node) => node !== leader));
      await bench.progress(300);
    } finally {
      leader.resume();
    }
    await bench.leader();
    await bench.progress(300);
    await bench.check();
  });

  it("every node is stopped and started again in turn", async () => {
    for (const node of bench.nodes) {
      expect(await node.stop(), node.process().output().slice(-1_000)).toBe(0);
      await bench.progress(100);
      node.start();
      await node.waitUntilHealthy();
      await bench.progress(100);
    }
    await bench.check();
  });

  it("kill -9 of all nodes at once, then all started again: nothing that was acknowledged is missing", async () => {
    await Promise.all(bench.nodes.map((node) => node.kill()));
    bench.running.startAll();
    await Promise.all(bench.nodes.map((node) => node.waitUntilHealthy()));
    await bench.progress(300);
    await bench.check();
  });
});

describe("a queue under load while members change", () => {
  const bench = new Bench(() => startCluster({ nodes: 3 }));
  beforeEach(() => bench.begin());
  afterEach((test) => bench.end(test));
  afterAll(() => bench.destroy());

  it("a fourth node joins and takes its share; the node that leads the queue's shard gives its own away and is removed", async () => {
    const fourth = await bench.running.addNode();
    fourth.start({ PEERS: "" }, ["--join", bench.running.node("node2").url]);
    await fourth.waitUntilHealthy();
    await bench.progress(100);
    const ring = await settledRing(bench.running);
    expect((ring["nodes"] as readonly Json[]).map(({ replicas }) => replicas)).toEqual([6, 6, 6, 6]);
    await bench.progress(100);

    const leaving = await bench.leader();
    const rest = bench.nodes.filter((node) => node !== leaving);
    const [first] = rest;
    if (!first) throw new Error("no other node");
    await expectStatus(200, `${first.url}/v1/raft/members/${leaving.id}`, { method: "DELETE", timeoutMs: 90_000 });
    await bench.progress(100);
    await leaving.kill();
    bench.gone = leaving;
    await bench.progress(100);
    const { body } = await expectStatus(200, `${first.url}/v1/ring`);
    expect((body["nodes"] as readonly Json[]).map(({ node, replicas }) => [node, replicas])).toEqual(rest.map(({ id }) => [id, 8]));
    await bench.check();
  });
});

function hostOf(node: TestNode): TestHost {
  if (!node.host) throw new Error(`${node.id} has no network of its own`);
  return node.host;
}

describe.skipIf(!canPartition)("a queue under load in a network that fails", () => {
  const env = { SHARED_MAC_KEY: "0123456789abcdef-partition", NO_LEADER_WAIT_MS: "200", REQUEST_TIMEOUT_MS: "1000" };
  const bench = new Bench(() => startCluster({ nodes: 3, network: true, env }));
  beforeEach(() => bench.begin());
  afterEach(async (test) => {
    bench.cluster?.network().heal();
    await bench.end(test);
  });
  afterAll(() => bench.destroy());

  type Cut = readonly [how: string, cut: (alone: TestHost, rest: readonly TestHost[]) => void];
  const ways: readonly Cut[] = [
    ["both ways", (alone, rest) => bench.running.network().split([alone], rest)],
    ["so that nobody hears it", (alone, rest) => rest.forEach((other) => bench.running.network().cut(alone, other))],
    ["so that it hears nobody", (alone, rest) => rest.forEach((other) => bench.running.network().cut(other, alone))],
  ];

  it.each(ways)("the node that leads its shard is cut off %s, and comes back", async (_how, cut) => {
    const alone = await bench.leader();
    const rest = bench.nodes.filter((node) => node !== alone);
    cut(hostOf(alone), rest.map(hostOf));
    await bench.leader(rest);
    await bench.progress(200);
    // It takes no message that it could not keep, and hands out none that others have.
    const path = `/v1/queues/${bench.queue}`;
    await waitFor("the node that is alone to refuse", async () => {
      const [produced, consumed] = await Promise.all([
        alone.call(`/v1/queues/lost-and-alone/messages`, { body: { body: { content: "lost" } } }),
        alone.call(`${path}/consume`, { body: { consumer: "alone" } }),
      ]);
      expect([201, 200]).not.toContain(produced.status);
      return produced.status === 503 && consumed.status === 503 ? ready(true) : `${produced.text} ${consumed.text}`;
    });
    bench.running.network().heal();
    await Promise.all(bench.nodes.map((node) => node.waitUntilHealthy()));
    await bench.progress(200);
    await bench.check();
  });
});
