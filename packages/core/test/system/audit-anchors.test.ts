import { type AuditedNodeView, describeSystem, type SystemState } from "@trivet/core";
import { type AuditMark, type Command, featureLevels, type Result } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { checkSystem } from "../../src/invariants/locks.ts";
import { renewSystem } from "../../src/system/new-cluster.ts";
import { restoreSystem } from "../../src/system/snapshot-loader.ts";
import { Bench, frameOf } from "./support.ts";

const mac = (seq: number, log = "a"): string => `${log}${seq.toString(16)}`.padStart(64, "0");
const mark = (seq: number, log = "a"): AuditMark => ({ seq, mac: mac(seq, log) });
const member = (node: string): Command => ({
  type: "set-node",
  node,
  storage: `disk of ${node}`,
  url: "http://a",
  roles: "lock",
  voter: true,
});

function cluster(...nodes: readonly string[]): Bench {
  const bench = new Bench();
  bench.propose({ type: "raise-level", level: featureLevels.anchors });
  for (const node of nodes) bench.propose(member(node));
  return bench;
}
let callers = 0;
function anchor(bench: Bench, head: AuditMark, before: AuditMark | null, chain = "c1", node = "n1"): Result | undefined {
  const caller = `node ${++callers}`;
  bench.entry(frameOf(caller, 1, [{ type: "anchor-audit", node, chain, head, before }], { notAfter: bench.now + 60_000 }));
  return bench.answers.get(`${caller}/1`);
}
/** So many anchors in a row, of every record one. */
function anchored(bench: Bench, count: number, chain = "c1", node = "n1"): void {
  for (let seq = 1; seq <= count; seq++) expect(anchor(bench, mark(seq), seq === 1 ? null : mark(seq - 1), chain, node)).toEqual(done);
}
const done: Result = { type: "done" };
function audited(state: SystemState, node = "n1"): AuditedNodeView | undefined {
  return state.auditedNodes().find((one) => one.node === node);
}
const seqs = (state: SystemState, chain = "c1", node = "n1"): readonly number[] =>
  audited(state, node)
    ?.chains.find((one) => one.chain === chain)
    ?.anchors.map(({ seq }) => seq) ?? [];

function chunksOf(state: SystemState): readonly Uint8Array[] {
  const cursor = state.beginSnapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(64); chunk !== null; chunk = cursor.next(64)) chunks.push(chunk);
  return chunks;
}

/** Behind the length of the header and its kind. */
function versionOf(state: SystemState): number | undefined {
  const [first = new Uint8Array(0)] = chunksOf(state);
  return first[first.findIndex((byte) => byte < 0x80) + 2];
}

describe("an anchor of an audit log", () => {
  test("is the head of a chain at that group time, and the next follows from it", () => {
    const bench = cluster("n1");
    const hash = bench.state.stateHash();
    expect(anchor(bench, mark(3), null)).toEqual(done);
    bench.now += 5_000;
    expect(anchor(bench, mark(8), mark(3))).toEqual(done);
    expect(bench.state.auditedNodes()).toEqual([
      {
        node: "n1",
        begun: 1,
        chains: [
          {
            chain: "c1",
            number: 1,
            anchors: [
              { seq: 3, mac: mac(3), at: 1_000_000, ordinal: 1 },
              { seq: 8, mac: mac(8), at: 1_005_000, ordinal: 2 },
            ],
          },
        ],
      },
    ]);
    expect(bench.state.stateHash()).not.toBe(hash);
  });

  test("that goes back, or stays where it was with another code, is refused and told which one stands", () => {
    const bench = cluster("n1");
    anchor(bench, mark(3), null);
    anchor(bench, mark(8), mark(3));
    const before = describeSystem(bench.state).filter((line) => line.startsWith("audited"));
    const refused = { type: "anchor-refused", last: mark(8) };
    expect(anchor(bench, mark(5), mark(8))).toEqual(refused);
    expect(anchor(bench, mark(8, "b"), mark(8))).toEqual(refused);
    expect(describeSystem(bench.state).filter((line) => line.startsWith("audited"))).toEqual(before);
  });

  test("that follows from another one than stands, or from none, is refused: whoever wrote the log anew has not read this", () => {
    const bench = cluster("n1");
    expect(anchor(bench, mark(3), mark(1))).toEqual({ type: "anchor-refused", last: null });
    anchor(bench, mark(3), null);
    anchor(bench, mark(8), mark(3));
    const refused = { type: "anchor-refused", last: mark(8) };
    for (const before of [null, mark(3), mark(8, "b"), mark(9)]) expect(anchor(bench, mark(12), before)).toEqual(refused);
    expect(seqs(bench.state)).toEqual([3, 8]);
  });

  test("told twice is one anchor: its sender had not heard the answer", () => {
    const bench = cluster("n1");
    anchor(bench, mark(3), null);
    expect(anchor(bench, mark(3), null)).toEqual(done);
    expect(seqs(bench.state)).toEqual([3]);
  });

  test("of a node that is no member is not taken: nothing would bound them", () => {
    const bench = cluster("n1");
    expect(anchor(bench, mark(1), null, "c1", "n9")).toEqual({ type: "not-found", what: "node" });
    expect(bench.state.auditedNodes()).toEqual([]);
  });

  test("below its feature level changes nothing", () => {
    const bench = new Bench();
    bench.propose({ type: "raise-level", level: featureLevels.anchors - 1 });
    bench.propose(member("n1"));
    expect(anchor(bench, mark(1), null)).toMatchObject({ type: "malformed" });
    expect(bench.state.auditedNodes()).toEqual([]);
  });
});

