import { afterEach, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, textOf } from "./support/http.ts";

let cluster: TestCluster;
afterEach((test) => cluster.destroy(test));

const [old, fresh] = ["0123456789abcdef-the-old-one", "fedcba9876543210-the-new-one"];
/** SHARED_MAC_KEY and SHARED_MAC_KEY_PREVIOUS in the three rounds of the deployment guide. */
const rounds = [
  [old, fresh],
  [fresh, old],
  [fresh, ""],
] as const;

it("SHARED_MAC_KEY is rotated by three rounds of restarts, one node after the other, and the cluster grants all the time", async () => {
  cluster = await startCluster({ nodes: 3, env: { SHARED_MAC_KEY: old } });
  let granted = 0n;
  const grants = async (at: TestNode): Promise<void> => {
    const { body } = await expectStatus(200, `${at.url}/v1/locks/rotation/acquire`, { body: { owner: `o${granted}`, wait_ms: 5_000 } });
    const fence = BigInt(textOf(body["fence"]));
    expect(fence).toBeGreaterThan(granted);
    granted = fence;
    await expectStatus(200, `${at.url}/v1/locks/rotation/release`, { body: { fence: String(fence) } });
  };
  for (const [key, previous] of rounds) {
    for (const node of cluster.nodes) {
      const others = cluster.nodes.filter((other) => other !== node);
      await node.stop();
      await cluster.leader();
      for (const other of others) await grants(other);
      node.start({ SHARED_MAC_KEY: key, SHARED_MAC_KEY_PREVIOUS: previous });
      await node.waitUntilHealthy();
      await grants(node);
    }
  }
  const output = cluster.nodes.map((node) => node.process().output()).join("\n");
  expect(output).not.toMatch(/SHARED_MAC_KEY of .* differs|the-old-one|the-new-one/);
});
