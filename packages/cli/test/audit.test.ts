import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { textLine } from "../../server/src/observability/logger.ts";
import { AuditLog } from "../../server/src/security/audit-log.ts";
import { cliError, runCli, type Ran } from "./support.ts";

const key = { AUDIT_KEY: "0123456789abcdef" };
const nobody = { fails: "ECONNREFUSED" };
const at = Date.UTC(2026, 0, 1);
let folder: string;
let log: string;
let printed: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-cli-audit-"));
  log = join(folder, "audit.log");
  printed = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const trivet = (
  words: readonly string[],
  env: NodeJS.ProcessEnv = key,
  answer: Parameters<typeof runCli>[1] = () => nobody,
): Promise<Ran> => runCli(words, answer, { env });
/** A log of its start and one call, whose anchors were printed. */
async function written(maxBytes = 1_000_000, calls = 1): Promise<AuditLog> {
  const audit = new AuditLog({ path: log, key: key.AUDIT_KEY, maxBytes }, "node1", {
    log: (level, event, text, fields = {}) => void printed.push(textLine(new Date(at), level, "node1", event, text, fields)),
    count: () => undefined,
    wallNow: () => at,
  });
  for (let n = 0; n < calls; n += 1) await audit.append("admin", { call: "POST /v1/raft/snapshot" });
  await audit.close();
  return audit;
}
const lines = (): string[] => readFileSync(log, "utf8").trimEnd().split("\n");
const marks = (): readonly { readonly seq: string; readonly mac: string; readonly at_ms: number }[] =>
  lines().map((line) => {
    const { mac, seq } = JSON.parse(line) as { mac: string; seq: number };
    return { seq: String(seq), mac, at_ms: at };
  });
/** What a node answers of the logs of node1. */
const anchors = (...logs: readonly { readonly chain: string; readonly anchors: ReturnType<typeof marks> }[]) => ({
  body: {
    anchoring: true,
    nodes: [{ node: "node1", member: true, logs_begun: logs.length, logs: logs.map((one, index) => ({ ...one, number: index + 1 })) }],
  },
});

