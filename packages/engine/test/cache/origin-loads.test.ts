import { groupId, nothingRecorded } from "@trivet/core";
import { type CacheOrigin, MemoryClock, MemoryTelemetry, type OriginAnswer } from "@trivet/engine";
import { encodeUtf8, type LoadToken } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import type { CacheCalls } from "../../src/cache/cache-calls.ts";
import type { CacheWrites, WriteAnswer } from "../../src/cache/cache-writes.ts";
import { openLoads } from "../../src/cache/limits.ts";
import { type LoadReply, OriginLoads } from "../../src/cache/origin-loads.ts";
import type { ReadValue } from "../../src/shards/worker-protocol.ts";
import { guard } from "../hosts/guard.ts";

const full = { type: "answered", result: { type: "cache-full", limit: "bytes", max: 1 }, requestId: "r" } as const;

/** The loads of a home without its cluster: the origin and the log answer when the test says so. */
class Bench {
  readonly clock = new MemoryClock(1_000);
  readonly asked: ((answer: OriginAnswer) => void)[] = [];
  readonly written: ((answer: WriteAnswer) => void)[] = [];
  readonly replies: LoadReply[] = [];
  private readonly loads: OriginLoads;
  /** Of what was to be stored. */
  readonly tokens: LoadToken[] = [];
  /** What the home's own replica says of every key. */
  stored: ReadValue = { record: { ...nothingRecorded, asOf: 100 }, isDue: false };

  constructor() {
    const origin: CacheOrigin = {
      timeoutMs: 500,
      load: (_namespace, _key, done) => void this.asked.push(done),
      write: () => {},
    };
    const settings = { origin: "redis", negativeTtlMs: 0, ttlMs: 0, compressOver: 0 };
    const machine = { ask: (_request: unknown, done: (reply: unknown) => void) => done({ type: "cache-values", values: [this.stored] }) };
    const host = {
      config: { node: "n1" },
      ports: { clock: this.clock, telemetry: new MemoryTelemetry(), cacheOrigins: { redis: origin } },
      shards: { replica: () => ({ machine, group: { stateDoubted: false } }) },
      groupTime: { now: () => this.clock.now() },
    };
    const calls = {
      host,
      names: { numbered: () => ({ namespace: 2, name: "pages", version: 1, settings }) },
      later: (run: () => void) => this.clock.defer(run),
      call: () => ({ deadline: 10_000 }),
      place: (_view: unknown, _key: string, _call: unknown, _done: unknown, run: (place: object) => void) => run({}),
    };
    const write = (...given: unknown[]): void => {
      this.tokens.push((given[3] as { readonly token: LoadToken }).token);
      this.written.push(given.at(-1) as (answer: WriteAnswer) => void);
    };
    const commands = { write };
    this.loads = new OriginLoads(calls as unknown as CacheCalls, commands as unknown as CacheWrites);
  }

  load(key: string, token: LoadToken, isFresh = false): void {
    this.loads.load(groupId(1), { type: "load", namespace: 2, key, token, isFresh }, (reply) => void this.replies.push(reply));
    this.turn();
  }

  turn(): void {
    this.clock.runUntil(this.clock.now());
  }
}

describe("loads at the home of their keys", () => {
  guard("origin-late-joiner-served", "who has heard of a change that a load may not have is not answered with its value", () => {
    const bench = new Bench();
    bench.load("k", { version: 0, asOf: 5 });
    bench.asked[0]?.({ type: "value", value: encodeUtf8("old") });
    bench.load("k", { version: 0, asOf: 6 });
    bench.written[0]?.(full);
    expect(bench.replies).toEqual([{ type: "unstored", value: "b2xk" }, { type: "changed" }]);
  });

  guard("behind-former-home-believed", "a former home does not answer with what waited in its time", () => {
    const bench = new Bench();
    const queued = { version: 4, at: 1, since: 1, value: encodeUtf8("former") };
    bench.stored = { record: { ...nothingRecorded, asOf: 4 }, isDue: false, queued };
    bench.load("k", { version: 0, asOf: 4 });
    bench.load("l", { version: 0, asOf: 5 });
    expect(bench.replies).toEqual([{ type: "unstored", value: "Zm9ybWVy", version: 4 }, { type: "changed" }]);
    expect(bench.asked).toEqual([]);
  });

  guard(
    "origin-fresh-joins-earlier",
    "who wants what the origin says now is not answered with what it was asked before; those who come meanwhile share",
    () => {
      const bench = new Bench();
      bench.load("k", { version: 0, asOf: 5 });
      bench.load("k", { version: 0, asOf: 5 }, true);
      bench.load("k", { version: 0, asOf: 5 }, true);
      bench.asked[0]?.({ type: "value", value: encodeUtf8("old") });
      bench.written[0]?.(full);
      expect(bench.replies).toEqual([{ type: "unstored", value: "b2xk" }]);
      bench.turn();
      bench.load("k", { version: 0, asOf: 5 });
      expect(bench.asked).toHaveLength(2);
      bench.asked[1]?.({ type: "value", value: encodeUtf8("new") });
      bench.written[1]?.(full);
      const fresh = { type: "unstored", value: "bmV3" };
      expect(bench.replies.slice(1)).toEqual([fresh, fresh, fresh]);
    },
  );

  guard(
    "origin-full-of-nothing",
    "that there is no room is told where something else is stored and stays, whatever the asker had read before",
    () => {
      const bench = new Bench();
      bench.load("k", { version: 60, asOf: 80 }, true);
      bench.stored = { record: { ...nothingRecorded, version: 70, asOf: 90 }, isDue: false };
      bench.load("l", { version: 0, asOf: 80 }, true);
      for (const asked of bench.asked) asked({ type: "value", value: encodeUtf8("new") });
      for (const written of bench.written) written(full);
      expect(bench.replies).toEqual([
        { type: "unstored", value: "bmV3" },
        { type: "unstored", value: "bmV3", full: full.result },
      ]);
    },
  );

  test("a fresh one is stored only over what its home had before it asked", () => {
    const bench = new Bench();
    bench.stored = { record: { ...nothingRecorded, version: 70, asOf: 90 }, isDue: false };
    bench.load("k", { version: 60, asOf: 80 }, true);
    bench.load("l", { version: 60, asOf: 80 });
    for (const asked of bench.asked) asked({ type: "absent" });
    expect(bench.tokens).toEqual([
      { version: 70, asOf: 90 },
      { version: 60, asOf: 80 },
    ]);
  });

  guard("origin-loads-unbounded", "are bounded", () => {
    const bench = new Bench();
    for (let at = 0; at <= openLoads; at++) bench.load(`k${at}`, { version: 0, asOf: 5 });
    expect(bench.asked).toHaveLength(openLoads);
    expect(bench.replies).toEqual([{ type: "too-many" }]);
  });
});
