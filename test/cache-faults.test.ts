import { afterEach, describe, expect, it } from "vitest";
import { CachePair, here, there } from "./support/cache-pair.ts";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { canTrace, slowDurableWrites } from "./support/faults.ts";
import { canPartition, type TestHost } from "./support/networks.ts";

let cluster: TestCluster;
let pair: CachePair;

afterEach(async (test) => {
  await pair.end();
  await cluster.destroy(test);
});

const finish = async (): Promise<void> => expect(await pair.finish()).toEqual({ problems: [], stale: [0, 0] });
const urlsOf = (nodes: readonly TestNode[]): readonly string[] => nodes.map(({ url }) => url);
const hostOf = (node: TestNode | undefined): TestHost => {
  if (!node?.host) throw new Error("a node has no network of its own");
  return node.host;
};

/** A program keeps reading through a node that others cannot reach, or that cannot reach them: what it has copies of is written elsewhere meanwhile. */
describe.skipIf(!canPartition)("copies behind a network that fails one way, between real processes", () => {
  const ways = [
    ["nobody hears", (alone: TestHost, rest: readonly TestHost[]) => rest.forEach((other) => cluster.network().cut(alone, other))],
    ["hears nobody", (alone: TestHost, rest: readonly TestHost[]) => rest.forEach((other) => cluster.network().cut(other, alone))],
  ] as const;

  it.each(ways)("a node with copies, and a program behind it: the one that %s", async (_, cut) => {
    cluster = await startCluster({ nodes: 3, network: true, env: { SHARED_MAC_KEY: "0123456789abcdef-copies" } });
    const [alone, ...rest] = await cluster.followers();
    if (alone === undefined) throw new Error("no follower");
    const others = [await cluster.leader(), ...rest];
    pair = new CachePair(cluster.folder, { urls: urlsOf(others), routing: "any" }, { urls: [alone.url], routing: "any" });
    await pair.bothHit(300);
    cut(hostOf(alone), others.map(hostOf));
    // Homes that were there are elected anew; nobody waits for the node longer than its lease.
    await pair.more(here, "writes", 100);
    cluster.network().heal();
    await pair.more(there, "writes", 50);
    await pair.bothHit(300);
    await finish();
  });
});

describe.skipIf(!canTrace)("copies of what a slow disk stores, on real nodes", () => {
  it("writes wait for the disk, and no copy is older than what was acknowledged", async () => {
    cluster = await startCluster({ nodes: 3 });
    const reach = { urls: urlsOf(cluster.nodes), routing: "any" } as const;
    pair = new CachePair(cluster.folder, reach, reach);
    await pair.bothHit(300);
    const leader = await cluster.leader();
    const strace = await slowDurableWrites(leader.process().pid, cluster.folder, 150);
    await pair.more(here, "writes", 20);
    await pair.more(there, "writes", 20);
    strace.signal("SIGINT");
    await strace.exited;
    await pair.bothHit(300);
    await finish();
  });
});
