import { appendFileSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type AuditHead, sealRecord, verifyAudit } from "../../src/security/audit-chain.ts";
import { anchorsOfChains, type ClusterAudit, compareWithCluster } from "../../src/security/audit-compare.ts";
import { asideFiles, setAside, setAsideName } from "../../src/security/audit-files.ts";
import {
  differs,
  find,
  folder,
  key,
  linesOf,
  marksIn,
  open,
  path,
  rewritten,
  there,
  unreadable,
  useFolder,
  written,
  writtenLong,
} from "./audit-support.ts";

useFolder();

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

/** As a version without names went on with a log that had one. */
function unnamed(head: AuditHead, asSetAside: boolean): void {
  const fields = { time: "2026-01-01T00:00:00.000Z", node: "node1" };
  const first = sealRecord(key, head, { seq: head.seq + 1, ...fields, event: "continued", before: head.mac });
  const second = sealRecord(key, first.head, { seq: head.seq + 2, ...fields, event: "admin" });
  writeFileSync(asSetAside ? setAsideName(path, head.seq + 1, head.seq + 2) : path, first.line + second.line);
}

describe("the name of a chain", () => {
  test.each([false, true])(
    "is that of the files before, where a version without names went on with them (put aside too: %s)",
    async (asSetAside) => {
      const log = await written(2);
      await log.close();
      const { seq, mac } = marksIn(linesOf()).at(-1) ?? { seq: 0, mac: "" };
      renameSync(path, setAsideName(path, 1, seq));
      unnamed({ seq, mac }, asSetAside);
      const again = open();
      await again.append("admin", {});
      await again.close();
      expect(again.chain).toBe(log.chain);
      const texts = [...setAside(path), path].map((file) => readFileSync(file, "utf8"));
      expect(verifyAudit(key, texts)).toMatchObject({ ok: true, chain: log.chain });
    },
  );
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

  test("also where the disk took only half of the next line: that is no record, and proves nothing", async () => {
    const [old] = writtenLong(9_000, 6_000);
    const log = open();
    await log.append("admin", {});
    appendFileSync(path, '{"seq":9003,"time":"2026-01-01T00:00');
    expect(await find(log, old ?? { seq: 1, mac: "" })).toEqual(there);
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

const faultsOf = (chain: string, anchors: readonly AuditHead[], texts: readonly string[]): readonly string[] => {
  const told = anchors.map(({ mac, seq }) => ({ seq: String(seq), mac, at_ms: 0 }));
  const cluster = {
    anchoring: true,
    nodes: [{ node: "node1", member: true, logs_begun: 1, logs: [{ chain, number: 1, anchors: told }] }],
  };
  const verdict = verifyAudit(key, texts, [], anchorsOfChains(cluster));
  if (!verdict.ok) throw new Error(verdict.fault ?? "");
  return compareWithCluster(cluster, [{ file: "audit.log", verdict }]).faults;
};
/** By somebody with the key: a file whose first record says that it follows this one. */
function forged(chain: string, behind: AuditHead): string {
  const fields = { time: "2026-01-01T00:00:00.000Z", node: "node1" };
  const first = sealRecord(key, behind, { seq: behind.seq + 1, ...fields, event: "continued", chain, before: behind.mac });
  const second = sealRecord(key, first.head, { seq: behind.seq + 2, ...fields, event: "admin", call: "GET /nothing" });
  return first.line + second.line;
}

describe("a log that says it begins behind its newest anchor", () => {
  test("was written anew, whatever it says that it follows; one whose older files are elsewhere was not", async () => {
    const log = await written(5);
    await log.close();
    const anchors = marksIn(linesOf());
    const newest = anchors.at(-1);
    if (newest === undefined) throw new Error("no records");
    const { chain } = log;
    expect(faultsOf(chain, anchors, [readFileSync(path, "utf8")])).toEqual([]);
    for (const behind of [{ seq: newest.seq + 1, mac: "0".repeat(64) }, newest])
      expect(faultsOf(chain, anchors, [forged(chain, behind)])).toEqual([
        `audit.log begins with record ${behind.seq + 1}, and the newest anchor of its chain is of record ${newest.seq}: nothing in it was ever anchored; give the file with that record, or it was written anew`,
      ]);
    // Nothing to compare it with, and that is told in another way.
    expect(faultsOf("c0", anchors, [forged(chain, newest)])).toEqual(
      [expect.stringMatching(/no anchor of audit\.log/), expect.stringMatching(/another log/)].toReversed(),
    );
  });

  test("is not one that goes on from files that are elsewhere, with the anchored record in it", async () => {
    const log = await written(9, 300);
    await log.close();
    const anchors = marksIn(linesOf()).slice(0, 1);
    expect(setAside(path).length).toBeGreaterThan(1);
    expect(faultsOf(log.chain, anchors, [readFileSync(path, "utf8")])).toEqual([]);
  });
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
