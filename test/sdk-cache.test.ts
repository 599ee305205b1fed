import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CachePair, here, there } from "./support/cache-pair.ts";
import { startCluster, type TestCluster } from "./support/cluster.ts";
import { type CutProxy, startCutProxy } from "./support/cut-proxy.ts";

describe("near caches of two programs on real nodes: no read is older than what was acknowledged before it", () => {
  let cluster: TestCluster;
  let proxies: CutProxy[];
  let pair: CachePair;

  beforeEach(async () => {
    cluster = await startCluster({ nodes: 3 });
    proxies = await Promise.all(cluster.nodes.map(({ port }) => startCutProxy(port)));
    const own = { urls: cluster.nodes.map(({ url }) => url), routing: "leader" } as const;
    pair = new CachePair(cluster.folder, own, { urls: proxies.map(({ url }) => url), routing: "any" });
  });
  afterEach(async (test) => {
    await pair.end();
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await cluster.destroy(test);
  });

  const finish = async (): Promise<void> => expect(await pair.finish()).toEqual({ problems: [], stale: [0, 0] });

  it("thousands of rounds, and while one of them is stopped and goes on", async () => {
    await pair.bothHit(2_000);
    await pair.more(here, "writes", 1_000);
    for (let times = 0; times < 2; times++) {
      pair.worker.signal("SIGSTOP");
      // Nobody waits for it longer than its lease.
      await pair.more(here, "writes", 200);
      pair.worker.signal("SIGCONT");
      await pair.more(there, "reads", 100);
    }
    // The bar on a holder that made others wait is over at some time (rule M6).
    await pair.bothHit(500);
    await finish();
  });

  it("kill -9 of the leader, and a cut of the link", async () => {
    await pair.bothHit(1_000);
    const leader = await cluster.leader();
    await leader.kill();
    await pair.more(here, "writes", 200);
    await pair.more(there, "writes", 200);
    leader.start();
    await leader.waitUntilHealthy();
    await pair.bothHit(500);
    for (const proxy of proxies) proxy.cut();
    await pair.more(here, "writes", 200);
    for (const proxy of proxies) proxy.heal();
    await pair.more(there, "writes", 100);
    await pair.bothHit(500);
    await finish();
  });
});
