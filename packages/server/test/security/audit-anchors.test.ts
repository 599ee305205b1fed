import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { routeIds, routeOf } from "@trivet/contract";
import { AuditAnchoring, type AnchorInLog, type NodeApi, type NodeHost } from "@trivet/engine";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type AuditHead, sealRecord, verifyAudit } from "../../src/security/audit-chain.ts";
import { anchorsOfChains, type ClusterAudit, compareWithCluster } from "../../src/security/audit-compare.ts";
import { asideFiles, setAside, setAsideName } from "../../src/security/audit-files.ts";
import { AuditLog } from "../../src/security/audit-log.ts";
import { rights } from "../../src/security/rights.ts";
import { scripted, serve, type Server, startTestNode, until } from "../http/harness.ts";
import { toolsFor, type Said } from "./certs.ts";

const key = "0123456789abcdef-audit";
let folder: string;
let path: string;
let said: Said;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-anchors-"));
  path = join(folder, "audit.log");
  said = { lines: [], counted: [] };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (maxBytes = 67_108_864): AuditLog => new AuditLog({ path, key, maxBytes }, "node1", toolsFor(said));
async function written(count: number, maxBytes?: number): Promise<AuditLog> {
  const log = open(maxBytes);
  for (let n = 1; n <= count; n += 1) await log.append("admin", { call: `DELETE /v1/raft/members/n${n}` });
  return log;
}
const linesOf = (file = path): string[] => readFileSync(file, "utf8").trimEnd().split("\n");
const write = (lines: readonly string[]): void => writeFileSync(path, lines.map((line) => `${line}\n`).join(""));
/** Number and code of each record. */
const marksIn = (lines: readonly string[]): AuditHead[] =>
  lines.map((line) => {
    const { seq, mac } = JSON.parse(line) as AuditHead;
    return { seq, mac };
  });
/** By somebody who has the key: the records from `from` on, written anew. */
function rewritten(lines: readonly string[], from: number): string[] {
  let head = marksIn(lines)[from - 2] ?? { seq: 0, mac: "" };
  return lines.map((line, at) => {
    if (at < from - 1) return line;
    const { mac: _, ...record } = JSON.parse(line) as Parameters<typeof sealRecord>[2];
    const sealed = sealRecord(key, head, { ...record, call: "GET /nothing" });
    ({ head } = sealed);
    return sealed.line.trimEnd();
  });
}
const find = (log: AuditLog, mark: AuditHead): Promise<AnchorInLog> => new Promise((resolve) => log.find(mark, resolve));
const there = { type: "there" };
const differs = (why: RegExp): unknown => ({ type: "differs", why: expect.stringMatching(why) });
const unreadable = (why: RegExp): unknown => ({ type: "unreadable", why: expect.stringMatching(why) });
/** As a node would have written it, in files of so many records: more than a node remembers. */
function writtenLong(records: number, perFile = records): AuditHead[] {
  const heads: AuditHead[] = [];
  let head: AuditHead = { seq: 0, mac: "" };
  let lines: string[] = [];
  for (let seq = 1; seq <= records; seq += 1) {
    const first = seq === 1 ? { event: "start" } : { event: "continued", before: head.mac };
    const fields = lines.length === 0 ? { ...first, chain: "c0" } : { event: "admin", call: `DELETE /v1/raft/members/n${seq}` };
    const sealed = sealRecord(key, head, { seq, time: "2026-01-01T00:00:00.000Z", node: "node1", ...fields });
    ({ head } = sealed);
    heads.push(head);
    lines.push(sealed.line);
    const isFull = lines.length === perFile && seq < records;
    if (!isFull && seq < records) continue;
    writeFileSync(isFull ? setAsideName(path, seq - perFile + 1, seq) : path, lines.join(""));
    lines = [];
  }
  return heads;
}

