import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createCluster, startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, type Json } from "./support/http.ts";
import { canPartition } from "./support/networks.ts";
import { freePorts } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

const key = "0123456789abcdef-of-this-cluster";

const said = (what: string, nodes: readonly TestNode[], pattern: RegExp): Promise<void> =>
  waitFor(what, () => {
    const output = nodes.map((node) => node.process().output()).join("\n");
    return pattern.test(output) ? ready(undefined) : output.slice(-2_000);
  });

/** One of three nodes comes back with a setting that does not fit the others. Its disk, its id and its address are the right ones. */
describe("a node whose settings do not fit its cluster is kept out, told why, and disturbs nobody", () => {
  let cluster: TestCluster;
  let odd: TestNode;
  let healthy: readonly TestNode[];
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3, env: { SHARED_MAC_KEY: key, NO_LEADER_WAIT_MS: "200" } });
    odd = cluster.node("node3");
    healthy = cluster.nodes.filter((node) => node !== odd);
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") console.error(cluster.nodes.map((node) => node.process().output().slice(-2_000)).join("\n──\n"));
    await odd.kill();
    odd.start();
    await odd.waitUntilHealthy();
    await cluster.leader();
  });
  afterAll((): Promise<void> => cluster.destroy());

  const restartWith = async (env: Readonly<Record<string, string>>): Promise<() => Promise<void>> => {
    await odd.kill();
    // Its end may have cost the others their leader; what comes now must not.
    const leader = await cluster.leader();
    const { term } = await leader.status();
    odd.start(env);
    return async () => {
      const answer = await odd.call("/v1/locks/odd/acquire", { body: { owner: "odd" } });
      expect(answer.status, answer.text).toBe(503);
      expect((await odd.call("/health")).status).toBe(503);
      expect((await odd.status())["leader"]).toBeNull();
      for (const node of healthy)
        await expectStatus(200, `${node.url}/v1/locks/even/acquire`, { body: { owner: "even", reentrant: true } });
      expect((await expectStatus(200, `${leader.url}/v1/locks/odd`)).body).toMatchObject({ status: "available" });
      for (const node of healthy) expect(await node.status()).toMatchObject({ leader: leader.id, term });
    };
  };

  it("another SHARED_MAC_KEY", async () => {
    const undisturbed = await restartWith({ SHARED_MAC_KEY: "fedcba9876543210-of-another" });
    await said("the others to name the key and the node", healthy, /SHARED_MAC_KEY of node3 differs from ours/);
    await said("the node to name the key", [odd], /SHARED_MAC_KEY of node[12] differs from ours/);
    expect(cluster.nodes.map((node) => node.process().output()).join("\n")).not.toMatch(/of-another|of-this-cluster/);
    await undisturbed();
  });

  it("no SHARED_MAC_KEY where the others have one", async () => {
    const undisturbed = await restartWith({ SHARED_MAC_KEY: "" });
    const reason = /SHARED_MAC_KEY differs: node[12] has one, node3 has none/;
    await said("the others to say who has none", healthy, reason);
    await said("the node to say so, too", [odd], reason);
    await undisturbed();
  });

  it("a CLUSTER_PORT where the others have none", async () => {
    const [port] = await freePorts(1);
    const undisturbed = await restartWith({ CLUSTER_PORT: String(port) });
    for (const node of healthy) {
      await waitFor(`${node.id} to say that peers are not taken there`, async () => {
        const peer = ((await node.status())["peers"] as readonly Json[]).find((each) => each["node"] === odd.id);
        return /CLUSTER_PORT only/.test(JSON.stringify(peer?.["last_error"])) ? ready(true) : JSON.stringify(peer);
      });
    }
    await undisturbed();
  });

  it("an election by a node that has neither the key nor the others' consent changes no term", async () => {
    const undisturbed = await restartWith({
      SHARED_MAC_KEY: "fedcba9876543210-of-another",
      RAFT_ELECTION_TIMEOUT_MIN_MS: "210",
      RAFT_ELECTION_TIMEOUT_MAX_MS: "220",
    });
    await waitFor("the node to have tried", async () => {
      const role = JSON.stringify((await odd.status())["role"]);
      return role.includes("candidate") ? ready(true) : `it is ${role}`;
    });
    await undisturbed();
  });
});

const startUnfounded = async (env: Readonly<Record<string, string>>): Promise<TestCluster> => {
  const cluster = await createCluster({ nodes: 3, network: true, env });
  cluster.startAll();
  return cluster;
};
/** What the API's port answers to somebody who wants to be a peer. */
const askForPeerLink = (port: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.write("GET /v1/peer HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: trivet-peer-1\r\n\r\n");
    });
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    socket.on("error", reject).on("close", () => resolve(text));
  });

describe.skipIf(!canPartition)("peers on other machines", () => {
  let cluster: TestCluster;
  afterEach((test) => cluster.destroy(test));

  it("are not taken without SHARED_MAC_KEY, and it says what would be needed", async () => {
    cluster = await startUnfounded({});
    for (const node of cluster.nodes) {
      await said(
        `${node.id} to say what is needed`,
        [node],
        /takes peers only from loopback, with SHARED_MAC_KEY, with mutual TLS, or on a CLUSTER_PORT/,
      );
      expect((await node.call("/health")).status).toBe(503);
    }
  });

  it("are taken without a key on a CLUSTER_PORT, and there nothing but peers", async () => {
    cluster = await startUnfounded({ CLUSTER_PORT: "9000" });
    await Promise.all(cluster.nodes.map((node) => node.waitUntilHealthy()));
    const leader = await cluster.leader();
    await expectStatus(200, `${leader.url}/v1/locks/a/acquire`, { body: { owner: "o" } });
    expect(await askForPeerLink(leader.port)).toMatch(/^HTTP\/1\.1 403 [^]*CLUSTER_PORT/);
  });
});