describe("what is kept", () => {
  test("of a chain: the newest, and of earlier ones the fewer the older they are, but always some", () => {
    const bench = cluster("n1");
    bench.checked = false;
    for (let seq = 1; seq <= 160; seq++) {
      anchor(bench, mark(seq), seq === 1 ? null : mark(seq - 1));
      const kept = seqs(bench.state);
      expect(kept.at(-1)).toBe(seq);
      // Two for each power of two up to the number of anchors.
      expect(kept.length).toBeLessThanOrEqual(2 * (Math.floor(Math.log2(seq)) + 1));
      // However far back the log was written anew, an anchor of at most four times that age, or the very first, is there.
      for (let age = 1; 4 * age < seq; age *= 2) expect(kept.some((one) => seq - one >= age && seq - one <= 4 * age)).toBe(true);
    }
    checkSystem(bench.state);
  });

  test("of a node: the logs that were anchored last, with how many there were", () => {
    const bench = cluster("n1");
    for (let log = 1; log <= 6; log++) {
      bench.now += 1_000;
      expect(anchor(bench, mark(1), null, `c${log}`)).toEqual(done);
      // The first log goes on beside the others.
      bench.now += 1_000;
      expect(anchor(bench, mark(log + 1), log === 1 ? mark(1) : mark(log), "c1")).toEqual(done);
    }
    expect(audited(bench.state)?.begun).toBe(6);
    expect(audited(bench.state)?.chains.map(({ chain, number }) => `${chain} ${number}`)).toEqual(["c1 1", "c4 4", "c5 5", "c6 6"]);
  });

  test("of nodes that were removed: what they wrote last stays, of 64 of them, and goes on when one comes back", () => {
    const bench = cluster("n1", "n2");
    bench.checked = false;
    anchored(bench, 2);
    bench.propose({ type: "forget-node", node: "n1" });
    expect(seqs(bench.state)).toEqual([1, 2]);
    expect(anchor(bench, mark(3), mark(2))).toEqual({ type: "not-found", what: "node" });
    for (let i = 1; i <= 64; i++) {
      bench.now += 10;
      const node = `gone${String(i).padStart(2, "0")}`;
      bench.propose(member(node));
      anchored(bench, 1, "c", node);
      bench.propose({ type: "forget-node", node });
    }
    const names = bench.state.auditedNodes().map(({ node }) => node);
    expect([names.length, names.includes("n1"), names.includes("gone01")]).toEqual([64, false, true]);
    bench.propose(member("gone02"));
    expect(anchor(bench, mark(2), mark(1), "c", "gone02")).toEqual(done);
    checkSystem(bench.state);
  });
});

describe("anchors outlive", () => {
  test("a snapshot, byte for byte and with the hash; without any it is what older versions read", () => {
    const bench = cluster("n1", "n2");
    expect(versionOf(bench.state)).toBe(4);
    anchored(bench, 40);
    anchored(bench, 3, "d1", "n2");
    expect(versionOf(bench.state)).toBe(5);
    const copy = restoreSystem(chunksOf(bench.state));
    checkSystem(copy);
    expect(describeSystem(copy)).toEqual(describeSystem(bench.state));
    expect(copy.stateHash()).toBe(bench.state.stateHash());
    const next = new Bench({}, copy);
    expect(anchor(next, mark(41), mark(40))).toEqual(done);
  });

  test("a snapshot is refused whose anchors no apply has made", () => {
    const bench = cluster("n1");
    anchored(bench, 3);
    const good = Uint8Array.from(chunksOf(bench.state).flatMap((chunk) => [...chunk]));
    const text = Buffer.from(good).toString("latin1");
    for (const [from, to] of [
      [mac(2), mac(7)],
      ["c1", "c2"],
    ] as const) {
      const bad = new Uint8Array(Buffer.from(text.replace(from, to), "latin1"));
      expect(() => restoreSystem([bad])).toThrow("differs from its hash");
    }
  });

  test("a restore: the new cluster knows them, and the log of a node of that name goes on from its last", () => {
    const bench = cluster("a", "gone");
    anchored(bench, 5, "c1", "a");
    anchored(bench, 2, "c2", "gone");
    const t0 = 1_800_000_000_000;
    const node = { node: "a", storage: "s", url: "http://a", roles: "lock", voter: true, replaceable: false, draining: false };
    const state = restoreSystem(chunksOf(renewSystem(bench.state, { nodes: [node], placement: null, savedMs: t0, nowMs: t0 })));
    checkSystem(state);
    expect(state.auditedNodes()).toEqual(bench.state.auditedNodes());
    const next = new Bench({}, state);
    next.now = t0;
    // The log had gone on after the backup: its node finds the anchor that the cluster has among its own.
    expect(anchor(next, mark(9), mark(8), "c1", "a")).toEqual({ type: "anchor-refused", last: mark(5) });
    expect(anchor(next, mark(9), mark(5), "c1", "a")).toEqual(done);
    expect(anchor(next, mark(3), mark(2), "c2", "gone")).toEqual({ type: "not-found", what: "node" });
  });
});
