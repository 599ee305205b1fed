import type { AuditMark } from "@trivet/wire";
import { featureLevels } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { type Anchored, type AnchoredLog, type AnchorInLog, AuditAnchoring } from "../../src/calls/audit-anchoring.ts";
import type { Outcome } from "../../src/node/node-api.ts";
import { acquire, type Cluster, ready, Told } from "./cluster.ts";
import { guard } from "./guard.ts";

const timeoutMs = 5_000;

/** An audit log whose records are on disk as soon as they are written; it outlives the programs that write it. */
class Log implements AnchoredLog {
  readonly chain: string;
  records: string[] = [];
  asked = 0;
  /** Why it cannot be read now; null = it can. */
  unreadable: string | null = null;

  constructor(chain = "c1") {
    this.chain = chain;
  }

  write(count = 1, by = "a"): void {
    for (let left = count; left > 0; left--) this.records.push(`${by}${(this.records.length + 1).toString(16)}`.padStart(64, "0"));
  }
  mark(seq: number): AuditMark {
    return { seq, mac: this.records[seq - 1] ?? "" };
  }
  headOnDisk(): AuditMark | null {
    return this.records.length === 0 ? null : this.mark(this.records.length);
  }
  find({ seq, mac }: AuditMark, done: (found: AnchorInLog) => void): void {
    this.asked += 1;
    if (this.unreadable !== null) return done({ type: "unreadable", why: this.unreadable });
    done(this.records[seq - 1] === mac ? { type: "there" } : { type: "differs", why: "it has another code" });
  }
}

function keeper(cluster: Cluster, node: string, log: AnchoredLog): AuditAnchoring {
  const { host, telemetry, view } = cluster.member(node);
  return new AuditAnchoring(node, { api: host.api, clock: view, telemetry }, log, timeoutMs);
}
function begun(anchoring: AuditAnchoring): Told<Anchored> {
  const told = new Told<Anchored>();
  anchoring.anchor(told.hear);
  return told;
}
function outcome(cluster: Cluster, anchoring: AuditAnchoring): Anchored {
  const told = begun(anchoring);
  cluster.until("what became of the anchor", () => told.value !== null);
  if (told.value === null) throw new Error("nothing");
  return told.value;
}
/** Of `node`'s logs, as the leader has them. */
function inCluster(cluster: Cluster, node = "n1"): readonly AuditMark[] {
  const audited = cluster
    .leader()
    ?.host.machine?.auditedNodes()
    .find((one) => one.node === node);
  return audited?.chains.flatMap(({ anchors }) => anchors.map(({ seq, mac }) => ({ seq, mac }))) ?? [];
}
const lastIn = (cluster: Cluster, node = "n1"): AuditMark | null => inCluster(cluster, node).at(-1) ?? null;
/** Commands of that type in the leader's log. */
function proposed(cluster: Cluster): number {
  const status = cluster.leader()?.host.api.status().groups[0];
  const lines = status === undefined ? [] : (cluster.leader()?.host.api.log(status.firstIndex, status.lastIndex) ?? []);
  return lines.filter(({ command }) => command?.type === "anchor-audit").length;
}
function levelled(overrides: Parameters<typeof ready>[0] = {}): Cluster {
  const cluster = ready(overrides);
  cluster.until("the level", () => [...cluster.members.values()].every(({ host }) => host.machine?.features.told !== null));
  return cluster;
}