describe("the chain of an audit log", () => {
  test("has a name that each program and each file says again; a log that is begun anew has another", async () => {
    const log = await written(9, 300);
    await log.close();
    const again = open(300);
    expect(again.chain).toBe(log.chain);
    await again.append("admin", {});
    await again.close();
    for (const file of [...setAside(path), path]) expect(JSON.parse(linesOf(file)[0] ?? "")).toMatchObject({ chain: log.chain });
    const texts = [...setAside(path), path].map((file) => readFileSync(file, "utf8"));
    expect(verifyAudit(key, texts)).toMatchObject({ ok: true, chain: log.chain, node: "node1" });
    for (const file of [...setAside(path), path]) rmSync(file);
    const other = open();
    expect(other.chain).not.toBe(log.chain);
    await other.close();
  });

  test("of a log from before there were names begins with the next program, and is no break", async () => {
    let head: AuditHead = { seq: 0, mac: "" };
    for (let seq = 1; seq <= 3; seq += 1) {
      const sealed = sealRecord(key, head, { seq, time: "2026-01-01T00:00:00.000Z", node: "node1", event: "admin" });
      ({ head } = sealed);
      appendFileSync(path, sealed.line);
    }
    expect(verifyAudit(key, readFileSync(path, "utf8"))).toMatchObject({ ok: true, chain: null });
    const log = open();
    await log.append("admin", {});
    await log.close();
    const anchors = new Map([[log.chain, marksIn(linesOf()).slice(3)]]);
    expect(verifyAudit(key, readFileSync(path, "utf8"), [head], anchors)).toMatchObject({ ok: true, records: 5, chain: log.chain, met: 3 });
  });

  test("is compared with its anchors only, wherever the files begin, and another one in its place has none of them", async () => {
    const log = await written(5);
    await log.close();
    const lines = linesOf();
    const anchors = new Map([
      [log.chain, [marksIn(lines)[2], marksIn(lines)[5]] as AuditHead[]],
      ["another", [{ seq: 2, mac: "0".repeat(64) }]],
    ]);
    const verdict = (these: readonly string[]): string => {
      const { fault, line, met, ok } = verifyAudit(key, these.map((one) => `${one}\n`).join(""), [], anchors);
      return ok ? `${met} met` : `line ${line}: ${fault}`;
    };
    expect(verdict(lines)).toBe("2 met");
    expect(verdict(lines.slice(0, 5))).toBe("line 5: record 6, of which there is an anchor, is not there: the end of the log is missing");
    expect(verdict(rewritten(lines, 6))).toMatch(/^line 6: the anchor of record 6 is another one/);
    expect(verdict(rewritten(lines, 2))).toMatch(/^line 3: the anchor of record 3 is another one/);
    const named = lines.map((line) => line.replace(log.chain, "0".repeat(32)));
    expect(verdict(rewritten(named, 1))).toBe("0 met");
    // Two of one record: both were the head once.
    const [first] = marksIn(rewritten(lines, 3)).slice(2);
    const twice = verifyAudit(key, `${lines.join("\n")}\n`, first === undefined ? [] : [first], anchors);
    expect(twice).toMatchObject({ ok: false, fault: expect.stringMatching(/two anchors of record 3/) });
  });

  test("a record of another log among the lines is found, also by who has the key", async () => {
    await (await written(2)).close();
    const [first = "", ...rest] = linesOf();
    const strange = rewritten([first, ...rest.map((line) => line.replace('"event":"admin"', '"event":"start","chain":"0a"'))], 2);
    expect(verifyAudit(key, `${strange.join("\n")}\n`)).toMatchObject({ ok: false, line: 2, fault: expect.stringMatching(/another log/) });
  });
});

