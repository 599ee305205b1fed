import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCluster, type FinishedTest, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus } from "./support/http.ts";
import { lostOrLeftOver, startLockClients, violations, type LockClients } from "./support/lock-clients.ts";
import { canPartition, type TestHost, type TestNetwork } from "./support/networks.ts";
import { ready, waitFor } from "./support/wait.ts";

const hostOf = (node: TestNode): TestHost => {
  if (!node.host) throw new Error(`${node.id} has no network of its own`);
  return node.host;
};

const termOf = async (node: TestNode): Promise<number> => Number((await node.status())["term"]);
/** A leader among `nodes` that all of them name, in a term after `term`. */
const leaderAmong = (nodes: readonly TestNode[], term: number): Promise<TestNode> =>
  waitFor(`a leader among ${nodes.map((node) => node.id).join(", ")} after term ${term}`, async () => {
    const views = await Promise.all(nodes.map((node) => node.status()));
    const leader = nodes.find((_, index) => views[index]?.["role"] === "leader" && Number(views[index]?.["term"]) > term);
    const agreed = views.every((view) => view["leader"] === leader?.id);
    return leader && agreed ? ready(leader) : JSON.stringify(views.map(({ node_id, role, leader, term }) => [node_id, role, leader, term]));
  });
/** CheckQuorum: it must know by itself, nobody can tell it. */
const stepsDown = (node: TestNode): Promise<void> =>
  waitFor(`${node.id} to step down`, async () => {
    const { role } = await node.status();
    return role === "leader" ? "still leads" : ready(undefined);
  });
const missesLeader = (node: TestNode): Promise<void> =>
  waitFor(`${node.id} to name no leader`, async () => {
    const status = await node.status();
    return status["leader"] === null ? ready(undefined) : JSON.stringify(status);
  });

const grantsNothing = async (node: TestNode): Promise<void> => {
  await missesLeader(node);
  const [acquired, read, health] = await Promise.all([
    node.call(`/v1/locks/cut-off-${node.id}/acquire`, { body: { owner: "nobody" } }),
    node.call(`/v1/locks/cut-off-${node.id}`),
    node.call("/health"),
  ]);
  expect([acquired.status, read.status, health.status], acquired.text + read.text + health.text).toEqual([503, 503, 503]);
  for (const refused of [acquired, read]) expect(["no_leader", "no_quorum"]).toContain(refused.body["code"]);
};

