import { existsSync, readFileSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCluster, type FinishedTest, type TestCluster, type TestNode } from "./support/cluster.ts";
import { call, expectStatus, textOf, type Json } from "./support/http.ts";
import { run, trivet } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

const queue = "orders";
const acquire = async (node: TestNode, name: string, owner = "o"): Promise<bigint> =>
  BigInt(textOf((await expectStatus(200, `${node.url}/v1/locks/${name}/acquire`, { body: { owner, ttl_ms: 600_000 } })).body["fence"]));
const produce = async (node: TestNode, body: number): Promise<string> => {
  const { body: answer } = await expectStatus(201, `${node.url}/v1/queues/${queue}/messages`, { body: { body, key: `k${body % 5}` } });
  return textOf((answer["messages"] as readonly Json[])[0]?.["id"]);
};
const consume = async (node: TestNode, body: Json): Promise<readonly Json[]> =>
  (await expectStatus(200, `${node.url}/v1/queues/${queue}/consume`, { body, timeoutMs: 60_000 })).body["messages"] as readonly Json[];
const put = (node: TestNode, key: string, value: number): Promise<unknown> =>
  expectStatus(200, `${node.url}/v1/cache/${encodeURIComponent(key)}`, { method: "PUT", body: { value } });

/** Everything that is left, each message once. */
async function drain(node: TestNode): Promise<readonly Json[]> {
  const all: Json[] = [];
  for (;;) {
    const messages = await consume(node, { max: 100, ack: "auto" });
    if (messages.length === 0) return all;
    all.push(...messages);
  }
}

const cli = (cluster: TestCluster, ...words: readonly string[]): ReturnType<typeof run> =>
  run(process.execPath, ["--", trivet, ...words], {
    cwd: cluster.folder,
    env: { TRIVET_URL: cluster.nodes.map(({ url }) => url).join(",") },
  });
const membersOf = (cluster: TestCluster): string => cluster.nodes.map(({ id, url }) => `${id}=${url}`).join(",");
const clusterId = async (node: TestNode): Promise<unknown> => (await node.status())["cluster_id"];

/** The nodes of the cluster at their addresses, with what a restore has made for them. */
async function startRestored(cluster: TestCluster, folder: string): Promise<TestNode> {
  for (const node of cluster.nodes) node.start({ DATA_DIR: join(folder, node.id) });
  await Promise.all(cluster.nodes.map((node) => node.waitUntilHealthy()));
  return cluster.leader();
}

/** Work of clients that goes on while a backup is made: what was acknowledged before `began` must be in it. */
function traffic(node: TestNode): { readonly stop: () => Promise<readonly number[]> } {
  const state = { on: true };
  const acknowledged: number[] = [];
  const work = async (): Promise<void> => {
    for (let number = 10_000; state.on; number += 1) {
      await produce(node, number);
      acknowledged.push(number);
      await put(node, `busy/${number % 10}`, number);
    }
  };
  const working = work();
  return {
    stop: async () => {
      state.on = false;
      await working;
      return acknowledged;
    },
  };
}

