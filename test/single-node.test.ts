import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, type Json } from "./support/http.ts";
import { ready, waitFor } from "./support/wait.ts";

describe("a single node", () => {
  let cluster: TestCluster;
  let node: TestNode;
  beforeEach(async () => {
    cluster = await startCluster({ nodes: 1 });
    node = cluster.node("node1");
  });
  afterEach((test) => cluster.destroy(test));

  it("leads itself and grants, fences and queues locks", async () => {
    const first = (await expectStatus(200, `${node.url}/v1/locks/a/acquire`, { body: { owner: "one" } })).body;
    const waiting = expectStatus(200, `${node.url}/v1/locks/a/acquire`, { body: { owner: "two", wait_ms: 60_000 }, timeoutMs: 60_000 });
    await waitFor("two to wait", async () => {
      const { body } = await expectStatus(200, `${node.url}/v1/locks/a`);
      return (body["waiters"] as readonly Json[]).length === 1 ? ready(true) : JSON.stringify(body);
    });
    await expectStatus(200, `${node.url}/v1/locks/a/release`, { body: { owner: "one", fence: first["fence"] } });
    expect(BigInt((await waiting).body["fence"] as string)).toBeGreaterThan(BigInt(first["fence"] as string));
  });

  it("keeps its locks over kill -9, and the next fence is higher than every one before", async () => {
    const before = (await expectStatus(200, `${node.url}/v1/locks/a/acquire`, { body: { owner: "one", ttl_ms: 600_000 } })).body;
    await node.kill();
    node.start();
    await node.waitUntilHealthy();
    const { body } = await expectStatus(200, `${node.url}/v1/locks/a`);
    expect(body).toMatchObject({ status: "held", holders: [{ owner: "one", fence: before["fence"] }] });
    const after = (await expectStatus(200, `${node.url}/v1/locks/b/acquire`, { body: { owner: "one" } })).body;
    expect(BigInt(after["fence"] as string)).toBeGreaterThan(BigInt(before["fence"] as string));
  });

  it("keeps its locks over a snapshot and what came after it", async () => {
    for (const name of ["a", "b"])
      await expectStatus(200, `${node.url}/v1/locks/${name}/acquire`, { body: { owner: "one", ttl_ms: 600_000 } });
    await expectStatus(200, `${node.url}/v1/raft/snapshot`, { method: "POST" });
    await expectStatus(200, `${node.url}/v1/locks/c/acquire`, { body: { owner: "one", ttl_ms: 600_000 } });
    await expectStatus(200, `${node.url}/v1/locks/a/release`, { body: { owner: "one" } });
    await node.kill();
    node.start();
    await node.waitUntilHealthy();
    const { body } = await expectStatus(200, `${node.url}/v1/locks`);
    expect((body["locks"] as readonly Json[]).map((lock) => lock["name"])).toEqual(["b", "c"]);
  });

  it("drains on SIGTERM: a call under way is answered, the exit code is 0", async () => {
    const first = (await expectStatus(200, `${node.url}/v1/locks/a/acquire`, { body: { owner: "one" } })).body;
    const calls = Array.from({ length: 20 }, (_, index) =>
      expectStatus(200, `${node.url}/v1/locks/many-${index}/acquire`, { body: { owner: "one" } }),
    );
    const answers = await Promise.all(calls);
    expect(answers).toHaveLength(20);
    expect(await node.stop()).toBe(0);
    node.start();
    await node.waitUntilHealthy();
    const { body } = await expectStatus(200, `${node.url}/v1/locks/a`);
    expect(body).toMatchObject({ holders: [{ fence: first["fence"] }] });
  });

  it("gives a lease back when it runs out, and tells a late holder", async () => {
    const lost = (await expectStatus(200, `${node.url}/v1/locks/short/acquire`, { body: { owner: "slow", ttl_ms: 200 } })).body;
    const next = (
      await expectStatus(200, `${node.url}/v1/locks/short/acquire`, { body: { owner: "next", wait_ms: 30_000 }, timeoutMs: 40_000 })
    ).body;
    expect(BigInt(next["fence"] as string)).toBeGreaterThan(BigInt(lost["fence"] as string));
    const late = await node.call("/v1/locks/short/renew", { body: { owner: "slow", fence: lost["fence"] } });
    expect(late.status).toBe(412);
    const release = await node.call("/v1/locks/short/release", { body: { owner: "slow", fence: lost["fence"] } });
    expect([403, 412]).toContain(release.status);
    expect((await expectStatus(200, `${node.url}/v1/fences/check`, { body: { name: "short", fence: lost["fence"] } })).body["valid"]).toBe(
      false,
    );
    expect((await expectStatus(200, `${node.url}/v1/fences/check`, { body: { name: "short", fence: next["fence"] } })).body["valid"]).toBe(
      true,
    );
  });
});