describe("whether the log holds what was anchored", () => {
  test("is told of every record it has, in any of its files", async () => {
    const marks = writtenLong(9_000, 2_000);
    expect(asideFiles(path).length).toBe(4);
    const log = open();
    for (let n = 1; n <= 3; n += 1) await log.append("admin", {});
    for (const mark of [...marks.filter(({ seq }) => seq % 500 < 2), ...marksIn(linesOf()).slice(-4)])
      expect(await find(log, mark), `record ${mark.seq}`).toEqual(there);
    await log.close();
  });

  test("is known of what was checked at the start, and written since: no file is read for it", async () => {
    const marks = writtenLong(5_000);
    const log = open();
    await log.append("admin", {});
    const since = marksIn(linesOf()).slice(-2);
    const [old] = marks;
    const newest = [...marks.slice(-4_000), ...since];
    rmSync(path);
    for (const mark of newest) expect(await find(log, mark), `record ${mark.seq}`).toEqual(there);
    expect(await find(log, { seq: 4_000, mac: "0".repeat(64) })).toEqual(differs(/written anew/));
    if (old !== undefined) expect(await find(log, old)).toEqual(unreadable(/cannot be read: ENOENT/));
    await log.close();
  });

  test("is looked up in slices, between which the loop turns and records are written", async () => {
    const [old] = writtenLong(9_000, 6_000);
    const log = open();
    await log.append("admin", {});
    let turns = 0;
    let next = setImmediate(function turn(): void {
      turns += 1;
      next = setImmediate(turn);
    });
    let isFound = false;
    const found = find(log, old ?? { seq: 1, mac: "" }).then((inLog) => {
      isFound = true;
      return inLog;
    });
    // What was written before it is read is enough; this one need not wait.
    await log.append("admin", {});
    expect(isFound).toBe(false);
    expect(await found).toEqual(there);
    clearImmediate(next);
    const bytes = [...setAside(path), path].reduce((sum, file) => sum + readFileSync(file).length, 0);
    expect(turns).toBeGreaterThan(bytes / (64 * 1024));
    await log.close();
  });

  test("with what is proven: written anew, cut off, or changed", async () => {
    const marks = writtenLong(9_000, 2_000);
    const [old] = marks;
    const log = open();
    await log.append("admin", {});
    const head = log.headOnDisk();
    const [aside] = asideFiles(path);
    if (old === undefined || head === null || aside === undefined) throw new Error("no files");
    expect(await find(log, { seq: head.seq, mac: "0".repeat(64) })).toEqual(differs(/written anew/));
    expect(await find(log, { seq: head.seq + 1, mac: head.mac })).toEqual(differs(/end of the log is missing/));
    expect(await find(log, { seq: 7, mac: "0".repeat(64) })).toEqual(differs(/record 7 is another one: the log was written anew/));
    writeFileSync(aside.file, readFileSync(aside.file, "utf8").replace("n17", "n18"));
    expect(await find(log, old)).toEqual(differs(/its code does not follow/));
    await log.close();
  });

  test("is not told where a file is away or cannot be read, until it is there again", async () => {
    const [old] = writtenLong(9_000, 2_000);
    const log = open();
    const [first, second] = asideFiles(path);
    if (old === undefined || first === undefined || second === undefined) throw new Error("no files");
    const elsewhere = join(folder, "elsewhere");
    for (const [file, record] of [
      [first.file, 1],
      [second.file, 2_001],
    ] as const) {
      renameSync(file, elsewhere);
      expect(await find(log, old)).toEqual(unreadable(new RegExp(`file with record ${record} is not there; put it back beside`)));
      mkdirSync(file);
      expect(await find(log, old)).toEqual(unreadable(/cannot be read: EISDIR/));
      rmdirSync(file);
      renameSync(elsewhere, file);
      expect(await find(log, old)).toEqual(there);
    }
    rmSync(first.file);
    renameSync(second.file, setAsideName(path, 1, 4_000));
    expect(await find(log, old)).toEqual(unreadable(/another one has its name/));
    await log.close();
  });
});

const removed = (cluster: ClusterAudit): ClusterAudit => ({
  ...cluster,
  nodes: cluster.nodes.map((one) => ({ ...one, member: false, logs_begun: 9 })),
});

const copied = (mac: string | null) => (cluster: ClusterAudit) => ({
  ...cluster,
  nodes: [
    ...cluster.nodes,
    ...cluster.nodes.map((one) => ({
      ...one,
      node: "node2",
      logs: one.logs.map((log) => ({
        ...log,
        anchors: log.anchors.slice(1, 2).map((anchor) => ({ ...anchor, mac: mac ?? anchor.mac })),
      })),
    })),
  ],
});

