import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus } from "./support/http.ts";
import { lostOrLeftOver, startLockClients, violations, type LockClients } from "./support/lock-clients.ts";
import { ready, waitFor } from "./support/wait.ts";

describe("fail-over of real processes under load", () => {
  let cluster: TestCluster;
  let clients: LockClients;

  beforeEach(async () => {
    cluster = await startCluster({ nodes: 3 });
    clients = startLockClients({
      urls: cluster.nodes.map((node) => node.url),
      clients: 8,
      names: Array.from({ length: 5 }, (_, index) => `shelf/${index}`),
      patienceMs: 30_000,
    });
    await clients.progress(50);
  });
  afterEach(async (test) => {
    await clients.finish();
    await cluster.destroy(test);
  });

  const check = async (): Promise<void> => {
    const history = await clients.finish();
    expect(violations(history)).toEqual([]);
    expect(await lostOrLeftOver(history, (await cluster.leader()).url)).toEqual([]);
    expect(history.grants.length).toBeGreaterThan(50);
  };
  const follower = async (): Promise<TestNode> => {
    const [first] = await cluster.followers();
    if (!first) throw new Error("no follower");
    return first;
  };

  it("kill -9 of the leader, three times, each time started again", async () => {
    for (let turn = 0; turn < 3; turn += 1) {
      const leader = await cluster.leader();
      await leader.kill();
      await clients.progress(30);
      leader.start();
      await leader.waitUntilHealthy();
      await clients.progress(30);
    }
    await check();
  });

  it("kill -9 of a follower, started again", async () => {
    const node = await follower();
    await node.kill();
    await clients.progress(50);
    node.start();
    await node.waitUntilHealthy();
    await clients.progress(50);
    await check();
  });

  it("a leader that is stopped for a while (SIGSTOP) and goes on as if nothing had happened", async () => {
    const leader = await cluster.leader();
    const before = await leader.status();
    leader.pause();
    await clients.progress(50);
    leader.resume();
    await waitFor("the old leader to follow the new one", async () => {
      const status = await leader.status();
      return status["role"] === "follower" && Number(status["term"]) > Number(before["term"]) ? ready(true) : JSON.stringify(status);
    });
    await clients.progress(50);
    await check();
  });

  it("a follower that is stopped for a while (SIGSTOP)", async () => {
    const node = await follower();
    const term = (await (await cluster.leader()).status())["term"];
    node.pause();
    await clients.progress(50);
    node.resume();
    await node.waitUntilHealthy();
    await clients.progress(50);
    // Stickiness and PreVote: a node that comes back does not depose a working leader.
    expect((await (await cluster.leader()).status())["term"]).toBe(term);
    await check();
  });

  it("kill -9 of all nodes at once, then all started again", async () => {
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    cluster.startAll();
    await Promise.all(cluster.nodes.map((node) => node.waitUntilHealthy()));
    await clients.progress(50);
    await check();
  });

  it("a restart storm: every node killed and started in turn, without waiting for health", async () => {
    for (const node of [...cluster.nodes, ...cluster.nodes]) {
      await node.kill();
      node.start();
      await clients.progress(5, 60_000);
    }
    await check();
  });

  it("a graceful stop of the leader hands leadership over", async () => {
    const leader = await cluster.leader();
    const before = Number((await leader.status())["term"]);
    expect(await leader.stop()).toBe(0);
    const next = await cluster.leader();
    // One transfer, no failed election: exactly one new term.
    expect(Number((await next.status())["term"])).toBe(before + 1);
    await clients.progress(30);
    leader.start();
    await leader.waitUntilHealthy();
    await check();
  });
});

describe("a lock taken before the leader died", () => {
  let cluster: TestCluster;
  beforeEach(async () => {
    cluster = await startCluster({ nodes: 3 });
  });
  afterEach((test) => cluster.destroy(test));

  it("is still held by the same owner with the same fence, and can be released", async () => {
    const leader = await cluster.leader();
    const taken = (await expectStatus(200, `${leader.url}/v1/locks/deploy/acquire`, { body: { owner: "ci" } })).body;
    await leader.kill();
    const next = await cluster.leader();
    const state = (await expectStatus(200, `${next.url}/v1/locks/deploy`)).body;
    expect(state).toMatchObject({ status: "held", holders: [{ owner: "ci", fence: taken["fence"] }] });
    const late = await expectStatus(423, `${next.url}/v1/locks/deploy/acquire`, { body: { owner: "other" } });
    expect(late.body).toMatchObject({ code: "locked", holders: [{ owner: "ci", fence: taken["fence"] }] });
    await expectStatus(200, `${next.url}/v1/locks/deploy/release`, { body: { owner: "ci", fence: taken["fence"] } });
    const again = (await expectStatus(200, `${next.url}/v1/locks/deploy/acquire`, { body: { owner: "other" } })).body;
    expect(Number(again["fence"])).toBeGreaterThan(Number(taken["fence"]));
  });

  it("goes to the owner that waited, through whichever node it waits", async () => {
    const leader = await cluster.leader();
    const [one, two] = await cluster.followers();
    if (!one || !two) throw new Error("two followers are needed");
    const held = (await expectStatus(200, `${one.url}/v1/locks/line/acquire`, { body: { owner: "first" } })).body;
    const waiting = expectStatus(200, `${two.url}/v1/locks/line/acquire`, {
      body: { owner: "second", wait_ms: 60_000 },
      timeoutMs: 60_000,
    });
    await waitFor("the second owner to stand in line", async () => {
      const state = (await expectStatus(200, `${one.url}/v1/locks/line`)).body;
      return (state["waiters"] as readonly unknown[]).length === 1 ? ready(true) : JSON.stringify(state);
    });
    await leader.kill();
    await cluster.leader();
    await expectStatus(200, `${one.url}/v1/locks/line/release`, { body: { owner: "first", fence: held["fence"] } });
    expect((await waiting).body).toMatchObject({ granted: true, owner: "second" });
  });

  it("without a quorum nothing is granted, and a call says so in bounded time", async () => {
    const leader = await cluster.leader();
    for (const node of await cluster.followers()) await node.kill();
    await waitFor("the leader to step down", async () => {
      const status = await leader.status();
      return status["role"] === "leader" ? "still leads" : ready(true);
    });
    const refused = await leader.call("/v1/locks/alone/acquire", { body: { owner: "x" } });
    expect(refused.status).toBe(503);
    expect(["no_leader", "no_quorum"]).toContain(refused.body["code"]);
    expect(refused.headers.get("retry-after")).toMatch(/^\d+$/);
    expect((await leader.call("/health")).body).toMatchObject({ status: "no_leader", leader: null });
    expect((await leader.call("/raft/leader")).body).toMatchObject({ leader: null, agreed: false, quorum: false });
  });
});