describe("anchoring the audit log of a node", () => {
  guard(
    "host-anchor-told-unheard",
    "is told once the head is committed, through any node, and what comes meanwhile shares the next command",
    () => {
      const cluster = levelled();
      for (const node of ["n1", "n2", "n3"]) {
        const log = new Log(`chain of ${node}`);
        log.write(2);
        const anchoring = keeper(cluster, node, log);
        const there = new Told<readonly AuditMark[]>();
        anchoring.anchor(() => there.hear(inCluster(cluster, node)));
        log.write(3);
        const others = [begun(anchoring), begun(anchoring)];
        cluster.until("both", () => others.every(({ value }) => value !== null));
        for (const { value } of others) expect(value).toEqual({ type: "anchored" });
        expect(there.value).toEqual([log.mark(2)]);
        expect(inCluster(cluster, node)).toEqual([log.mark(2), log.mark(5)]);
        expect([anchoring.behind, outcome(cluster, anchoring).type]).toEqual([0, "anchored"]);
      }
      expect(proposed(cluster)).toBe(6);
    },
  );

  test("happens by itself within a second or so, once for all that was written, and at rest proposes nothing", () => {
    const cluster = levelled();
    const log = new Log();
    const anchoring = keeper(cluster, "n1", log);
    for (let record = 1; record <= 50; record += 1) {
      log.write();
      anchoring.moved();
      cluster.run(20);
    }
    cluster.until("the anchor", () => anchoring.behind === 0, 3_000);
    expect(lastIn(cluster)).toEqual(log.mark(50));
    expect(proposed(cluster)).toBeLessThanOrEqual(2);
    const before = proposed(cluster);
    cluster.run(30_000);
    expect(proposed(cluster)).toBe(before);
    expect(anchoring.ageMs).toBeGreaterThan(25_000);
  });

  test("goes on in the next program where the one before it ended, without asking more of the log than one record", () => {
    const cluster = levelled();
    const log = new Log();
    log.write(4);
    expect(outcome(cluster, keeper(cluster, "n1", log)).type).toBe("anchored");
    cluster.kill("n1");
    log.write(2);
    cluster.restart("n1");
    cluster.untilReady();
    expect(outcome(cluster, keeper(cluster, "n1", log)).type).toBe("anchored");
    expect([inCluster(cluster), log.asked]).toEqual([[log.mark(4), log.mark(6)], 1]);
  });

  guard(
    "host-anchor-unknown-counts",
    "without a quorum says so, also where the command is under way; with one again it is anchored",
    () => {
      const cluster = levelled();
      const leader = cluster.leader()?.host.config.node ?? "";
      const log = new Log();
      log.write();
      const anchoring = keeper(cluster, leader, log);
      const others = [...cluster.members.keys()].filter((node) => node !== leader);
      for (const node of others) cluster.kill(node);
      expect(outcome(cluster, anchoring).type).toBe("unavailable");
      expect(outcome(cluster, anchoring).type).toBe("unavailable");
      for (const node of others) cluster.restart(node);
      cluster.untilReady();
      anchoring.moved();
      cluster.until("the anchor", () => anchoring.behind === 0);
      expect(lastIn(cluster, leader)).toEqual(log.mark(1));
      // An answer that did not come was of a head that is known here: the log was not asked.
      expect(log.asked).toBe(0);
      const { lines } = cluster.member(leader).telemetry;
      expect(lines.filter(({ event }) => event === "audit.unanchored" || event === "audit.anchored").map(({ event }) => event)).toEqual([
        "audit.unanchored",
        "audit.anchored",
      ]);
    },
  );

  test("below its level is no failure: the members of an older version would not know it", () => {
    const cluster = levelled({ featureLevel: featureLevels.anchors - 1 });
    const log = new Log();
    log.write();
    expect(outcome(cluster, keeper(cluster, "n1", log))).toEqual({ type: "below-level" });
    expect([inCluster(cluster), proposed(cluster)]).toEqual([[], 0]);
  });

  test("of a node that is no member says so", () => {
    const cluster = levelled();
    const log = new Log();
    log.write();
    const { host, telemetry, view } = cluster.member("n1");
    const anchoring = new AuditAnchoring("n9", { api: host.api, clock: view, telemetry }, log, timeoutMs);
    expect(outcome(cluster, anchoring)).toMatchObject({
      type: "unavailable",
      obstacle: "no-member",
      detail: expect.stringContaining("n9 is no member"),
    });
  });

  guard(
    "host-anchor-held-by-disk",
    "goes on at a leader whose disk is low, where callers are refused: the leadership can be moved; not where it is all but full",
    () => {
      const cluster = levelled({ walSegmentBytes: 64 * 1024 });
      const files = cluster.leader()?.files;
      if (files === undefined) throw new Error("no leader");
      const leave = (kib: number): void => {
        files.options = { ...files.options, quotaBytes: files.usedBytes() + kib * 1024 };
        cluster.run(1_500);
      };
      leave(180);
      for (const node of ["n1", "n2", "n3"]) {
        const log = new Log(`chain of ${node}`);
        log.write();
        // In the same turn, of the same lanes.
        const before = cluster.begin(node, acquire("a", "alice"), { timeoutMs });
        const told = begun(keeper(cluster, node, log));
        const after = cluster.begin(node, acquire("b", "bob"), { timeoutMs });
        cluster.until("all three", () => [before, told, after].every(({ value }) => value !== null));
        for (const { value } of [before, after]) expect(value).toMatchObject({ type: "unavailable", code: "storage" });
        expect([told.value, lastIn(cluster, node)]).toEqual([{ type: "anchored" }, log.mark(1)]);
      }
      leave(30);
      for (const node of ["n1", "n2", "n3"]) {
        const log = new Log("c2");
        log.write();
        expect(outcome(cluster, keeper(cluster, node, log))).toMatchObject({ type: "unavailable", obstacle: "full-disk" });
      }
    },
  );
});

