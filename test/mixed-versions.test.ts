import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, textOf } from "./support/http.ts";
import { lostOrLeftOver, startLockClients, violations } from "./support/lock-clients.ts";
import { startMixedLoad } from "./support/mixed-load.ts";
import { ready, waitFor } from "./support/wait.ts";

const older = { FEATURE_LEVEL: "1" };
const before = { FEATURE_LEVEL: "2" };
const newest = 6;

describe("nodes of different versions in one cluster (decision 0022)", () => {
  let cluster: TestCluster;
  beforeEach(async () => {
    cluster = await createCluster({ nodes: 3 });
  });
  afterEach((test) => cluster.destroy(test));

  const allAt = async (level: number): Promise<void> => {
    await waitFor(`all at level ${level}`, async () => {
      const levels = await Promise.all(cluster.running().map(async (node) => (await node.status())["feature_level"]));
      return levels.every((is) => is === level) ? ready(true) : JSON.stringify(levels);
    });
  };
  const restart = async (node: TestNode, env: Readonly<Record<string, string>> = {}): Promise<void> => {
    expect(await node.stop()).toBe(0);
    node.start(env);
    await node.waitUntilHealthy();
    await cluster.leader();
  };

  it("what the oldest does not know is refused with a code and its name, and works by itself once it is upgraded", async () => {
    for (const [at, node] of cluster.nodes.entries()) node.start(at === 2 ? older : {});
    await Promise.all(cluster.nodes.map((node) => node.waitUntilHealthy()));
    await allAt(1);
    const clients = startLockClients({ urls: cluster.nodes.map(({ url }) => url), clients: 4, names: ["a", "b"], patienceMs: 30_000 });
    await clients.progress(50);
    for (const { url } of cluster.nodes) {
      for (const [method, path, body] of [
        ["PUT", "/v1/cache/item", { value: 1 }],
        ["GET", "/v1/cache/item", undefined],
        ["PUT", "/v1/cache-namespaces/users", {}],
      ] as const) {
        const { body: answer } = await expectStatus(503, `${url}${path}`, { method, body });
        expect(answer).toMatchObject({ code: "feature_level", retryable: true });
        expect(textOf(answer["detail"])).toMatch(/needs feature level 2, and the cluster is at 1.*node3/);
      }
    }
    await restart(cluster.node("node3"));
    await allAt(newest);
    const [first, second] = cluster.nodes;
    await expectStatus(200, `${first?.url}/v1/cache/item`, { method: "PUT", body: { value: 1 } });
    expect((await expectStatus(200, `${second?.url}/v1/cache/item`)).body).toMatchObject({ value: 1 });
    await clients.progress(50);
    const history = await clients.finish();
    expect(violations(history)).toEqual([]);
    expect(await lostOrLeftOver(history, first?.url ?? "")).toEqual([]);
  });

  it("an upgrade from the version before, node by node under load: nothing is lost, nothing fails, and there is no way back", async () => {
    for (const node of cluster.nodes) node.start(before);
    await Promise.all(cluster.nodes.map((node) => node.waitUntilHealthy()));
    await allAt(2);
    const load = await startMixedLoad(cluster.nodes.map(({ url }) => url));
    await load.progress(10);
    for (const node of cluster.nodes) {
      await restart(node);
      await load.progress(10);
    }
    await allAt(newest);
    await load.progress(10);
    expect(await load.finish()).toEqual([]);

    const [node] = await cluster.followers();
    if (node === undefined) throw new Error("no follower");
    expect(await node.stop()).toBe(0);
    const started = node.start(before);
    expect((await started.exited).code).toBe(78);
    expect(started.output()).toMatch(
      /FEATURE_LEVEL of node\d is 2: start node\d with|node\d knows feature level 2, and the cluster is at 6: start it with/,
    );
    node.start();
    await node.waitUntilHealthy();
  });
});
