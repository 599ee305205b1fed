import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { isUp, startDev, type Dev } from "./support/dev.ts";
import { cacheOfS0, cacheOfS4, cacheStateOfS4, nextReadFindsTheWrite, postJson, repeatedReadIsAHit } from "./support/document-checks.ts";
import { expectStatus, textOf, type Answer, type Json } from "./support/http.ts";
import { run, trivet } from "./support/processes.ts";
import { childrenOf, runVerbatim } from "./support/shell.ts";
import { ready, waitFor } from "./support/wait.ts";

/** Every cache command of the source documents, as written there, against what `npm start` runs. */
describe("npm start", () => {
  let folder: string;
  let dev: Dev;
  const curl = (command: string): ReturnType<typeof runVerbatim> => runVerbatim(command, dev.mapped, folder);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "trivet-cache-"));
    dev = await startDev(folder);
    await isUp(dev);
  });
  afterAll(async () => {
    for (const child of childrenOf(dev.launcher.pid)) process.kill(child, "SIGKILL");
    dev.launcher.signal("SIGKILL");
    await dev.launcher.exited;
    rmSync(folder, { recursive: true, force: true });
  });

  it("the cache commands of S0 verbatim: item:123 answers from the demo data, what is written is read again", () => cacheOfS0(curl));

  it("a read that is repeated is a hit of the node's own copy, and counted as one", () => repeatedReadIsAHit(curl, 10_000));

  it("S0's trouble, stale data after a write, is none: a write through one node is what the next read through every other finds", () =>
    nextReadFindsTheWrite(curl));

  it("the log says `INVALIDATE diterima` where a copy was withdrawn, with key, version and sender", async () => {
    let round = 0;
    const line = await waitFor("the line", async () => {
      // At INFO one line in 5 s and node; those in between are told to DEBUG.
      for (const port of [8002, 8003]) await curl(`curl http://localhost:${port}/cache/item:999`);
      await postJson(curl, "http://localhost:8001/cache/item:999", { data: `withdrawn ${++round}` });
      const lines = readdirSync(join(folder, "logs"))
        .filter((name) => name.endsWith("_structured.log"))
        .flatMap((name) => readFileSync(join(folder, "logs", name), "utf8").split("\n"));
      const found = lines.find((each) => each.includes("INVALIDATE diterima") && each.includes("item:999"));
      return found === undefined ? `${lines.length} lines without it` : ready(found);
    });
    expect(JSON.parse(line)).toMatchObject({
      event: "cache.invalidated",
      cache_key: "item:999",
      version: expect.anything(),
      sender: expect.stringMatching(/^node[123]$/),
    });
  });

  it("the cache calls of S4: put, get, fetch, invalidate, state", () => cacheOfS4(curl));

  it("T-25: `curl /cache/state` of S4 verbatim, and whether all is right", () => cacheStateOfS4(curl, 10_000));

  it("the trivet command does the same", async () => {
    const env = { TRIVET_URL: dev.url(1) };
    const cli = (...args: readonly string[]): ReturnType<typeof run> =>
      run(process.execPath, [trivet, "cache", ...args], { cwd: folder, env });
    expect((await cli("put", "cli:1", '{"n":1}', "--tag", "t")).code).toBe(0);
    expect((await cli("get", "cli:1")).output).toContain('{"n":1}');
    expect((await cli("incr", "cli:2", "5")).output).toBe("5\n");
    expect((await cli("explain", "cli:1")).output).toMatch(/Home: node[123], leader of shard \d/);
    expect((await cli("invalidate", "--tag", "t")).code).toBe(0);
    expect((await cli("get", "cli:1")).code).toBe(66);
    expect((await cli("verify")).output).toContain("All is right");
    expect((await cli("ls")).output).toContain("copies");
  });
});

const read = (node: TestNode, key: string): Promise<Answer> => expectStatus(200, `${node.url}/cache/${key}`);
const write = (node: TestNode, key: string, data: Json[string]): Promise<Answer> =>
  expectStatus(200, `${node.url}/cache/${key}`, { body: { data }, timeoutMs: 30_000 });
const explain = async (node: TestNode, key: string): Promise<Json> => (await node.call(`/v1/cache/${key}?explain=1`)).body;
const copyOf = (explained: Json, id: string): Json | undefined => (explained["copies"] as readonly Json[]).find(({ node }) => node === id);

/** Its first answer that is no refusal. */
const firstAnswer = (node: TestNode, key: string): Promise<Json> =>
  waitFor(`${node.id} to answer`, async () => {
    const answer = await node.call(`/cache/${key}`, { timeoutMs: 20_000 });
    return answer.status === 200 ? ready(answer.body) : answer.text;
  });

