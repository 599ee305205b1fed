import { copyFileSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCluster, type TestCluster, type TestNode } from "./support/cluster.ts";
import { expectStatus, textOf, type Answer, type Json } from "./support/http.ts";
import { run, trivet } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

const key = { AUDIT_KEY: "0123456789abcdef0123456789abcdef" };

const linesOf = (path: string): string[] => readFileSync(path, "utf8").trimEnd().split("\n");
const write = (path: string, lines: readonly string[]): void => writeFileSync(path, `${lines.join("\n")}\n`);
/** Takes a lock away from its holder: an administrator's call. */
async function administer(each: TestNode, name: string, status = 200): Promise<Answer> {
  await waitFor("a holder", async () => {
    const { status: held } = await each.call(`/v1/locks/${name}/acquire`, { body: { owner: "o", ttl_ms: 600_000 } });
    return held === 200 || held === 409 || held === 423 || held === 503 ? ready(true) : String(held);
  });
  return expectStatus(status, `${each.url}/v1/locks/${name}/force-release`, { body: { reason: "audit" } });
}

describe("the audit log, with its head anchored in the cluster", () => {
  let cluster: TestCluster;
  let node: TestNode;
  let others: readonly TestNode[];
  beforeAll(async () => {
    cluster = await createCluster({ nodes: 3, env: key });
    for (const each of cluster.nodes) start(each);
    await Promise.all(cluster.nodes.map((each) => each.waitUntilHealthy()));
    const leader = await cluster.leader();
    await anchoring();
    // One that passes its anchors on.
    node = cluster.nodes.find((each) => each !== leader) ?? leader;
    others = cluster.nodes.filter((each) => each !== node);
  });
  afterAll((): Promise<void> => cluster.destroy());

  /** All know what an anchor is; a cluster of one version says so within moments of its founding. */
  const anchoring = (): Promise<unknown> =>
    waitFor("the level of anchors", async () => {
      const levels = await Promise.all(cluster.nodes.map(async (each) => (await each.status())["feature_level"]));
      return levels.every((level) => Number(level) >= 6) ? ready(true) : JSON.stringify(levels);
    });
  const logOf = (each: TestNode): string => join(cluster.folder, `${each.id}.audit`);
  const start = (each: TestNode, env: Readonly<Record<string, string>> = {}): void => void each.start({ AUDIT_LOG: logOf(each), ...env });
  const restart = async (each: TestNode, env: Readonly<Record<string, string>> = {}): Promise<void> => {
    start(each, env);
    await each.waitUntilHealthy();
  };
  const cli = (words: readonly string[], env: Readonly<Record<string, string>> = {}): ReturnType<typeof run> =>
    run(process.execPath, ["--", trivet, ...words], { cwd: cluster.folder, env: { ...key, ...env } });
  const verify = (path: string, ...more: readonly string[]): ReturnType<typeof run> =>
    cli(["audit", "verify", path, "--url", cluster.nodes.map(({ url }) => url).join(","), ...more]);
  const lastAnchor = async (by: TestNode): Promise<number> => {
    const { body } = await expectStatus(200, `${by.url}/v1/audit/anchors?node=${node.id}`);
    const logs = (body["nodes"] as readonly Json[]).flatMap((one) => one["logs"] as readonly Json[]);
    const anchors = logs.at(-1)?.["anchors"] as readonly Json[] | undefined;
    return Number(textOf(anchors?.at(-1)?.["seq"] ?? "0"));
  };
  /** Nothing is written any more that the cluster does not know of. */
  const settled = (): Promise<unknown> =>
    waitFor("the anchor of all that was written", async () => {
      const [asked] = others;
      if (asked === undefined) throw new Error("no other node");
      const records = linesOf(logOf(node)).length;
      const anchored = await lastAnchor(asked);
      return anchored === records ? ready(true) : `${anchored} of ${records}`;
    });

  it("is anchored before something is administered, and verify compares it with the cluster", async () => {
    for (const name of ["a", "b", "c"]) {
      await administer(node, name);
      const admin = linesOf(logOf(node)).findLastIndex((line) => line.includes('"event":"admin"')) + 1;
      expect(await lastAnchor(node)).toBeGreaterThanOrEqual(admin);
    }
    const verified = await verify(logOf(node), "--node", node.id);
    expect(verified.code, verified.output).toBe(0);
    expect(verified.output).toMatch(/records, none changed; \d+ anchors were met/);
    const offline = await cli(["audit", "verify", logOf(node), "--offline"]);
    expect(offline.code, offline.output).toBe(0);
    expect(offline.output).toMatch(/anchors in the cluster were not compared: it was not asked/);
    const listed = await cli(["audit", "anchors", "--url", node.url]);
    expect(listed.output).toMatch(new RegExp(`${node.id}\\s+1 of 1`));
    const { text } = await expectStatus(200, `${node.url}/v1/metrics`);
    expect(text).toMatch(/^audit_anchor_age_seconds [0-9.]+$/m);
    expect(text).toMatch(/^audit_unanchored_records \d+$/m);
  });

  it("of which nothing is configured proposes nothing", async () => {
    const { body } = await expectStatus(200, `${node.url}/v1/raft/log`);
    const anchored = (body["log"] as readonly Json[]).flatMap(({ command }) => {
      const { node: by, type } = (command ?? {}) as Json;
      return type === "anchor-audit" ? [textOf(by)] : [];
    });
    expect(new Set(anchored)).toEqual(new Set(cluster.nodes.map(({ id }) => id)));
    const lone = await createCluster({ nodes: 1 });
    try {
      const [alone] = lone.nodes as [TestNode];
      alone.start();
      await alone.waitUntilHealthy();
      await administer(alone, "a");
      const { text } = await expectStatus(200, `${alone.url}/v1/raft/log`);
      expect(text).not.toContain("anchor-audit");
    } finally {
      await lone.destroy();
    }
  });

  it("that was cut off behind an anchor, changed, replaced or taken away is found", async () => {
    await node.kill();
    const path = logOf(node);
    const whole = linesOf(path);
    const bad = async (why: RegExp): Promise<void> => {
      const found = await verify(path, "--node", node.id);
      expect(found.code, found.output).toBe(13);
      expect(found.output).toMatch(why);
    };
    write(path, whole.slice(0, -1));
    const cut = await cli(["audit", "verify", path, "--offline"]);
    expect(cut.code, cut.output).toBe(0);
    const admin = whole.findLastIndex((line) => line.includes('"event":"admin"'));
    write(path, whole.slice(0, admin));
    await bad(/of which there is an anchor, is not there: the end of the log is missing/);
    write(
      path,
      whole.map((line, at) => (at === 1 ? line.replace("force-release", "acquire") : line)),
    );
    await bad(/line 2: its code does not follow/);
    rmSync(path);
    await bad(/The audit log of node\d is gone.*the cluster has anchors of it/);
    write(path, whole);
    const good = await verify(path);
    expect(good.code, good.output).toBe(0);
  });

  it("keeps its node from administering after it was cut off, until it is moved away; the others go on", async () => {
    const path = logOf(node);
    const kept = join(cluster.folder, "kept.audit");
    copyFileSync(path, kept);
    const admin = linesOf(path).findLastIndex((line) => line.includes('"event":"admin"'));
    write(path, linesOf(path).slice(0, admin));
    await restart(node);
    expect((await administer(node, "d", 503)).body).toMatchObject({ code: "audit_mismatch", retryable: false });
    expect(node.process().output()).toMatch(/AUDIT_LOG: .*nothing is administered at this node until/);
    expect((await node.call("/v1/locks/d")).body).toMatchObject({ status: "held" });
    await administer(others[0] ?? node, "d");
    await expectStatus(200, `${node.url}/v1/raft/log`);
    expect(await node.stop()).toBe(0);
    renameSync(path, join(cluster.folder, "cut.audit"));
    await restart(node);
    await administer(node, "e");
    await settled();
    const alone = await verify(path);
    expect(alone.code, alone.output).toBe(13);
    expect(alone.output).toMatch(/anchors of another log \(1 of 2, chain [0-9a-f]{32}\).*which is not among these/);
    expect((await verify(path, "--former", join(cluster.folder, "cut.audit"))).code).toBe(13);
    const both = await verify(path, "--former", kept);
    expect(both.code, both.output).toBe(0);
    const [chain = ""] = /chain ([0-9a-f]{32})/.exec(alone.output)?.slice(1) ?? [];
    const lost = await verify(path, "--lost", chain);
    expect(lost.code, lost.output).toBe(0);
  });

  it("fails closed without a quorum, but for what people look for the reason with", async () => {
    for (const other of others) await other.kill();
    const refused = await waitFor("the refusal", async () => {
      const answer = await node.call("/v1/locks/a/force-release", { body: { reason: "x" }, timeoutMs: 30_000 });
      return answer.status === 503 ? ready(answer) : answer.text;
    });
    expect(refused.body).toMatchObject({ code: "audit_unanchored", retryable: true });
    await expectStatus(200, `${node.url}/v1/raft/log`, { timeoutMs: 30_000 });
    const unasked = await verify(logOf(node));
    expect(unasked.code, unasked.output).toBe(69);
    for (const other of others) await restart(other);
    await cluster.leader();
    await settled();
    await administer(node, "f");
  });

  it("goes on in a cluster that was restored: what the former one knew is not forgotten", async () => {
    await settled();
    const backup = join(cluster.folder, "audit.backup");
    const url = cluster.nodes.map((each) => each.url).join(",");
    const saved = await cli(["snapshot", "save", backup, "--url", url]);
    expect(saved.code, saved.output).toBe(0);
    // Behind the backup.
    await administer(node, "g");
    for (const each of cluster.nodes) expect(await each.stop()).toBe(0);
    const folder = join(cluster.folder, "restored");
    const members = cluster.nodes.map((each) => `${each.id}=${each.url}`).join(",");
    const restored = await cli(["snapshot", "restore", backup, "--data-dir", folder, "--members", members]);
    expect(restored.code, restored.output).toBe(0);
    for (const each of cluster.nodes) start(each, { DATA_DIR: join(folder, each.id) });
    await Promise.all(cluster.nodes.map((each) => each.waitUntilHealthy()));
    await cluster.leader();
    await administer(node, "h");
    await settled();
    const kept = join(cluster.folder, "kept.audit");
    const verified = await verify(logOf(node), "--former", kept);
    expect(verified.code, verified.output).toBe(0);
    const without = await verify(logOf(node));
    expect(without.code, without.output).toBe(13);
  });
});