describe("backup, destruction, restore", () => {
  let cluster: TestCluster;
  let backup: string;
  const before = { cluster: "" as unknown, fences: [] as bigint[], receipt: "", produced: [] as number[], late: 0n, lateReceipt: "" };
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
    backup = join(cluster.folder, "cluster.backup");
    const [one, two, three] = cluster.nodes as [TestNode, TestNode, TestNode];
    before.cluster = await clusterId(one);
    await expectStatus(201, `${one.url}/v1/queues/${queue}`, { method: "PUT", body: { partitions: 3 } });
    for (let number = 0; number < 60; number += 1) {
      await produce(cluster.nodes[number % 3] ?? one, number);
      before.produced.push(number);
      await put(two, `value/${number}`, number);
    }
    for (const name of ["a", "b", "c"]) before.fences.push(await acquire(three, name));
    await expectStatus(201, `${two.url}/v1/queues/${queue}/messages`, {
      body: { body: -1, if_fence: { lock: "a", fence: String(before.fences[0]) } },
    });
    before.produced.push(-1);
    const [leased] = await consume(one, { visibility_ms: 600_000 });
    before.receipt = textOf(leased?.["receipt"]);
  });
  afterAll((): Promise<void> => cluster.destroy());

  it("saves the running cluster, and its clients notice nothing", async () => {
    const [one] = cluster.nodes as [TestNode];
    const working = traffic(one);
    const saved = await cli(cluster, "snapshot", "save", backup, "--json");
    const after = await working.stop();
    expect(saved.code, saved.output).toBe(0);
    expect(after.length).toBeGreaterThan(0);
    const line = saved.output.split("\n").find((text) => text.startsWith("{")) ?? "";
    expect(JSON.parse(line)).toMatchObject({ version: 1, kind: "snapshot-saved", cluster_id: before.cluster, queues: "embedded" });
    expect(existsSync(`${backup}.part`)).toBe(false);
    // What the former cluster goes on to give away is not in the backup, and must be worth nothing afterwards.
    for (const name of ["d", "e"]) before.fences.push(await acquire(one, name));
    before.late = await acquire(one, "f");
    const [late] = await consume(one, { visibility_ms: 600_000 });
    before.lateReceipt = textOf(late?.["receipt"]);
    const again = await cli(cluster, "snapshot", "save", backup);
    expect(again.code).toBe(13);
    expect(again.output).toMatch(/is there already/);
  });

  it("tells what is in a backup, and that all of it is good", async () => {
    const inspected = await cli(cluster, "snapshot", "inspect", backup);
    expect(inspected.code, inspected.output).toBe(0);
    expect(inspected.output).toContain(`Cluster ${String(before.cluster)}`);
    const verified = await cli(cluster, "snapshot", "verify", backup, "--json");
    expect(verified.code, verified.output).toBe(0);
    const groups = (JSON.parse(verified.output) as { readonly groups: readonly { readonly group: number }[] }).groups.map(
      ({ group }) => group,
    );
    // Shards first, group 0 last (rule W9).
    expect(groups.at(-1)).toBe(0);
    expect(groups.length).toBeGreaterThan(1);
  });

  it("refuses what is no whole backup, and a directory that is somebody's, and changes nothing", async () => {
    const good = readFileSync(backup);
    const restore = (file: string, into: string): ReturnType<typeof run> =>
      cli(cluster, "snapshot", "restore", file, "--data-dir", join(cluster.folder, into), "--members", membersOf(cluster));
    const cases: readonly (readonly [string, Buffer, RegExp])[] = [
      ["cut.backup", good.subarray(0, good.length - 40), /ends in the middle|cut off/],
      ["half.backup", good.subarray(0, Math.floor(good.length / 2)), /ends in the middle|cut off/],
      ["flipped.backup", flipped(good, Math.floor(good.length / 3)), /bad checksum/],
      ["foreign.backup", Buffer.from("PK\u0003\u0004 this is something else altogether"), /no backup of Trivet/],
      ["longer.backup", Buffer.concat([good, Buffer.from([0, 0, 0, 0])]), /ends in the middle/],
    ];
    for (const [name, bytes, why] of cases) {
      const file = join(cluster.folder, name);
      writeFileSync(file, bytes);
      const refused = await restore(file, "refused");
      expect(refused.code, `${name}: ${refused.output}`).toBe(74);
      expect(refused.output).toMatch(why);
      expect(refused.output).toMatch(/next: /);
      expect(existsSync(join(cluster.folder, "refused"))).toBe(false);
      expect((await cli(cluster, "snapshot", "verify", file)).code).toBe(74);
    }
    const taken = await restore(backup, "data");
    expect(taken.code, taken.output).toBe(13);
    expect(taken.output).toMatch(/is not empty/);
    expect(readdirSync(join(cluster.folder, "data")).sort()).toEqual(["node1", "node2", "node3"]);
    const wrong = await cli(cluster, "snapshot", "restore", backup, "--data-dir", "x", "--members", "node1=nowhere");
    expect(wrong.code).toBe(64);
  });

  it("restores all that was acknowledged before, under another identity, with every lease over and every number above", async () => {
    for (const node of cluster.nodes) {
      await node.kill();
      await rm(node.dataDir, { recursive: true });
    }
    const folder = join(cluster.folder, "restored");
    const restored = await cli(cluster, "snapshot", "restore", backup, "--data-dir", folder, "--members", membersOf(cluster));
    expect(restored.code, restored.output).toBe(0);
    const leader = await startRestored(cluster, folder);
    const [one, two, three] = cluster.nodes as [TestNode, TestNode, TestNode];
    expect(await clusterId(leader)).not.toBe(before.cluster);

    // Locks: free, and every new fence is above all there ever were.
    const highest = before.fences.reduce((most, fence) => (fence > most ? fence : most), before.late);
    for (const name of ["a", "f", "new"]) {
      expect((await expectStatus(200, `${two.url}/v1/locks/${name}`)).body).toMatchObject({ status: "available" });
      expect((await acquire(one, name)) > highest).toBe(true);
    }
    const stale = await two.call(`/v1/queues/${queue}/messages`, {
      body: { body: 0, if_fence: { lock: "f", fence: String(before.late) } },
    });
    expect(stale.status, stale.text).toBe(412);
    const unseen = await two.call("/v1/cache/guarded", {
      method: "PUT",
      body: { value: 1, if_fence: { lock: "d", fence: String(before.late) } },
    });
    expect(unseen.status, unseen.text).toBe(412);

    // Receipts of before settle nothing, whether the backup knew them or not.
    for (const receipt of [before.receipt, before.lateReceipt]) {
      expect((await one.call(`/v1/queues/${queue}/ack`, { body: { receipts: [receipt] } })).status).toBe(409);
    }
    // Messages: none that was acknowledged before is missing, also none that was leased.
    const late = await produce(three, 777);
    const left = await drain(three);
    const bodies = left.map((message) => Number(message["body"]));
    expect(before.produced.filter((number) => !bodies.includes(number))).toEqual([]);
    expect(new Set(bodies).size).toBe(bodies.length);
    expect(left.filter(({ id }) => id === late)).toHaveLength(1);
    // Its number is above all that the former cluster gave.
    expect(BigInt(late.split("-")[2] ?? "0") > 2n ** 40n).toBe(true);

    for (const number of [0, 30, 59]) {
      for (const node of cluster.nodes) {
        expect((await expectStatus(200, `${node.url}/v1/cache/value%2F${number}`)).body).toMatchObject({ value: number });
      }
    }
    await put(two, "value/0", 1_000);
    for (const node of cluster.nodes)
      expect((await expectStatus(200, `${node.url}/v1/cache/value%2F0`)).body).toMatchObject({ value: 1_000 });
  });

  it("is a cluster like any other: it survives kill -9, and can be saved and restored again, upward", async () => {
    const [one] = cluster.nodes as [TestNode];
    const fence = await acquire(one, "kept");
    for (const node of cluster.nodes) await node.kill();
    const leader = await startRestored(cluster, join(cluster.folder, "restored"));
    expect((await expectStatus(200, `${leader.url}/v1/locks/kept`)).body).toMatchObject({ holders: [{ fence: String(fence) }] });
    const second = join(cluster.folder, "second.backup");
    const saved = await cli(cluster, "snapshot", "save", second);
    expect(saved.code, saved.output).toBe(0);
    for (const node of cluster.nodes) await node.kill();
    const folder = join(cluster.folder, "again");
    // Onto fewer nodes: a cluster of one.
    const only = `node1=${cluster.node("node1").url}`;
    const restored = await cli(cluster, "snapshot", "restore", second, "--data-dir", folder, "--members", only);
    expect(restored.code, restored.output).toBe(0);
    one.start({ DATA_DIR: join(folder, "node1"), PEERS: "" });
    await one.waitUntilHealthy();
    expect((await acquire(one, "kept")) > fence).toBe(true);
    expect((await expectStatus(200, `${one.url}/v1/cache/value%2F0`)).body).toMatchObject({ value: 1_000 });
    await one.kill();
  });
});

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(changed.readUInt8(at) ^ 0x40, at);
  return changed;
}