/** A node that answers as it is told to, or not at all; what it knows of the level. */
function scripted(answer: Outcome | null, level: number | null = featureLevels.anchors) {
  const cluster = levelled();
  const { host, telemetry, view } = cluster.member("n1");
  const status = host.api.status();
  const api: ConstructorParameters<typeof AuditAnchoring>[1]["api"] = {
    status: () => ({ ...status, features: { ...status.features, cluster: level } }),
    submit: (_command, _options, done) => {
      if (answer !== null) view.defer(() => done(answer));
      return { requestId: "r", abandon: () => undefined };
    },
  };
  const log = new Log();
  log.write();
  return { cluster, telemetry, log, anchoring: new AuditAnchoring("n1", { api, clock: view, telemetry }, log, timeoutMs) };
}

describe("what the node answers", () => {
  const tooNew: Outcome = { type: "unavailable", code: "feature_level", retryAfterMs: 1_000, detail: "it needs feature level 6" };

  guard(
    "host-anchor-level-of-others",
    "is below the level only where it knows so itself: around a raise another one may not know of it yet",
    () => {
      for (const [level, expected] of [
        [featureLevels.anchors - 1, { type: "below-level" }],
        [featureLevels.anchors, { type: "unavailable", obstacle: "busy" }],
        [null, { type: "unavailable", obstacle: "busy" }],
      ] as const) {
        const { anchoring, cluster } = scripted(tooNew, level);
        expect(outcome(cluster, anchoring), `level ${level}`).toMatchObject(expected);
      }
    },
  );

  test("is not waited for longer than the timeout, also by who comes while a command is under way; that is told as what it is", () => {
    const { anchoring, cluster, log } = scripted(null);
    const first = begun(anchoring);
    let told = 0;
    anchoring.anchor(() => {
      told += 1;
    });
    cluster.run(100);
    log.write();
    const second = begun(anchoring);
    cluster.run(timeoutMs - 101);
    expect([first.value, second.value]).toEqual([null, null]);
    cluster.run(1);
    expect([first.value?.type, second.value]).toEqual(["unavailable", null]);
    cluster.run(100);
    expect(second.value).toMatchObject({
      type: "unavailable",
      obstacle: "no-majority",
      detail: expect.stringMatching(/did not answer in time/),
    });
    // Whoever was told is told once.
    anchoring.stop();
    expect(told).toBe(1);
  });
});

