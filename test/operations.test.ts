import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, textOf, type Json } from "./support/http.ts";
import { freePorts, run, trivet } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

const cli = (cluster: TestCluster, words: readonly string[], env: Readonly<Record<string, string>> = {}): ReturnType<typeof run> =>
  run(process.execPath, ["--", trivet, ...words], {
    cwd: cluster.folder,
    env: { TRIVET_URL: cluster.nodes.map(({ url }) => url).join(","), ...env },
  });
const acquire = async (node: TestNode, name: string): Promise<bigint> =>
  BigInt(
    textOf((await expectStatus(200, `${node.url}/v1/locks/${name}/acquire`, { body: { owner: "o", ttl_ms: 600_000 } })).body["fence"]),
  );
const kinds = async (node: TestNode): Promise<Readonly<Record<string, unknown>>> => {
  const { body } = await expectStatus(200, `${node.url}/v1/raft/members`);
  return Object.fromEntries((body["members"] as readonly Json[]).map((member) => [textOf(member["node"]), member["kind"]]));
};

describe("trivet member replace OLD NEW", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
  });
  afterAll((): Promise<void> => cluster.destroy());

  it("puts a new node in the place of a dead one, shards and all, and refuses where the quorum would be lost", async () => {
    const leader = await cluster.leader();
    const fence = await acquire(leader, "kept");
    await expectStatus(200, `${leader.url}/v1/cache/k`, { method: "PUT", body: { value: 7 } });
    const [old, other] = await cluster.followers();
    if (old === undefined || other === undefined) throw new Error("two followers are needed");
    const unknown = await cli(cluster, ["member", "replace", old.id, "node9", "--yes"]);
    expect(unknown.code, unknown.output).toBe(64);
    expect(unknown.output).toMatch(/its address is not known/);

    await old.kill();
    const node = await cluster.addNode();
    node.start({ PEERS: "" }, ["--join", leader.url]);
    const replaced = await cli(cluster, ["member", "replace", old.id, node.id, "--address", node.url, "--yes", "--within", "2"]);
    expect(replaced.code, replaced.output).toBe(0);
    expect(await kinds(leader)).toEqual({ [leader.id]: "voter", [other.id]: "voter", [node.id]: "voter" });
    const { body: ring } = await expectStatus(200, `${leader.url}/v1/ring`);
    expect(JSON.stringify(ring["shards"])).not.toContain(`"${old.id}"`);
    expect((await expectStatus(200, `${node.url}/v1/locks/kept`)).body).toMatchObject({ holders: [{ fence: String(fence) }] });
    expect((await expectStatus(200, `${node.url}/v1/cache/k`)).body).toMatchObject({ value: 7 });

    // Of three voters one is down now: without another one there would be no quorum.
    await other.kill();
    await waitFor("the leader to notice", async () => {
      const { body } = await leader.call("/v1/raft/status");
      const peer = (body["peers"] as readonly Json[]).find((candidate) => candidate["node"] === other.id);
      return peer?.["connected"] === false ? ready(true) : JSON.stringify(peer);
    });
    const refused = await cli(cluster, ["member", "replace", leader.id, other.id, "--yes", "--address", other.url]);
    expect(refused.code, refused.output).toBe(13);
    expect(refused.output).toMatch(new RegExp(`the quorum would be lost[^]*missing: ${other.id}`));
    expect(Object.keys(await kinds(leader)).sort()).toEqual([leader.id, other.id, node.id].sort());
  });
});