describe("after the loss of the majority", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
  });
  afterAll((): Promise<void> => cluster.destroy());

  it("recover makes a new cluster of what is left, tells what may be lost, and keeps former nodes out by name", async (test: FinishedTest) => {
    const [one, two, three] = cluster.nodes as [TestNode, TestNode, TestNode];
    const former = await clusterId(one);
    const fence = await acquire(one, "a");
    for (let number = 0; number < 20; number += 1) await produce(one, number);
    await put(two, "v", 5);
    // Everybody has everything, so what is left has it, too.
    await waitFor("all logs to be equal", async () => {
      const views = await Promise.all(cluster.nodes.map(async (node) => JSON.stringify(await applied(node))));
      return new Set(views).size === 1 ? ready(true) : views.join(" | ");
    });
    for (const node of cluster.nodes) await node.kill();
    const recover = (from: readonly TestNode[], ...words: readonly string[]): ReturnType<typeof run> =>
      cli(
        cluster,
        "recover",
        ...from.flatMap(({ dataDir }) => ["--from", dataDir]),
        "--data-dir",
        join(cluster.folder, "recovered"),
        "--members",
        membersOf(cluster),
        ...words,
      );
    // With a majority there is nothing to lose.
    const needless = await recover([one, three], "--accept-data-loss");
    expect(needless.code, needless.output).toBe(13);
    expect(needless.output).toMatch(/a majority of node1, node2, node3/);

    await rm(two.dataDir, { recursive: true });
    const asked = await recover([three]);
    expect(asked.code, asked.output).toBe(64);
    expect(asked.output).toMatch(/missing: node1, node2/);
    expect(asked.output).toMatch(/--accept-data-loss/);
    expect(existsSync(join(cluster.folder, "recovered"))).toBe(false);
    const untouched = readdirSync(join(three.dataDir, "wal"));

    const recovered = await recover([three], "--accept-data-loss");
    expect(recovered.code, recovered.output).toBe(0);
    expect(readdirSync(join(three.dataDir, "wal"))).toEqual(untouched);
    expect(readdirSync(cluster.folder).filter((name) => name.includes("recovery"))).toEqual([]);

    // A former node comes back first, with its disk, under its name and address.
    two.start({ DATA_DIR: join(cluster.folder, "recovered", "node2") });
    three.start({ DATA_DIR: join(cluster.folder, "recovered", "node3") });
    await Promise.all([two, three].map((node) => node.waitUntilHealthy()));
    one.start();
    await waitFor("the new nodes to refuse the former one by its cluster's name", () => {
      const said = two.process().output() + three.process().output();
      return said.includes(String(former)) && said.includes("node1") ? ready(true) : said.slice(-2_000);
    });
    expect((await one.call("/health")).status).toBe(503);
    expect((await one.status())["cluster_id"]).toBe(former);
    await one.kill();
    one.start({ DATA_DIR: join(cluster.folder, "recovered", "node1") });
    await one.waitUntilHealthy();
    const leader = await cluster.leader();
    expect(await clusterId(leader)).not.toBe(former);
    expect((await acquire(leader, "a")) > fence).toBe(true);
    expect((await drain(two)).map((message) => Number(message["body"])).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, at) => at),
    );
    expect((await expectStatus(200, `${one.url}/v1/cache/v`)).body).toMatchObject({ value: 5 });
    if (test.task.result?.state === "fail") console.error(leader.process().output().slice(-4_000));
  });
});