describe("the logs of a node beside what the cluster knows of it", () => {
  const at = Date.UTC(2026, 0, 1);
  async function compared(
    change: (cluster: ClusterAudit, chain: string) => ClusterAudit,
    lost: readonly string[] = [],
    node: string | null = null,
  ): Promise<readonly string[]> {
    const log = await written(3);
    await log.close();
    const anchors = marksIn(linesOf()).map(({ seq, mac }) => ({ seq: String(seq), mac, at_ms: at }));
    const cluster = {
      anchoring: true,
      nodes: [{ node: "node1", member: true, logs_begun: 1, logs: [{ chain: log.chain, number: 1, anchors }] }],
    };
    const told = change(cluster, log.chain);
    const verdict = verifyAudit(key, readFileSync(path, "utf8"), [], anchorsOfChains(told));
    if (!verdict.ok) throw new Error(verdict.fault ?? "");
    const { faults, notes } = compareWithCluster(told, [{ file: "audit.log", verdict }], lost, node);
    return [...faults, ...notes];
  }
  const other = { chain: "c0", number: 1, anchors: [{ seq: "40", mac: "0".repeat(64), at_ms: at }] };
  const behindOther = (cluster: ClusterAudit): ClusterAudit => ({
    ...cluster,
    nodes: cluster.nodes.map((one) => ({ ...one, logs_begun: 2, logs: [other, ...one.logs.map((log) => ({ ...log, number: 2 }))] })),
  });

  test("are as it knows them", async () => {
    expect(await compared((cluster) => cluster)).toEqual([]);
  });
  test("lack one that was replaced, unless it is known to be lost", async () => {
    expect(await compared(behindOther)).toEqual([
      "of node1 the cluster has anchors of another log (1 of 2, chain c0) up to its record 40 of 2026-01-01T00:00:00.000Z, which is not among these: one was begun anew, or put in the place of that one",
    ]);
  });
  test("may lack one that is known to be lost", async () => {
    expect(await compared(behindOther, ["c0"])).toEqual([]);
  });
  test("are no logs of the node when it has never anchored them", async () => {
    const faults = await compared((cluster) => ({ ...cluster, nodes: cluster.nodes.map((one) => ({ ...one, logs: [other] })) }));
    expect(faults).toEqual([
      expect.stringMatching(/another log \(1 of 1, chain c0\)/),
      expect.stringMatching(/^the cluster has no anchor of audit\.log \(chain [0-9a-f]{32}\): its node has not reached the cluster/),
    ]);
  });
  test("are of the node that was named", async () => {
    expect(await compared((cluster) => cluster, [], "node2")).toEqual([
      "audit.log is a log of node1, not of node2",
      expect.stringMatching(/no anchor of audit\.log/),
    ]);
  });
  test("are compared with the anchors of every node that has their chain: a directory was copied, and both went on", async () => {
    expect(await compared(copied(null))).toEqual([expect.stringMatching(/^node2 has anchored a log of the same chain \([0-9a-f]{32}\)/)]);
    await expect(compared(copied("0".repeat(64)))).rejects.toThrow(/two anchors of record 2/);
  });
  test("cannot be compared below the level, nor with what is no longer kept, and that is said", async () => {
    expect(await compared(() => ({ anchoring: false, nodes: [] }))).toEqual([expect.stringMatching(/feature level 6/)]);
    expect(await compared(removed)).toEqual([
      "node1 has begun 9 logs; the anchors of 8 of them are no longer kept.",
      "node1 is no member any more.",
    ]);
  });
});

const schedule = (ms: number, run: () => void): { cancel: () => void } => {
  const timer = setTimeout(run, ms);
  return { cancel: () => clearTimeout(timer) };
};

const held = async (server: Server, name: string): Promise<unknown> => (await server.call("GET", `/v1/locks/${name}`)).json["status"];

const eventsIn = (): unknown[] => linesOf().map((line) => (JSON.parse(line) as { event: string }).event);

const anchorsAt = async (server: Server): Promise<ClusterAudit> =>
  (await server.call("GET", "/v1/audit/anchors?node=node1")).json as unknown as ClusterAudit;

