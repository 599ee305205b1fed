import { groupId, type NamespaceView, type QueuedWriteOfKey } from "@trivet/core";
import { type CacheOrigin, MemoryClock, MemoryPacking, MemoryTelemetry, type OriginWrite, type OriginWritten } from "@trivet/engine";
import { encodeUtf8, type ShardCommand } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { stampOf, WriteBehind } from "../../src/cache/write-behind.ts";
import type { WorkerRequest } from "../../src/shards/worker-protocol.ts";
import { guard } from "../hosts/guard.ts";

/** What a shard's leader does with what waits, without its shard: the test says what waits, and what the origin answers. */
class Bench {
  readonly clock = new MemoryClock(1_000);
  readonly looks: Extract<WorkerRequest, { readonly type: "cache-behind" }>[] = [];
  readonly batches: { readonly writes: readonly OriginWrite[]; readonly told: (place: number, outcome: OriginWritten) => void }[] = [];
  readonly logged: ShardCommand[] = [];
  waiting: QueuedWriteOfKey[] = [];
  isKnown = true;
  /** The version of the namespace's definition there. */
  shardKnows = 4;
  /** What the origin says at once of a write; null = it says nothing. */
  answerTo: (write: OriginWrite) => OriginWritten | null = () => null;
  readonly telemetry = new MemoryTelemetry();
  readonly behind: WriteBehind;

  constructor() {
    const origin: CacheOrigin = { timeoutMs: 500, load: () => {}, write: (writes, told) => this.take(writes, told) };
    const view = { name: "pages", namespace: 2, version: 4, settings: { origin: "redis" } } as unknown as NamespaceView;
    this.behind = new WriteBehind(groupId(1), {
      node: "n1",
      clock: this.clock,
      telemetry: this.telemetry,
      origins: { redis: origin },
      packing: new MemoryPacking(),
      groupTime: () => this.clock.now(),
      namespace: () => (this.isKnown ? view : null),
      ask: (request, done) => {
        if (request.type !== "cache-behind") throw new Error(request.type);
        this.looks.push(request);
        const behind = this.waiting.filter(({ namespace, place }) => place > request.after && !request.without.includes(namespace));
        const writes = behind.slice(0, request.most);
        const backlogs = [{ namespace: 2, keys: this.waiting.length, bytes: 0, version: this.shardKnows }];
        const next = behind.length > writes.length ? (writes.at(-1)?.place ?? 0) : 0;
        this.clock.defer(() => done({ type: "cache-behind", since: this.waiting[0]?.since ?? 0, backlogs, writes, next }));
      },
      propose: (command, applied) => {
        this.logged.push(command);
        const values = command.type === "cache-flushed" ? command.values : [];
        this.waiting = this.waiting.filter(({ version }) => !values.some((value) => value.version === version));
        this.clock.defer(applied);
      },
    });
    this.behind.begin();
  }

  private take(writes: readonly OriginWrite[], told: (place: number, outcome: OriginWritten) => void): void {
    this.batches.push({ writes, told });
    this.clock.defer(() => {
      for (const [place, write] of writes.entries()) {
        const outcome = this.answerTo(write);
        if (outcome !== null) told(place, outcome);
      }
    });
  }

  /** Keys `NAME0` and so on, behind those that wait. */
  queueMany(name: string, count: number): void {
    const first = (this.waiting.at(-1)?.version ?? 0) + 1;
    for (let at = 0; at < count; at++) this.queue(`${name}${at}`, first + at);
  }

  left(name: string): number {
    return this.waiting.filter(({ key }) => key.startsWith(name)).length;
  }

  queue(key: string, version: number): void {
    this.waiting.push({
      namespace: 2,
      key,
      version,
      place: version,
      at: this.clock.now(),
      since: this.clock.now(),
      value: encodeUtf8("v"),
    });
    this.behind.changed();
  }

  run(ms: number): void {
    for (const until = this.clock.now() + ms; this.clock.now() < until;) {
      this.behind.tick(this.clock.now());
      this.clock.runUntil(this.clock.now() + 10);
    }
  }

  answer(type: "written" | "refused" | "unreachable"): void {
    const batch = this.batches.at(-1);
    batch?.writes.forEach((_write, place) => batch.told(place, type === "written" ? { type } : { type, reason: "a reason" }));
  }
}