/** The first verdict over all nodes. */
const verdict = (node: TestNode): Promise<Json> =>
  waitFor("verify to hear every node", async () => {
    const { status, body, text } = await node.call("/v1/cache-verify", { timeoutMs: 20_000 });
    return status === 200 ? ready(body) : text;
  });

describe("T-05 and T-25 in trouble", () => {
  let cluster: TestCluster;
  let tried = 0;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
  });
  afterAll(() => cluster.destroy());

  it("explain names version, home and every copy; a write leaves no other copy behind", async () => {
    const [first, second, third] = cluster.nodes as readonly [TestNode, TestNode, TestNode];
    await write(first, "shown", 1);
    const shared = await waitFor("copies on all three nodes", async () => {
      for (const node of cluster.nodes) await read(node, "shown");
      const explained = await explain(second, "shown");
      const held = (explained["copies"] as readonly Json[]).filter(({ state }) => state === "S").length;
      // Reads may still be on their way when the copies are counted.
      return held === 3 && explained["directory"] === "S" ? ready(explained) : JSON.stringify(explained);
    });
    expect(shared).toMatchObject({ directory: "S", owner: null, silent: [] });
    expect((shared["sharers"] as readonly Json[]).map(({ node }) => node)).toEqual(
      expect.arrayContaining(cluster.nodes.map(({ id }) => id)),
    );
    expect(cluster.nodes.map(({ id }) => id)).toContain(shared["home"]);
    const { body } = await write(third, "shown", 2);
    const after = await explain(second, "shown");
    expect(after["version"]).toBe(body["version"]);
    for (const node of [first, second]) expect(copyOf(after, node.id), JSON.stringify(after)).toMatchObject({ state: "I" });
  });

  it("a node that stands still over a write does not stop it, and never answers with the old value", async () => {
    const [first, second] = (await cluster.followers()) as readonly [TestNode, TestNode];
    // Its home is another node: what stands still is only a reader.
    const key = await waitFor("a key with a home elsewhere", async () => {
      const candidate = `paused-${++tried}`;
      const { home } = await explain(first, candidate);
      return typeof home === "string" && home !== second.id ? ready(candidate) : `home of ${candidate}: ${JSON.stringify(home)}`;
    });
    await write(first, key, "old");
    await waitFor("a copy on the node that will stand still", async () => {
      await read(second, key);
      const explained = await explain(first, key);
      return copyOf(explained, second.id)?.["state"] === "S" ? ready(true) : JSON.stringify(explained);
    });
    second.pause();
    try {
      await write(first, key, "new");
      expect((await read(first, key)).body["data"]).toBe("new");
      // Homes that it was move to others meanwhile; in the end it alone is silent.
      await waitFor("verify to name the silent node", async () => {
        const { body, status, text } = await first.call("/v1/cache-verify", { timeoutMs: 20_000 });
        return status === 503 && JSON.stringify([body["code"], body["nodes"]]) === JSON.stringify(["peer_silent", [second.id]])
          ? ready(true)
          : text;
      });
      expect((await explain(first, key))["silent"]).toEqual([second.id]);
    } finally {
      second.resume();
    }
    // Its very first answer: the lease of its copy is over, and it knows.
    expect(await firstAnswer(second, key)).toMatchObject({ data: "new" });
    expect(await verdict(first)).toMatchObject({ ok: true, violations: [] });
  });

  it("while a home is killed and comes back, explain names the next one, verify stays true, and no acknowledged value is lost", async () => {
    const [asked] = cluster.nodes as readonly [TestNode];
    await write(asked, "moved", "kept");
    const home = await waitFor("the home of the key", async () => {
      const explained = await explain(asked, "moved");
      return typeof explained["home"] === "string" ? ready(textOf(explained["home"])) : JSON.stringify(explained);
    });
    const other = cluster.nodes.find(({ id }) => id !== home) ?? asked;
    const killed = cluster.node(home);
    await killed.kill();
    const next = await waitFor("another home", async () => {
      const explained = await explain(other, "moved");
      return typeof explained["home"] === "string" && explained["home"] !== home ? ready(explained) : JSON.stringify(explained);
    });
    expect(next["silent"]).toEqual([home]);
    expect((await read(other, "moved")).body["data"]).toBe("kept");
    await write(other, "moved", "again");
    killed.start();
    await killed.waitUntilHealthy();
    expect(await firstAnswer(killed, "moved")).toMatchObject({ data: "again" });
    expect(await verdict(other)).toMatchObject({ ok: true, violations: [] });
  });
});
