/** Point 11: invalid JSON in RAFT_PEERS, a wrong role, Redis down, a missing peer, a short MAC key. */
import { afterEach, describe, expect, it } from "vitest";
import { createCluster, startCluster, type FinishedTest, type TestCluster, type TestNode } from "../support/cluster.ts";
import { expectStatus } from "../support/http.ts";
import { freePorts, start } from "../support/processes.ts";
import { hasRedis } from "../support/redis.ts";
import { ready, waitFor } from "../support/wait.ts";
// JSON, role, MAC key, and what else a setting can be: one line, and an exit code.
import "../bad-input.test.ts";

const said = (node: TestNode, pattern: RegExp): Promise<void> =>
  waitFor(`${node.id} to say ${pattern.source}`, () => {
    const output = node.process().output();
    return pattern.test(output) ? ready(undefined) : output.slice(-2_000);
  });

describe("Redis is down (T-02, T-08, T-22)", () => {
  let cluster: TestCluster;
  afterEach((test: FinishedTest) => cluster.destroy(test));

  it.skipIf(!hasRedis)("nodes start, locks work, queues say 503 with what was tried; when Redis comes, nothing is restarted", async () => {
    const [port = 0] = await freePorts(1);
    cluster = await startCluster({ nodes: 3, env: { REDIS_HOST: "localhost", REDIS_PORT: String(port) } });
    const node = cluster.node("node1");
    // One line has both: the words of S0, and the value that was tried (as it was set, not what its name stands for).
    await said(node, new RegExp(`Redis at localhost:${port} [^\\n]*GAGAL terhubung ke Redis`));
    await expectStatus(200, `${node.url}/lock/without-redis?lock_type=exclusive`, { method: "POST" });
    const refused = await expectStatus(503, `${node.url}/queue/test-queue`, { body: { data: "Hello World" } });
    expect(refused.body).toMatchObject({
      code: "redis_unavailable",
      retryable: true,
      detail: expect.stringContaining(`localhost:${port}`) as unknown,
    });
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    const redis = start("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", ""], { cwd: cluster.folder });
    try {
      await waitFor("queues to work", async () => {
        const { status, text } = await node.call("/queue/test-queue", { body: { data: "Hello World" } });
        return status === 200 ? ready(true) : text;
      });
      // Each node finds it in its own time.
      await waitFor("another node to have the message", async () => {
        const { status, text } = await cluster.node("node2").call("/queue/test-queue");
        return status === 200 ? ready(true) : text;
      });
    } finally {
      redis.signal("SIGKILL");
      await redis.exited;
    }
  });
});

describe("a peer is missing (T-07, T-09)", () => {
  let cluster: TestCluster;
  afterEach((test: FinishedTest) => cluster.destroy(test));

  it("a new cluster says which node is missing and why; it founds itself once that node is there", async () => {
    cluster = await createCluster({ nodes: 3 });
    const [first, second, third] = cluster.nodes as readonly [TestNode, TestNode, TestNode];
    first.start();
    second.start();
    await said(first, new RegExp(`founding needs every listed node; missing: ${third.url} `));
    await said(first, /Gagal terhubung/);
    third.start();
    for (const node of cluster.nodes) await node.waitUntilHealthy();
  });
});