/** Nodes on hosts of their own under load from clients that reach all of them, also those that are cut off from the others. */
describe.skipIf(!canPartition)("a network that fails between real processes under load", () => {
  let cluster: TestCluster;
  let clients: LockClients;
  let network: TestNetwork;
  let started = 0;
  let round = 0;

  /** Tests that passed leave a healed cluster to the next one. */
  const begin = async (nodes: number): Promise<void> => {
    if (started !== nodes) await startNew(nodes);
    round += 1;
    clients = startLockClients({
      urls: cluster.nodes.map((node) => node.url),
      clients: 8,
      names: Array.from({ length: 5 }, (_, index) => `round-${round}/${index}`),
      patienceMs: 30_000,
    });
    await clients.progress(30);
  };
  const startNew = async (nodes: number): Promise<void> => {
    await end();
    // Without a leader a call is refused soon, so that its client goes elsewhere; peers of other machines need the key.
    const env = { SHARED_MAC_KEY: "0123456789abcdef-partition", NO_LEADER_WAIT_MS: "200", REQUEST_TIMEOUT_MS: "1000" };
    cluster = await startCluster({ nodes, network: true, env });
    network = cluster.network();
    started = nodes;
  };
  const end = async (test?: FinishedTest): Promise<void> => {
    if (started === 0) return;
    started = 0;
    await cluster.destroy(test);
  };
  afterEach(async (test) => {
    if (started === 0) return;
    network.heal();
    await clients.finish();
    if (test.task.result?.state === "fail") await end(test);
  });
  afterAll(() => end());

  const others = (node: TestNode): readonly TestNode[] => cluster.nodes.filter((other) => other !== node);
  const follower = async (): Promise<TestNode> => {
    const [first] = await cluster.followers();
    if (!first) throw new Error("no follower");
    return first;
  };
  const healed = async (): Promise<void> => {
    network.heal();
    await Promise.all(cluster.nodes.map((node) => node.waitUntilHealthy()));
    await cluster.leader();
    await clients.progress(30);
  };
  const check = async (): Promise<void> => {
    const history = await clients.finish();
    expect(violations(history)).toEqual([]);
    const leader = await cluster.leader();
    expect(await lostOrLeftOver(history, leader.url)).toEqual([]);
    expect(history.grants.length).toBeGreaterThan(30);
    for (const node of cluster.nodes) {
      const state = (await expectStatus(200, `${leader.url}/v1/locks/cut-off-${node.id}`)).body;
      expect(state["holders"], `what ${node.id} refused`).toEqual([]);
    }
  };

  describe("of three nodes", () => {
    beforeEach(() => begin(3));

    type Cut = readonly [how: string, cut: (alone: TestHost, rest: readonly TestHost[]) => void];
    const ways: readonly Cut[] = [
      ["both ways", (alone, rest) => network.split([alone], rest)],
      ["so that nobody hears it", (alone, rest) => rest.forEach((other) => network.cut(alone, other))],
      ["so that it hears nobody", (alone, rest) => rest.forEach((other) => network.cut(other, alone))],
    ];

    it.each(ways)("the leader is cut off %s: it steps down and grants nothing, the others elect and go on", async (_how, cut) => {
      const leader = await cluster.leader();
      const term = await termOf(leader);
      cut(hostOf(leader), others(leader).map(hostOf));
      await leaderAmong(others(leader), term);
      await stepsDown(leader);
      await grantsNothing(leader);
      await clients.progress(30);
      await healed();
      await check();
    });

    it.each(ways)("a follower is cut off %s: the leader stays, in its term, also when the follower returns", async (_how, cut) => {
      const node = await follower();
      const leader = await cluster.leader();
      const term = await termOf(leader);
      cut(hostOf(node), others(node).map(hostOf));
      await grantsNothing(node);
      await clients.progress(30);
      await healed();
      // PreVote: the node that was alone has raised no term, so its return deposes nobody.
      expect(await cluster.leader()).toBe(leader);
      expect(await termOf(leader)).toBe(term);
      await check();
    });

    it("only leader and one follower do not reach each other: the third keeps the leader in office", async () => {
      const node = await follower();
      const leader = await cluster.leader();
      const term = await termOf(leader);
      network.split([hostOf(leader)], [hostOf(node)]);
      await missesLeader(node);
      await clients.progress(30);
      expect(await termOf(leader)).toBe(term);
      await healed();
      expect(await cluster.leader()).toBe(leader);
      expect(await termOf(leader)).toBe(term);
      await check();
    });

    it("nobody can dial a node, but what it dials works: it takes part, also after a restart", async () => {
      const node = await follower();
      const leader = await cluster.leader();
      const term = await termOf(leader);
      for (const other of others(node)) network.cutDials(hostOf(other), hostOf(node));
      await clients.progress(30);
      await node.kill();
      node.start();
      await node.waitUntilHealthy();
      await clients.progress(30);
      expect(await termOf(leader)).toBe(term);
      await healed();
      await check();
    });

    it("every node is alone: nobody leads, nothing is granted, and all goes on when the network is back", async () => {
      const leader = await cluster.leader();
      const hosts = cluster.nodes.map(hostOf);
      for (const host of hosts) network.split([host], hosts.slice(hosts.indexOf(host) + 1));
      await stepsDown(leader);
      await Promise.all(cluster.nodes.map(grantsNothing));
      await healed();
      await check();
    });
  });

  it("of five nodes the leader and a follower are cut off: two grant nothing, three elect and go on", async () => {
    await begin(5);
    const leader = await cluster.leader();
    const few = [leader, await follower()];
    const most = cluster.nodes.filter((node) => !few.includes(node));
    const term = await termOf(leader);
    network.split(few.map(hostOf), most.map(hostOf));
    await leaderAmong(most, term);
    await stepsDown(leader);
    await Promise.all(few.map(grantsNothing));
    await clients.progress(30);
    await healed();
    await check();
  });
});
