import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createCluster, startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { canMount, filesIn, mountSmallDisk, type SmallDisk } from "./support/faults.ts";
import { expectStatus, textOf, type Json } from "./support/http.ts";
import { nowMs, recordDeliveries } from "./support/queue-clients.ts";
import { judgeQueue, type QueueRecord } from "./support/queue-history.ts";
import { shardLeader, shardOf } from "./support/shard-leaders.ts";
import { ready, waitFor } from "./support/wait.ts";

let cluster: TestCluster;
let disk: SmallDisk | null = null;
let records: QueueRecord[] = [];
beforeEach(() => {
  disk = null;
  records = [];
});
afterEach(async (test) => {
  // A mounted folder cannot be removed, and a failed test still wants to ask the nodes: so after them, before the rest.
  if (disk !== null) await Promise.all(cluster.nodes.map((node) => node.kill()));
  disk?.unmount();
  await cluster.destroy(test);
});

const queue = "kept";
const path = `/v1/queues/${queue}`;
const contentOf = (at: number, bytes: number): string => `message ${at} `.padEnd(bytes, "abcdefghij");

/** Produces one message of its own key; gives the status. */
async function produce(node: TestNode, at: number, bytes: number): Promise<number> {
  const content = contentOf(at, bytes);
  const key = `key ${at % 5}`;
  const answer = await node.call(`${path}/messages`, { body: { body: { content }, key } });
  const id = answer.status === 201 ? String((answer.body["message_ids"] as readonly unknown[])[0]) : "";
  // A refusal says that nothing is stored; no answer in time says nothing.
  const outcome = id !== "" ? "stored" : answer.status === 504 ? "unknown" : "refused";
  records.push({ type: "sent", content, key, place: at, outcome, id });
  return answer.status;
}

/** Takes and settles until nothing is left that is not leased to others. */
async function consumeAll(node: TestNode, consumer: string): Promise<void> {
  for (;;) {
    const asked = nowMs();
    const { body } = await expectStatus(200, `${node.url}${path}/consume`, { body: { max: 50, consumer } });
    const messages = body["messages"] as readonly Json[];
    if (messages.length === 0) return;
    recordDeliveries((record) => records.push(record), consumer, messages, asked);
    const call = nowMs();
    for (const { id, acquired } of messages) records.push({ type: "acking", id: textOf(id), acquired: Number(acquired), call });
    await expectStatus(200, `${node.url}${path}/ack`, { body: { receipts: messages.map(({ receipt }) => textOf(receipt)) } });
    const ret = nowMs();
    for (const { id, acquired } of messages)
      records.push({ type: "acked", id: textOf(id), acquired: Number(acquired), outcome: "ok", ret });
  }
}

const nodeAt = (index: number): TestNode => {
  const node = cluster.nodes[index];
  if (!node) throw new Error(`no node ${index + 1}`);
  return node;
};

/** Flips a bit in the content of each of these messages in the stores of a stopped node. Gives in how many places. */
function rotMessages(dataDir: string, contents: readonly string[]): number {
  let places = 0;
  for (const file of filesIn(join(dataDir, "shards")).filter((name) => basename(name) === "data.mdb")) {
    const bytes = readFileSync(file);
    for (const content of contents) {
      const wanted = Buffer.from(content);
      for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) {
        const middle = at + Math.floor(wanted.length / 2);
        bytes[middle] = (bytes[middle] ?? 0) ^ 0x04;
        places += 1;
      }
    }
    writeFileSync(file, bytes);
  }
  return places;
}

/** Stops the node in good order, so that its store has everything, and starts it with damaged messages. */
async function damage(node: TestNode): Promise<void> {
  expect(await node.stop()).toBe(0);
  expect(
    rotMessages(
      node.dataDir,
      [20, 21, 22].map((at) => contentOf(at, 400)),
    ),
  ).toBeGreaterThanOrEqual(3);
  node.start();
  await node.waitUntilHealthy();
}

async function expectRepaired(node: TestNode, group: number): Promise<void> {
  await waitFor("the node to say what it found", () => {
    const said = node.process().output();
    return /storage\.corrupt/.test(said) && /checksum/.test(said) ? ready(true) : said.slice(-1_000);
  });
  await waitFor("the node to have the shard again, and to vote in it", () => {
    const said = node.process().output();
    return new RegExp(`shard ${group} caught up with its leader`).test(said) ? ready(true) : said.slice(-1_000);
  });
  expect(node.isRunning()).toBe(true);
}