const older = () => ({ status: 404, body: { code: "not_found", title: "Not found" } });
const forbidden = () => ({ status: 403, body: { code: "forbidden", title: "Not allowed" } });
describe("trivet audit verify", () => {
  test("needs the key, and says which line is wrong", async () => {
    await written();
    expect(cliError(await trivet(["audit", "verify", log], {})).message).toBe("AUDIT_KEY is not set.");
    const ran = await trivet(["audit", "verify", log]);
    expect(ran.stdout).toMatch(/: log of node1, 2 records, none changed\. The last is 2:[0-9a-f]{64}/);
    expect(ran.stdout).toMatch(/anchors in the cluster were not compared: no node answers at the usual addresses[^]*No anchor was given/);
    expect((await trivet(["audit", "tail", log], {})).stdout).toMatch(/POST \/v1\/raft\/snapshot/);
    const head = /2:[0-9a-f]{64}/.exec(ran.stdout)?.[0] ?? "";
    writeFileSync(log, `${lines()[0]}\n`);
    expect((await trivet(["audit", "verify", log])).error).toBeNull();
    expect(cliError(await trivet(["audit", "verify", log, "--anchor", head]))).toMatchObject({ exitCode: 13 });
    const node = join(folder, "node1.log");
    writeFileSync(node, printed.join(""));
    expect(cliError(await trivet(["audit", "verify", log, "--anchors-of", node])).message).toMatch(/record 2, of which there is an anchor/);
    // What has none says nothing, and must not look as if all were met.
    writeFileSync(node, "2026-01-01T00:00:00.000Z INFO  [node1] ready event=node.ready\n");
    expect(cliError(await trivet(["audit", "verify", log, "--anchors-of", node])).message).toMatch(/has no line of audit\.anchor/);
    writeFileSync(log, readFileSync(log, "utf8").replace("node1", "node2"));
    expect(cliError(await trivet(["audit", "verify", log])).message).toMatch(/audit\.log, line 1: its code does not follow/);
  });

  test("takes what was put aside with it, and says where files begin that are given alone", async () => {
    await written(300, 6);
    const all = JSON.parse((await trivet(["audit", "verify", log, "--json", "--offline"])).stdout) as {
      files: string[];
      begins_at: number;
    };
    expect(all.files.length).toBeGreaterThan(1);
    expect(all.begins_at).toBe(1);
    rmSync(all.files[0] ?? "");
    expect((await trivet(["audit", "verify", log])).stdout).toMatch(/They begin with record [2-9]/);
  });

  test("compares with the cluster, which is asked before the file is read", async () => {
    const { chain } = await written();
    const whole = marks();
    const text = readFileSync(log, "utf8");
    writeFileSync(log, `${lines()[0]}\n`);
    const ran = await trivet(["audit", "verify", log, "--url", "http://n1", "--json"], key, () => {
      // The second record is written and anchored just now.
      writeFileSync(log, text);
      return anchors({ chain, anchors: whole });
    });
    expect(ran.calls).toEqual(["GET http://n1/v1/audit/anchors"]);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      ok: true,
      node: "node1",
      chain,
      records: 2,
      anchors_met: 2,
      cluster: { asked: true, problem: null },
    });
    writeFileSync(log, `${lines()[0]}\n`);
    const cut = cliError(await trivet(["audit", "verify", log, "--url", "http://n1"], key, () => anchors({ chain, anchors: whole })));
    expect(cut).toMatchObject({
      code: "audit_broken",
      exitCode: 13,
      message: expect.stringMatching(/record 2, of which there is an anchor/),
    });
  });

  test("finds a log that was put in the place of another, until that is given or known to be lost", async () => {
    const former = await written();
    const known = { chain: former.chain, anchors: marks() };
    const kept = join(folder, "kept.log");
    renameSync(log, kept);
    const { chain } = await written();
    const cluster = () => anchors(known, { chain, anchors: marks() });
    const alone = cliError(await trivet(["audit", "verify", log, "--url", "n1"], key, cluster));
    expect(alone.message).toMatch(
      new RegExp(`^Of node1 the cluster has anchors of another log \\(1 of 2, chain ${former.chain}\\) up to its record 2`),
    );
    const both = await trivet(["audit", "verify", log, "--former", kept, "--url", "n1"], key, cluster);
    expect(both.stdout).toMatch(
      /kept\.log: log of node1, 2 records, none changed; 2 anchors were met[^]*audit\.log: log of node1, 2 records/,
    );
    expect((await trivet(["audit", "verify", log, "--lost", former.chain, "--url", "n1"], key, cluster)).error).toBeNull();
    // The same without the cluster, by what the node has printed.
    const node = join(folder, "node1.log");
    writeFileSync(node, printed.join(""));
    const offline = cliError(await trivet(["audit", "verify", log, "--offline", "--anchors-of", node]));
    expect(offline.message).toMatch(new RegExp(`printed anchors of another log \\(chain ${former.chain}\\), up to its record 2`));
    expect((await trivet(["audit", "verify", log, "--offline", "--anchors-of", node, "--former", kept])).error).toBeNull();
  });

  test("takes a former log of which the cluster has no anchor, and says so; one that is written now it does not take", async () => {
    await written();
    const kept = join(folder, "kept.log");
    renameSync(log, kept);
    const { chain } = await written();
    const cluster = () => anchors({ chain, anchors: marks() });
    const both = await trivet(["audit", "verify", log, "--former", kept, "--url", "n1"], key, cluster);
    expect(both.error).toBeNull();
    expect(both.stdout).toMatch(/the cluster has no anchor of .*kept\.log \(chain [0-9a-f]{32}\): its node has not reached/);
    const turned = await trivet(["audit", "verify", kept, "--former", log, "--url", "n1"], key, cluster);
    expect(cliError(turned).message).toMatch(/^The cluster has no anchor of .*kept\.log/);
  });

  test("says whose log it is, and finds another node's in its place, also without the cluster", async () => {
    const { chain } = await written();
    const own = { ...key, AUDIT_LOG: log };
    const cluster = () => anchors({ chain, anchors: marks() });
    expect((await trivet(["audit", "verify", log, "--offline"])).stdout).toMatch(/audit\.log: log of node1, 2 records/);
    expect((await trivet(["audit", "verify", "--url", "n1"], { ...own, NODE_ID: "node1" }, cluster)).stdout).toMatch(/: log of node1, 2/);
    for (const words of [
      ["audit", "verify"],
      ["audit", "verify", log],
    ])
      for (const more of [["--offline"], ["--url", "n1"]]) {
        const ran = await trivet([...words, ...more], { ...own, NODE_ID: "node2" }, cluster);
        expect(cliError(ran)).toMatchObject({ exitCode: 13, message: expect.stringMatching(/is a log of node1, not of node2/) });
      }
    expect(cliError(await trivet(["audit", "verify", log, "--offline", "--node", "node2"]))).toMatchObject({ exitCode: 13 });
    expect((await trivet(["audit", "verify", "--offline", "--node", "node1"], { ...own, NODE_ID: "node2" })).error).toBeNull();
    // A file that is not this node's own may be anybody's.
    const ran = await trivet(["audit", "verify", log, "--offline"], { ...key, AUDIT_LOG: `${log}.other`, NODE_ID: "node2" });
    expect(ran.error).toBeNull();
  });

  test("finds that the file is gone, where the cluster knows of one", async () => {
    const { chain } = await written();
    const known = anchors({ chain, anchors: marks() });
    rmSync(log);
    const gone = cliError(await trivet(["audit", "verify", log, "--url", "n1"], { ...key, NODE_ID: "node1" }, () => known));
    expect(gone).toMatchObject({ exitCode: 13, message: expect.stringMatching(/^The audit log of node1 is gone: .*up to record 2/) });
    expect(cliError(await trivet(["audit", "verify", log, "--url", "n1", "--node", "node2"], key, () => known))).toMatchObject({
      exitCode: 78,
    });
    expect(cliError(await trivet(["audit", "verify", log, "--url", "n1"], key, () => known)).next).toMatch(/--node ID/);
  });

  test("of a cluster that nobody named, and that knows none of the logs, believes nothing; of one that was named, all", async () => {
    const { chain } = await written();
    const strange = () => anchors({ chain: "c0", anchors: marks() });
    const unnamed = await trivet(["audit", "verify", log], key, strange);
    expect(unnamed.error).toBeNull();
    expect(unnamed.stdout).toMatch(
      /were not compared: the cluster at the usual addresses of this machine knows none of these logs \(--url/,
    );
    // Who says whose log it is asks what the cluster knows of that node's.
    for (const [env, words] of [
      [{ ...key, AUDIT_LOG: log, NODE_ID: "node1" }, []],
      [key, ["--node", "node1"]],
    ] as const) {
      expect(cliError(await trivet(["audit", "verify", log, ...words], env, strange)).message).toMatch(
        /^Of node1 the cluster has anchors of another/,
      );
    }
    for (const env of [{ ...key, TRIVET_URL: "n1" }, key]) {
      const words = env === key ? ["--url", "n1"] : [];
      expect(cliError(await trivet(["audit", "verify", log, ...words], env, strange)).message).toMatch(
        /^Of node1 the cluster has anchors of another/,
      );
    }
    // One that knows them is theirs, named or not.
    const known = marks();
    writeFileSync(log, `${lines()[0]}\n`);
    const cut = await trivet(["audit", "verify", log], key, () => anchors({ chain, anchors: known }));
    expect(cliError(cut).message).toMatch(/record 2, of which there is an anchor/);
  });

  test("fails where a cluster that was named cannot be asked; one of a version without anchors is told", async () => {
    await written();
    expect(cliError(await trivet(["audit", "verify", log, "--url", "n1"]))).toMatchObject({ exitCode: 69 });
    expect(cliError(await trivet(["audit", "verify", log], { ...key, TRIVET_URL: "n1" }))).toMatchObject({ exitCode: 69 });
    expect((await trivet(["audit", "verify", log, "--url", "n1"], key, older)).stdout).toMatch(
      /not compared: the nodes are of a version that has none/,
    );
    expect((await trivet(["audit", "verify", log], key, forbidden)).stdout).toMatch(/not compared: Not allowed\./);
    expect((await trivet(["audit", "verify", log], key, () => ({ body: "hello" }))).stdout).toMatch(
      /not compared: what answers is no node/,
    );
  });
});

test("trivet audit anchors lists the newest of each log", async () => {
  const { chain } = await written();
  const ran = await trivet(["audit", "anchors"], {}, () => anchors({ chain, anchors: marks() }));
  expect(ran.stdout).toMatch(new RegExp(`node1 +1 of 1 +2 +2026-01-01T00:00:00\\.000Z +${chain}`));
  const none = await trivet(["audit", "anchors"], {}, () => ({ body: { anchoring: false, nodes: [] } }));
  expect(none.stdout).toMatch(/feature level 6/);
});