describe("a log that is not what was anchored", () => {
  guard("host-anchor-any-adopted", "is not anchored any more: cut off, cut off and written on, or put back to an earlier state", () => {
    const forgeries: readonly (readonly [string, (log: Log) => void, RegExp])[] = [
      [
        "cut",
        (log) => void (log.records = log.records.slice(0, 3)),
        /ends at record 3, and the cluster has an anchor of its record 5: the end is missing/,
      ],
      [
        "cut and written on",
        (log) => {
          log.records = log.records.slice(0, 3);
          log.write(4, "b");
        },
        /not what record 5 was anchored as: it has another code/,
      ],
    ];
    for (const [at, [, forge, why]] of forgeries.entries()) {
      const cluster = levelled();
      const log = new Log();
      log.write(5);
      expect(outcome(cluster, keeper(cluster, "n1", log)).type).toBe("anchored");
      const before = inCluster(cluster);
      forge(log);
      const anchoring = keeper(cluster, "n1", log);
      expect(outcome(cluster, anchoring)).toMatchObject({ type: "mismatch", detail: expect.stringMatching(why) });
      log.write();
      expect(outcome(cluster, anchoring)).toMatchObject({ type: "mismatch" });
      anchoring.moved();
      cluster.run(10_000);
      expect([inCluster(cluster), anchoring.problem === null, at]).toEqual([before, false, at]);
      expect(cluster.member("n1").telemetry.lines.filter(({ event }) => event === "audit.mismatch").length).toBe(1);
    }
  });

  guard("host-anchor-unread-differs", "is one that was read: where it cannot be, it is asked again, and goes on when it can", () => {
    const cluster = levelled();
    const log = new Log();
    log.write(5);
    expect(outcome(cluster, keeper(cluster, "n1", log)).type).toBe("anchored");
    log.write();
    log.unreadable = "EIO: i/o error, read";
    const anchoring = keeper(cluster, "n1", log);
    expect(outcome(cluster, anchoring)).toMatchObject({
      type: "unavailable",
      obstacle: "unreadable-log",
      detail: expect.stringMatching(/has record 5, which was anchored, cannot be told: EIO/),
    });
    expect(anchoring.problem).toBeNull();
    log.unreadable = null;
    cluster.until("the anchor", () => anchoring.behind === 0, 10_000);
    expect(lastIn(cluster)).toEqual(log.mark(6));
    expect(outcome(cluster, anchoring).type).toBe("anchored");
  });

  test("that was begun anew has a chain of its own, beside the one before it", () => {
    const cluster = levelled();
    const former = new Log("c1");
    former.write(5);
    expect(outcome(cluster, keeper(cluster, "n1", former)).type).toBe("anchored");
    const log = new Log("c2");
    log.write();
    expect(outcome(cluster, keeper(cluster, "n1", log)).type).toBe("anchored");
    const audited = cluster.leader()?.host.machine?.auditedNodes()[0];
    expect(audited).toMatchObject({
      begun: 2,
      chains: [
        { chain: "c1", number: 1 },
        { chain: "c2", number: 2 },
      ],
    });
  });
});

describe("a cluster that was restored from a backup", () => {
  test("may know an earlier anchor than the log has since: it is found in the log, which goes on", () => {
    const cluster = levelled();
    const log = new Log();
    log.write(3);
    const anchoring = keeper(cluster, "n1", log);
    expect(outcome(cluster, anchoring).type).toBe("anchored");
    const then = [...cluster.members.values()].map(({ host }) => host.machine?.auditedNodes() ?? []);
    log.write(4);
    expect(outcome(cluster, anchoring).type).toBe("anchored");
    // As group 0 was at the backup; this program has seen more.
    for (const [at, { host }] of [...cluster.members.values()].entries())
      for (const view of then[at] ?? []) host.machine?.auditAnchors.insert(view);
    log.write();
    expect(outcome(cluster, anchoring).type).toBe("anchored");
    expect(inCluster(cluster)).toEqual([log.mark(3), log.mark(8)]);
  });
});
