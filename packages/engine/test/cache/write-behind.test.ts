import { groupId, type NamespaceView, type QueuedWriteOfKey } from "@trivet/core";
import { type CacheOrigin, MemoryClock, MemoryPacking, MemoryTelemetry, type OriginWrite, type OriginWritten } from "@trivet/engine";
import { encodeUtf8, type ShardCommand } from "@trivet/wire";
import { describe, expect, test, vi } from "vitest";
import { stampOf, WriteBehind } from "../../src/cache/write-behind.ts";
import type { WorkerRequest } from "../../src/shards/worker-protocol.ts";
import { guard } from "../hosts/guard.ts";

vi.mock("../../../core/src/mutation-off.ts", () => import("../../../core/src/mutation-on.ts"));

/** What a shard's leader does with what waits, without its shard: the test says what waits, and what the origin answers. */
class Bench {
  readonly clock = new MemoryClock(1_000);
  readonly looks: Extract<WorkerRequest, { readonly type: "cache-behind" }>[] = [];
  readonly batches: { readonly writes: readonly OriginWrite[]; readonly done: (outcomes: readonly OriginWritten[]) => void }[] = [];
  readonly logged: ShardCommand[] = [];
  waiting: QueuedWriteOfKey[] = [];
  isKnown = true;
  readonly behind: WriteBehind;

  constructor() {
    const origin: CacheOrigin = { timeoutMs: 500, load: () => {}, write: (writes, done) => void this.batches.push({ writes, done }) };
    const view = { name: "pages", namespace: 2, settings: { origin: "redis" } } as unknown as NamespaceView;
    this.behind = new WriteBehind(groupId(1), {
      node: "n1",
      clock: this.clock,
      telemetry: new MemoryTelemetry(),
      origins: { redis: origin },
      packing: new MemoryPacking(),
      namespace: () => (this.isKnown ? view : null),
      ask: (request, done) => {
        if (request.type !== "cache-behind") throw new Error(request.type);
        this.looks.push(request);
        const writes = this.waiting.filter(({ namespace }) => !request.without.includes(namespace));
        this.clock.defer(() => done({ type: "cache-behind", since: this.waiting[0]?.since ?? 0, backlogs: [], writes, next: 0 }));
      },
      propose: (command, applied) => {
        this.logged.push(command);
        this.clock.defer(applied);
      },
    });
    this.behind.begin();
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
    batch?.done(batch.writes.map(() => (type === "written" ? { type } : { type, reason: "a reason" })));
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
    bench.run(1_000);
    expect(bench.batches.length).toBeGreaterThan(1);
    bench.run(100_000);
    const before = bench.batches.length;
    bench.run(105_000);
    expect(bench.batches.length - before).toBeGreaterThanOrEqual(9);
    expect(bench.batches.length - before).toBeLessThanOrEqual(11);
    // A late answer is none any more.
    bench.batches[0]?.done([{ type: "written" }]);
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
    bench.run(2_000);
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
