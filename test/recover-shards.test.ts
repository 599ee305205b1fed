import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { call, expectStatus, type Json } from "./support/http.ts";
import { run, trivet } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

const queue = "orders";
const bodies = Array.from({ length: 40 }, (_, number) => number);

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 5 });
});
afterAll((): Promise<void> => cluster.destroy());

async function applied(node: TestNode): Promise<readonly (readonly [group: string, index: string])[]> {
  const { groups } = (await call(`${node.url}/v1/raft/status`)).body;
  return (groups as readonly Json[]).map(({ group, applied_index: index }) => [JSON.stringify(group), JSON.stringify(index)] as const);
}

/** Replicas of a shard are equal once nothing is said of it any more: the log of each node that has it ends at the same index. */
async function settled(): Promise<void> {
  await waitFor("all logs of a group to be equal", async () => {
    const ends = new Map<string, Set<string>>();
    for (const node of cluster.nodes) {
      for (const [group, index] of await applied(node)) {
        ends.set(group, (ends.get(group) ?? new Set()).add(index));
      }
    }
    const open = [...ends].filter(([, indexes]) => indexes.size > 1).map(([group]) => group);
    return open.length === 0 ? ready(true) : `groups ${open.join(", ")} differ`;
  });
}

async function drain(node: TestNode): Promise<readonly number[]> {
  const found: number[] = [];
  for (;;) {
    const asked = { body: { max: 100, ack: "auto" }, timeoutMs: 60_000 };
    const messages = (await expectStatus(200, `${node.url}/v1/queues/${queue}/consume`, asked)).body["messages"] as readonly Json[];
    if (messages.length === 0) return found.sort((a, b) => a - b);
    found.push(...messages.map((message) => Number(message["body"])));
  }
}

it("of five nodes two disks are gone: locks have their majority, some shards have not, and recover brings them back", async () => {
  const [one, two, three, four, five] = cluster.nodes as [TestNode, TestNode, TestNode, TestNode, TestNode];
  await expectStatus(201, `${one.url}/v1/queues/${queue}`, { method: "PUT", body: { partitions: 12 } });
  for (const body of bodies) await expectStatus(201, `${one.url}/v1/queues/${queue}/messages`, { body: { body, key: `k${body}` } });
  await settled();
  for (const node of cluster.nodes) await node.kill();
  for (const node of [four, five]) await rm(node.dataDir, { recursive: true });
  const left = [one, two, three];
  const members = left.map(({ id, url }) => `${id}=${url}`).join(",");
  const folder = join(cluster.folder, "recovered");
  const words = ["recover", ...left.flatMap(({ dataDir }) => ["--from", dataDir]), "--data-dir", folder, "--members", members];
  const asked = await run(process.execPath, ["--", trivet, ...words], { cwd: cluster.folder });
  expect(asked.code, asked.output).toBe(64);
  expect(asked.output).toMatch(/missing: node4, node5/);
  expect(asked.output).toMatch(/With a majority of their voters here, and all that was acknowledged: .*group 0/);
  expect(asked.output).toMatch(/1 of 3, no majority/);
  const recovered = await run(process.execPath, ["--", trivet, ...words, "--accept-data-loss"], { cwd: cluster.folder });
  expect(recovered.code, recovered.output).toBe(0);
  for (const node of left) node.start({ DATA_DIR: join(folder, node.id), PEERS: members });
  await Promise.all(left.map((node) => node.waitUntilHealthy()));
  expect(await drain(two)).toEqual(bodies);
});