async function applied(node: TestNode): Promise<unknown> {
  const { groups } = (await call(`${node.url}/v1/raft/status`)).body;
  return (groups as readonly Json[]).map(({ group, applied_index: index }) => JSON.stringify([group, index])).sort();
}

describe("the log of a stopped node", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1 });
  });
  afterAll((): Promise<void> => cluster.destroy());

  it("wal verify and wal dump say what is there and where it is damaged, and change nothing", async () => {
    const [node] = cluster.nodes as [TestNode];
    for (const name of ["a", "b", "c"]) await acquire(node, name);
    await produce(node, 1);
    await node.kill();
    const wal = join(node.dataDir, "wal");
    const segment = join(wal, readdirSync(wal).sort()[0] ?? "");
    const good = readFileSync(segment);

    const whole = await cli(cluster, "wal", "verify", node.dataDir, "--json");
    expect(whole.code, whole.output).toBe(0);
    const report = JSON.parse(whole.output) as {
      readonly ok: boolean;
      readonly groups: readonly { readonly group: number }[];
      readonly segments: readonly { readonly end: number }[];
    };
    expect(report).toMatchObject({ kind: "wal-report", ok: true });
    expect(report.groups.map(({ group }) => group)).toContain(0);

    const dumped = await cli(cluster, "wal", "dump", node.dataDir, "--group", "0", "--json");
    const lines = dumped.output
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { readonly record: string; readonly offset: number });
    const entries = lines.filter(({ record }) => record === "entries");
    expect(entries.length).toBeGreaterThan(3);
    const text = await cli(cluster, "wal", "dump", node.dataDir);
    expect(text.output).toMatch(/0000000001\.wal \d+ #\d+ group=0 entries \d+:\d+:command:\d+B/);

    const place = entries[1]?.offset ?? 0;
    writeFileSync(segment, flipped(good, place + 45));
    const damaged = await cli(cluster, "wal", "verify", node.dataDir);
    expect(damaged.code, damaged.output).toBe(74);
    expect(damaged.output).toContain(`offset ${place}`);
    expect(damaged.output).toMatch(/0000000001\.wal/);
    expect(damaged.output).toMatch(/next: .*restore a backup/);
    expect(readFileSync(segment).equals(flipped(good, place + 45))).toBe(true);

    // An end that was not finished is normal after a crash.
    writeFileSync(segment, good);
    truncateSync(segment, (report.segments.at(-1)?.end ?? 0) - 3);
    const torn = await cli(cluster, "wal", "verify", node.dataDir);
    expect(torn.output).toMatch(/did not finish/);
    expect((await cli(cluster, "wal", "verify", cluster.folder)).code).toBe(64);
  });
});