describe("a damaged message in the store of one node of three", () => {
  beforeEach(async () => {
    cluster = await startCluster({ nodes: 3 });
    await expectStatus(201, `${nodeAt(0).url}${path}`, { method: "PUT", body: { max_deliveries: 0 } });
    for (let at = 0; at < 60; at += 1) expect(await produce(nodeAt(at % 3), at, 400)).toBe(201);
  });

  it("of a follower: every message comes once and whole, and the node fetches the shard again and says so", async () => {
    const group = await shardOf(nodeAt(0), queue);
    const leader = await shardLeader(cluster.nodes, group);
    const [node] = cluster.nodes.filter((other) => other !== leader);
    if (!node) throw new Error("no follower");
    await damage(node);
    await consumeAll(leader, "consumer");
    await expectRepaired(node, group);
    expect(judgeQueue(records)).toEqual([]);
  });

  it("of the leader: the same, whoever leads afterwards", async () => {
    const group = await shardOf(nodeAt(0), queue);
    const leader = await shardLeader(cluster.nodes, group);
    await damage(leader);
    // It is the one that should lead, so it gets the shard back before it looks at any message.
    await waitFor("the damaged node to lead again", async () => {
      const now = await shardLeader(cluster.nodes, group);
      return now === leader ? ready(true) : `${now.id} leads`;
    });
    const asked = await Promise.allSettled(cluster.nodes.map((node) => consumeAll(node, `consumer of ${node.id}`)));
    await expectRepaired(leader, group);
    await waitFor(
      "the queue to be empty",
      async () => {
        for (const node of cluster.nodes) await consumeAll(node, `late consumer of ${node.id}`);
        const { totals } = (await expectStatus(200, `${nodeAt(0).url}${path}`)).body;
        return (totals as Json)["messages"] === 0 ? ready(true) : `${JSON.stringify(totals)} ${JSON.stringify(asked)}`;
      },
      { deadlineMs: 60_000 },
    );
    expect(judgeQueue(records)).toEqual([]);
  });
});

describe("a damaged message in the only copy", () => {
  it("stops the node, which says what is damaged and deletes nothing", async () => {
    cluster = await startCluster({ nodes: 1 });
    const node = nodeAt(0);
    for (let at = 0; at < 30; at += 1) expect(await produce(node, at, 400)).toBe(201);
    expect(await node.stop()).toBe(0);
    expect(rotMessages(node.dataDir, [contentOf(20, 400)])).toBeGreaterThan(0);
    node.start();
    await node.waitUntilHealthy();
    await consumeAll(node, "consumer").catch(() => null);
    await waitFor("the node to stop", () => (node.isRunning() ? node.process().output().slice(-2_000) : ready(true)));
    expect((await node.process().exited).code).toBe(74);
    expect(node.process().output()).toMatch(/checksum/);
    const left = filesIn(join(node.dataDir, "shards")).filter(
      (file) => basename(file) === "data.mdb" && readFileSync(file).includes(contentOf(25, 400)),
    );
    expect(left).toHaveLength(1);
  });
});

describe.skipIf(!canMount)("a full disk under a queue", () => {
  const messageBytes = 32_000;
  /** Until the first refusal, which must say that the disk is full. */
  const produceUntilRefused = async (node: TestNode): Promise<void> => {
    const status = await waitFor(
      "a produce to be refused",
      async () => {
        const given = await produce(node, records.length, messageBytes);
        return given === 201 ? `${records.length} messages fit` : ready(given);
      },
      { deadlineMs: 60_000, everyMs: 0 },
    );
    expect(status).toBe(507);
  };

  it("refuses produces with 507; with room again all goes on, and nothing acknowledged is missing", async () => {
    cluster = await createCluster({ nodes: 1, env: { WAL_SEGMENT_BYTES: "1048576" } });
    const node = nodeAt(0);
    disk = mountSmallDisk(node.dataDir, 48);
    node.start();
    await node.waitUntilHealthy();
    for (let at = 0; at < 50; at += 1) expect(await produce(node, at, messageBytes)).toBe(201);
    disk.fill(4 * 1_024 * 1_024);
    await produceUntilRefused(node);
    expect((await node.call("/v1/health/live")).status).toBe(200);
    const state = await expectStatus(200, `${node.url}${path}`);
    const stored = records.filter((record) => record.type === "sent" && record.outcome === "stored").length;
    expect(state.body["totals"]).toMatchObject({ messages: stored });
    disk.empty();
    await waitFor("a produce to succeed again", async () => {
      const status = await produce(node, records.length, messageBytes);
      return status === 201 ? ready(true) : String(status);
    });
    await node.kill();
    node.start();
    await node.waitUntilHealthy();
    await consumeAll(node, "consumer");
    expect(judgeQueue(records)).toEqual([]);
  });

  it("that its own messages filled: 507 before the store breaks, and consuming goes on once there is room", async () => {
    cluster = await createCluster({ nodes: 1, env: { WAL_SEGMENT_BYTES: "1048576" } });
    const node = nodeAt(0);
    disk = mountSmallDisk(node.dataDir, 32);
    node.start();
    await node.waitUntilHealthy();
    await produceUntilRefused(node);
    expect(node.isRunning()).toBe(true);
    expect(spawnSync("mount", ["-o", "remount,size=128m", disk.path]).status).toBe(0);
    await waitFor("a produce to succeed again", async () => {
      const status = await produce(node, records.length, messageBytes);
      return status === 201 ? ready(true) : String(status);
    });
    await consumeAll(node, "consumer");
    expect(judgeQueue(records)).toEqual([]);
    // What was settled is gone for good.
    await node.kill();
    node.start();
    await node.waitUntilHealthy();
    await consumeAll(node, "consumer after the restart");
    expect(judgeQueue(records)).toEqual([]);
  });
});