describe("calls", () => {
  let host: NodeHost;
  const ends: (() => Promise<void> | void)[] = [];
  beforeAll(async () => {
    ({ host } = await startTestNode());
  });
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });
  afterAll(() => new Promise<void>((resolve) => host.api.stop(resolve)));

  const clock = { now: () => performance.now(), wallNow: () => Date.now(), defer: (run: () => void) => void setImmediate(run) };
  /** A node with an audit log, whose cluster answers as the script says. */
  async function audited(script: Partial<NodeApi> = {}, log = open()): Promise<{ readonly server: Server; readonly log: AuditLog }> {
    const api = scripted(host.api, script);
    const telemetry = { isVerbose: false, observe: () => undefined, ...toolsFor(said) };
    const anchoring = new AuditAnchoring("node1", { api, clock: { ...clock, schedule }, telemetry }, log, 2_000);
    log.anchorWith(anchoring);
    const server = await serve(api, { audit: log });
    ends.push(
      () => log.close(),
      () => anchoring.stop(),
      () => server.http.close(0),
    );
    return { server, log };
  }

  test("that change something are anchored before they are done; the cluster tells of the anchors", async () => {
    const { log, server } = await audited();
    await server.call("POST", "/v1/locks/a/acquire", { owner: "o" });
    const forced = await server.call("POST", "/v1/locks/a/force-release", { reason: "gone" });
    expect(forced.status, forced.text).toBe(200);
    const cluster = await anchorsAt(server);
    expect(cluster).toMatchObject({ anchoring: true, nodes: [{ node: "node1", member: true }] });
    const anchors = anchorsOfChains(cluster).get(log.chain) ?? [];
    const admin = marksIn(linesOf())[eventsIn().indexOf("admin")];
    expect(anchors).toContainEqual(admin);
    const verdict = verifyAudit(key, readFileSync(path, "utf8"), [], anchorsOfChains(cluster));
    expect(verdict).toMatchObject({ ok: true, met: anchors.length });
  });

  test("of which the cluster took no anchor are refused, and nothing is done; what only looks goes on", async () => {
    const { server } = await audited({
      submit: (command, options, done) => {
        if (command.type !== "anchor-audit") return host.api.submit(command, options, done);
        setImmediate(() => done({ type: "unavailable", code: "no_leader", retryAfterMs: 250, detail: "no leader is known to this node" }));
        return { requestId: "", abandon: () => undefined };
      },
    });
    await server.call("POST", "/v1/locks/kept/acquire", { owner: "o" });
    const refused = await server.call("POST", "/v1/locks/kept/force-release", { reason: "x" });
    expect(refused.json).toMatchObject({ status: 503, code: "audit_unanchored", retryable: true, retry_after_ms: 250 });
    expect(refused.json).toMatchObject({ reason: "no-majority", next: expect.stringMatching(/^Bring back the majority/) });
    expect(refused.json.detail).toMatch(
      /audit log of node node1, and the cluster has no anchor of that\. No leader is known to this node\./,
    );
    expect(await held(server, "kept")).toBe("held");
    await until(() => eventsIn().includes("done"), "how it ended");
    expect(linesOf().at(-1)).toMatch(/"event":"done".*"status":503/);
    for (const [method, url] of [
      ["GET", "/v1/raft/log"],
      ["GET", "/raft/log"],
      ["GET", "/v1/sessions"],
      ["GET", "/v1/audit/anchors"],
      ["POST", "/v1/raft/snapshot"],
    ] as const) {
      expect((await server.call(method, url)).status, url).toBe(200);
    }
    expect(eventsIn().filter((event) => event === "admin").length).toBe(6);
    expect(said.counted).toContain("audit_anchor_failures_total unavailable");
  });

  test("that are refused say what helps against what stands in the way", async () => {
    for (const [code, reason, next] of [
      ["storage", "full-disk", /^Free space on the disk of the leader/],
      ["overloaded", "busy", /^Send it again in a moment/],
      ["removed", "no-member", /^Call a node that is a member/],
    ] as const) {
      const { server } = await audited({
        submit: (command, options, done) => {
          if (command.type !== "anchor-audit") return host.api.submit(command, options, done);
          setImmediate(() => done({ type: "unavailable", code, retryAfterMs: 250, detail: "so it is" }));
          return { requestId: "", abandon: () => undefined };
        },
      });
      const { json } = await server.call("POST", "/v1/locks/x/force-release", { reason: "x" });
      expect(json, code).toMatchObject({ code: "audit_unanchored", reason, next: expect.stringMatching(next) });
      for (const end of ends.splice(0).toReversed()) await end();
    }
  });

  test("are refused where the log is not what was anchored, and again until it is moved away", async () => {
    const before = await audited();
    await before.server.call("POST", "/v1/locks/b/acquire", { owner: "o" });
    expect((await before.server.call("POST", "/v1/locks/b/force-release", { reason: "x" })).status).toBe(200);
    await until(() => eventsIn().includes("done"), "how it ended");
    for (const end of ends.splice(0).toReversed()) await end();
    write(linesOf().slice(0, 1));
    // Another record in the place of the one that was cut off.
    const after = await audited();
    await after.server.call("POST", "/v1/locks/b/acquire", { owner: "o" });
    const refused = await after.server.call("POST", "/v1/locks/b/force-release", { reason: "x" });
    expect(refused.json).toMatchObject({ status: 503, code: "audit_mismatch", retryable: false });
    expect(refused.json.detail).toMatch(/cut off, written anew or put back/);
    expect(await held(after.server, "b")).toBe("held");
    expect((await after.server.call("GET", "/v1/audit/anchors")).status).toBe(200);
    expect(said.lines.filter((line) => line.startsWith("error audit.mismatch"))).toHaveLength(1);
    for (const end of ends.splice(0).toReversed()) await end();
    renameSync(path, join(folder, "moved"));
    const anew = await audited();
    expect((await anew.server.call("POST", "/v1/locks/b/force-release", { reason: "x" })).status).toBe(200);
    const cluster = await anchorsAt(anew.server);
    expect(cluster.nodes[0]?.logs.map(({ chain }) => chain)).toContain(after.log.chain);
    expect(anew.log.chain).not.toBe(after.log.chain);
  });

  test("below the level of anchors are done as by the versions that do not know them", async () => {
    const { server } = await audited({
      submit: (command, options, done) => {
        if (command.type !== "anchor-audit") return host.api.submit(command, options, done);
        setImmediate(() => done({ type: "unavailable", code: "feature_level", retryAfterMs: 1_000, detail: "it needs feature level 6" }));
        return { requestId: "", abandon: () => undefined };
      },
    });
    await server.call("POST", "/v1/locks/c/acquire", { owner: "o" });
    expect((await server.call("POST", "/v1/locks/c/force-release", { reason: "x" })).status).toBe(200);
    expect(said.lines.some((line) => line.includes("audit log anchor"))).toBe(true);
  });

  test("that pause a queue with its definition stand in the log like those that only pause", async () => {
    const { server } = await audited();
    await server.call("PUT", "/v1/queues/jobs", {});
    await server.call("PATCH", "/v1/queues/jobs", { visibility_ms: 5_000 });
    expect(eventsIn()).not.toContain("admin");
    await server.call("PATCH", "/v1/queues/jobs", { paused: true });
    expect(linesOf().find((line) => line.includes('"event":"admin"'))).toMatch(/"call":"PATCH \/v1\/queues\/jobs"/);
  });
});

test("every path that administers says so in the contract, with what is needed before it is done", () => {
  const inPart = new Set(["putQueue", "patchQueue"]);
  for (const id of routeIds) {
    const { administers } = routeOf(id);
    if (inPart.has(id)) expect(administers, id).toBe("anchored");
    else expect(administers !== undefined, id).toBe(rights[id]?.verb === "admin");
  }
  const recorded = routeIds.filter((id) => routeOf(id).administers === "recorded");
  expect(recorded.toSorted()).toEqual(["auditAnchors", "listSessions", "raftLog", "s4Heartbeat", "s4Log", "takeSnapshot"]);
});