describe("what a shard's leader brings to an origin", () => {
  test("is logged when the origin has it, and not looked for again", () => {
    const bench = new Bench();
    bench.run(50);
    bench.queue("k", 7);
    bench.run(50);
    expect(bench.batches.map(({ writes }) => writes.map(({ key, namespace }) => [namespace, key]))).toEqual([[["pages", "k"]]]);
    bench.waiting = [];
    bench.answer("written");
    bench.run(100);
    expect(bench.logged).toEqual([{ type: "cache-flushed", values: [{ namespace: 2, key: "k", version: 7 }] }]);
    const looks = bench.looks.length;
    bench.run(60_000);
    expect(bench.looks).toHaveLength(looks);
  });

  test("is tried again when nothing is heard in time, at longer and longer intervals, ten seconds at most", () => {
    const bench = new Bench();
    bench.queue("k", 7);
    bench.run(1_500);
    expect(bench.batches.length).toBeGreaterThan(1);
    bench.run(100_000);
    const before = bench.batches.length;
    bench.run(105_000);
    expect(bench.batches.length - before).toBeGreaterThanOrEqual(9);
    expect(bench.batches.length - before).toBeLessThanOrEqual(11);
    // A late answer is none any more.
    bench.batches[0]?.told(0, { type: "written" });
    expect(bench.logged).toEqual([]);
  });

  guard("behind-retries-what-is-gone", "is not looked for without end when it is gone", () => {
    for (const outcome of ["unreachable", "refused"] as const) {
      const bench = new Bench();
      bench.queue("k", 7);
      bench.run(50);
      bench.answer(outcome);
      bench.run(20);
      bench.waiting = [];
      bench.run(2_000);
      const looks = bench.looks.length;
      bench.run(10_000);
      expect(bench.looks).toHaveLength(looks);
    }
  });

  test("waits for group 0 where the namespace is not known yet", () => {
    const bench = new Bench();
    bench.isKnown = false;
    bench.queue("k", 7);
    bench.run(1_000);
    expect(bench.batches).toEqual([]);
    bench.isKnown = true;
    bench.run(1_000);
    expect(bench.batches).toHaveLength(1);
  });

  guard("behind-origin-of-before", "waits for group 0 where the shard knows more of the namespace", () => {
    const bench = new Bench();
    bench.shardKnows = 5;
    bench.queue("k", 7);
    bench.run(1_000);
    expect(bench.batches).toEqual([]);
    bench.shardKnows = 4;
    bench.run(1_000);
    expect(bench.batches).toHaveLength(1);
  });

  test("of a former reign is nothing that the next one believes", () => {
    const bench = new Bench();
    bench.queue("k", 7);
    bench.run(50);
    bench.behind.end();
    bench.behind.begin();
    bench.answer("written");
    bench.run(20);
    expect(bench.logged).toEqual([]);
    expect(bench.batches).toHaveLength(2);
  });

  guard("behind-all-or-nothing", "counts when it is told before the time is over, whatever is missing then", () => {
    const bench = new Bench();
    bench.queueMany("k", 200);
    // Slower than the time for a batch allows, and no faster when it is asked again.
    let told = 0;
    bench.answerTo = () => (told++ < 100 ? { type: "written" } : null);
    bench.run(1_200);
    expect(bench.left("k")).toBe(100);
    const sizes = bench.batches.map(({ writes }) => writes.length);
    expect(sizes[0]).toBe(128);
    expect(sizes[1]).toBeLessThanOrEqual(64);
    bench.answerTo = () => ({ type: "written" });
    bench.run(12_000);
    expect(bench.left("k")).toBe(0);
  });

  test("goes in small batches while the origin is slow, and in large ones again when it is not", () => {
    const bench = new Bench();
    bench.answerTo = () => null;
    bench.queueMany("k", 2_000);
    bench.run(60_000);
    expect(bench.batches.at(-1)?.writes).toHaveLength(1);
    bench.answerTo = () => ({ type: "written" });
    bench.run(20_000);
    expect(bench.left("k")).toBe(0);
    expect(Math.max(...bench.batches.slice(-20).map(({ writes }) => writes.length))).toBe(128);
  });

  guard("behind-one-holds-up-all", "waits alone where it cannot be reached and others can", () => {
    const bench = new Bench();
    bench.queue("dead", 1);
    bench.queueMany("k", 1_000);
    bench.answerTo = ({ key }) => (key === "dead" ? { type: "unreachable", reason: "its server is away" } : { type: "written" });
    bench.run(60);
    expect(bench.left("k")).toBe(0);
    bench.queueMany("later", 10);
    bench.run(50);
    expect(bench.left("later")).toBe(0);
    expect(bench.telemetry.lines[0]).toMatchObject({ event: "origin.write", fields: { key: "dead", reason: "its server is away" } });
    bench.answerTo = () => ({ type: "written" });
    bench.run(10_000);
    expect(bench.waiting).toEqual([]);
  });

  guard("behind-refused-hold-up", "never waits behind what its origin does not take, however much that is", () => {
    for (const type of ["unreachable", "refused"] as const) {
      const bench = new Bench();
      bench.answerTo = ({ key }) => (key.startsWith("dead") ? { type, reason: "a reason" } : { type: "written" });
      bench.queueMany("dead", 1_000);
      bench.queueMany("early", 10);
      bench.run(5_000);
      expect(bench.left("early")).toBe(0);
      bench.run(55_000);
      bench.queueMany("k", 300);
      bench.run(1_000);
      expect(bench.left("k")).toBe(0);
      expect(bench.left("dead")).toBe(1_000);
      // What is mended is found out, also behind what is not.
      bench.answerTo = ({ key }) => (key.startsWith("dead1") ? { type, reason: "a reason" } : { type: "written" });
      bench.run(40_000);
      expect(bench.waiting.filter(({ key }) => !key.startsWith("dead1"))).toEqual([]);
    }
  });

  test("comes again at once where there was no time for it", () => {
    const bench = new Bench();
    bench.queueMany("k", 100);
    bench.answerTo = ({ key }) => {
      if (key === "k0") return { type: "refused", reason: "a reason" };
      return {
        type:
          bench.batches
            .at(-1)
            ?.writes.slice(0, 2)
            .some((write) => write.key === key) === true
            ? "written"
            : "untried",
      };
    };
    bench.run(2_000);
    expect(bench.left("k")).toBe(1);
    expect(bench.telemetry.lines.map(({ event }) => event)).not.toContain("origin.behind");
  });

  test("is not tried often where each try takes its time for nothing", () => {
    const bench = new Bench();
    bench.answerTo = () => null;
    bench.queueMany("k", 3_000);
    bench.run(100_000);
    const before = bench.batches.length;
    bench.run(110_000);
    expect(bench.batches.length - before).toBeLessThanOrEqual(12);
    bench.answerTo = () => ({ type: "written" });
    bench.run(30_000);
    expect(bench.waiting).toEqual([]);
  });

  test("an origin that answers nothing is left alone, told of once, and everything comes there when it is back", () => {
    const bench = new Bench();
    bench.answerTo = () => ({ type: "unreachable", reason: "away" });
    bench.queueMany("k", 10_000);
    bench.run(300_000);
    expect(bench.batches.length).toBeLessThan(400);
    expect(bench.telemetry.lines.map(({ event }) => event)).toEqual(["origin.behind"]);
    bench.answerTo = () => ({ type: "written" });
    bench.run(25_000);
    expect(bench.waiting).toEqual([]);
  });

  guard("behind-any-higher-stamp-is-ours", "is not given up for a stamp that nobody here can have given", () => {
    const bench = new Bench();
    bench.queue("k", 7);
    const later = stampOf({ at: bench.clock.now() + 3_600_000, version: 3 });
    bench.answerTo = () => ({ type: "newer", stamp: later });
    bench.run(10_000);
    expect(bench.logged).toEqual([]);
    expect(bench.telemetry.lines[0]?.fields).toMatchObject({ key: "k", reason: expect.stringContaining("another cluster") });
  });

  test("is given up for what a later leader wrote, which is told; a repeat is told to nobody", () => {
    for (const [version, lines] of [
      [7, 0],
      [8, 1],
    ] as const) {
      const bench = new Bench();
      bench.queue("k", 7);
      const stamp = stampOf({ at: bench.clock.now(), version });
      bench.answerTo = () => ({ type: "newer", stamp });
      bench.run(100);
      expect(bench.waiting).toEqual([]);
      expect(bench.telemetry.lines).toHaveLength(lines);
    }
  });

  test("carries a stamp that rises with time and with versions, also as a text", () => {
    const stamps = [
      { at: 9, version: 5 },
      { at: 9, version: 12 },
      { at: 1_790_000_000_000, version: 1 },
      { at: 1_790_000_000_000, version: 2 ** 53 - 1 },
      { at: 1_790_000_000_001, version: 1 },
    ].map(stampOf);
    expect(stamps.every((stamp) => /^[0-9]{32}$/.test(stamp))).toBe(true);
    expect([...stamps].sort()).toEqual(stamps);
  });
});
