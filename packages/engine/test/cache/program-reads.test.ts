import { groupId } from "@trivet/core";
import { noSpans } from "@trivet/engine";
import type { HolderMessage, HomeMessage, NamespaceSettings } from "@trivet/wire";
import { expect, test } from "vitest";
import { Copies } from "../../src/cache/copies.ts";
import { HolderHost } from "../../src/cache/holder-host.ts";
import { openProgramReads } from "../../src/cache/limits.ts";
import { lineOfKey } from "../../src/cache/lines.ts";
import { ProgramReads } from "../../src/cache/program-reads.ts";
import { Transitions } from "../../src/cache/transitions.ts";
import { Traces } from "../../src/base/traces.ts";
import { guard } from "../hosts/guard.ts";

const line = lineOfKey(1, "k");
const group = groupId(1);
const leaseMs = 700;

/** A node's holder with a copy of version 4 from moment 0, and a program that asks the node. */
class Bench {
  now = 0;
  knows = true;
  readonly sent: HolderMessage[] = [];
  readonly told: HomeMessage[] = [];
  readonly copies: Copies;
  readonly holder: HolderHost;
  readonly reads: ProgramReads;

  constructor(mode: NamespaceSettings["mode"] = "write-through") {
    const bounds = { maxEntries: 10, maxBytes: 1_000_000, policy: "lru" } as const;
    this.copies = new Copies(bounds, { settings: () => null, evict: () => {}, seed: () => 1 });
    const moment = (): { readonly steady: number; readonly wall: number } => ({ steady: this.now, wall: this.now });
    const send = (message: HolderMessage): number => this.sent.push(message);
    const traces = new Traces(noSpans);
    this.holder = new HolderHost("n1", 1, { group: 1, traces, copies: this.copies, transitions: new Transitions(), now: moment, send });
    this.holder.hearHome(1);
    this.reads = new ProgramReads({
      copies: this.copies,
      now: moment,
      settings: () => (this.knows ? ({ mode, staleMs: 0 } as NamespaceSettings) : null),
      holder: () => this.holder,
      tell: (_program, _group, message) => this.told.push(message),
    });
    this.holder.read(line, { type: "write-through" }, 10_000, () => {});
    this.home({ type: "renewed", term: 1, incarnation: 1, request: 1, sequence: 0 });
    this.data(4, 1);
    this.sent.length = 0;
  }

  home(message: HomeMessage): void {
    this.holder.receive(message);
  }

  data(version: number, txn: number, incarnation = 1, grant: "none" | "S" = "S"): void {
    const record = { version, value: null, tags: [], ttlMs: 0, asOf: version };
    this.home({ type: "data", term: 1, incarnation, line, txn, grant, record, sequence: 0 });
  }

  ask(txn = 9, of = line): boolean {
    return this.reads.answer("p", group, { type: "read", term: 3, incarnation: 5, line: of, txn });
  }

  get versions(): readonly number[] {
    return this.told.map((message) => (message.type === "data" ? message.record.version : -1));
  }
}

test("the node's copy is told in the same turn, to whom it is for, and nobody is asked", () => {
  const bench = new Bench();
  expect(bench.ask()).toBe(true);
  expect(bench.told).toMatchObject([
    { type: "data", term: 3, incarnation: 5, line, txn: 9, grant: "none", record: { version: 4 }, sequence: 0 },
  ]);
  expect([bench.sent, bench.reads.hits, bench.reads.misses]).toEqual([[], 1, 0]);
});

guard("program-read-of-any-copy", "M2: a copy is told no longer than its lease, also before anybody has noticed that it is over", () => {
  const bench = new Bench();
  bench.now = leaseMs;
  expect(bench.ask()).toBe(true);
  expect(bench.versions).toEqual([]);
  expect(bench.sent).toMatchObject([{ type: "renew" }, { type: "fetch" }]);
  const fetch = bench.sent.find(({ type }) => type === "fetch");
  bench.data(5, fetch?.type === "fetch" ? fetch.txn : 0, 2, "none");
  expect(bench.versions).toEqual([5]);
});

guard("program-read-of-any-copy", "M5: nor while the node's own write of it is unanswered", () => {
  const bench = new Bench();
  bench.holder.write(line, new Uint8Array([1]), true, 10_000, () => {});
  bench.ask();
  expect(bench.versions).toEqual([]);
});

test("what is asked again waits once, and again when it was not told in time", () => {
  const bench = new Bench();
  bench.now = leaseMs;
  for (let times = 0; times < 3; times++) expect(bench.ask()).toBe(true);
  expect([bench.holder.state.lines.get(line)?.fetch?.first.length, bench.reads.misses]).toEqual([1, 1]);
  bench.now += 60_000;
  bench.holder.tick({ steady: bench.now, wall: bench.now });
  expect(bench.told).toEqual([]);
  bench.ask();
  expect(bench.reads.misses).toBe(2);
});

test("what this node does not know, and what is beyond its bound, is for the home", () => {
  const bench = new Bench();
  for (let key = 0; key < openProgramReads; key++) expect(bench.ask(key, lineOfKey(1, `other ${key}`))).toBe(true);
  expect(bench.ask(openProgramReads, lineOfKey(1, "one more"))).toBe(false);
  // It has a copy of this one.
  expect(bench.ask()).toBe(true);
  bench.knows = false;
  expect(bench.ask()).toBe(false);
});

test("mode strict: a quorum is asked, whoever asks so", () => {
  const bench = new Bench("strict");
  bench.ask(9, lineOfKey(1, "other"));
  expect(bench.sent).toMatchObject([{ type: "fetch", confirmed: true }]);
});