describe("trivet doctor and trivet debug bundle", () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
  });
  afterAll((): Promise<void> => cluster.destroy());

  const envOf = (node: TestNode): Readonly<Record<string, string>> => ({
    NODE_ID: node.id,
    HTTP_PORT: String(node.port),
    DATA_DIR: node.dataDir,
    LOG_DIR: join(cluster.folder, "logs"),
    PEERS: cluster.nodes.map(({ id, url }) => `${id}=${url}`).join(","),
  });

  it("finds nothing wrong with a node that runs, and names what is wrong, each with what to do", async () => {
    const [node, other] = cluster.nodes as [TestNode, TestNode];
    const healthy = await cli(cluster, ["doctor", "--json"], envOf(node));
    expect(healthy.code, healthy.output).toBe(0);
    const { findings } = JSON.parse(healthy.output) as { readonly findings: readonly Json[] };
    expect(findings.map(({ check }) => check)).toEqual(expect.arrayContaining(["configuration", "data", "disk", "port", "peers", "clock"]));

    mkdirSync(join(cluster.folder, "docker"));
    writeFileSync(join(cluster.folder, "docker", "docker-compose.yml"), "services: {}\n");
    writeFileSync(join(cluster.folder, ".env"), "LOG_LEVEL=info\n");
    const [free = 0] = await freePorts(1);
    const wrong = {
      ...envOf(node),
      NODE_ID: other.id,
      HTTP_PRT: "1",
      PEERS: `${node.id}=${node.url},${other.id}=http://127.0.0.1:${free}`,
    };
    const ill = await cli(cluster, ["doctor"], wrong);
    expect(ill.code, ill.output).toBe(1);
    expect(ill.output).toMatch(new RegExp(`belongs to ${node.id}, but NODE_ID is ${other.id}[^]*next: set NODE_ID=${node.id}`));
    expect(ill.output).toMatch(/HTTP_PRT[^]*HTTP_PORT/);
    expect(ill.output).toMatch(/docker\/\.env is missing[^]*next: ln -s \.\.\/\.env docker\/\.env/);
    expect(ill.output).toMatch(/taken by something else/);
    symlinkSync("../.env", join(cluster.folder, "docker", ".env"));
    expect((await cli(cluster, ["doctor"], envOf(node))).output).toMatch(/docker\/\.env leads to \.env/);
    const bad = await cli(cluster, ["doctor"], { ...envOf(node), HTTP_PORT: "ninety" });
    expect(bad.code).toBe(1);
    expect(bad.output).toMatch(/HTTP_PORT/);
  });

  it("makes a bundle with everything but secrets, wherever they stand", async () => {
    const [node] = cluster.nodes as [TestNode];
    const planted = {
      mac: "planted-mac-key-0123456789abcdef",
      redis: "planted-redis-password",
      token: `tvt_abcdefghij_${"Z".repeat(43)}`,
      bearer: "planted.bearer.value",
      url: "planted-url-password",
      field: "planted-field-value",
    };
    const logs = join(cluster.folder, "logs");
    const jwt = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.${"s".repeat(30)}`;
    writeFileSync(
      join(logs, "extra.log"),
      [
        `key ${planted.mac} was used`,
        `authorization: Bearer ${planted.bearer}`,
        `{"password":"${planted.field}","url":"postgres://user:${planted.url}@db/x"}`,
        `token ${planted.token} and ${jwt}`,
        "an ordinary line",
      ].join("\n"),
    );
    const env = {
      ...envOf(node),
      SHARED_MAC_KEY: planted.mac,
      REDIS_URL: `redis://:${planted.redis}@127.0.0.1:6399`,
      TRIVET_TOKEN: planted.token,
    };
    const directory = join(cluster.folder, "bundle");
    const made = await cli(cluster, ["debug", "bundle", directory], env);
    expect(made.code, made.output).toBe(0);
    const files = readdirSync(directory, { recursive: true, encoding: "utf8" });
    for (const wanted of [
      "versions.json",
      "config.json",
      "doctor.json",
      "node-1/status.json",
      "node-3/metrics.txt",
      "logs/extra.log",
      "data/wal.json",
    ])
      expect(files).toContain(wanted);
    const texts = files.filter((file) => /\.\w+$/.test(file)).map((file) => readFileSync(join(directory, file), "utf8"));
    const all = texts.join("\n") + made.output;
    for (const secret of [...Object.values(planted), jwt]) expect(all).not.toContain(secret);
    expect(all).toContain("an ordinary line");
    expect(JSON.parse(readFileSync(join(directory, "node-1/status.json"), "utf8"))).toMatchObject({ node_id: "node1" });
    expect((await cli(cluster, ["debug", "bundle", directory], env)).code).toBe(13);
  });
});
