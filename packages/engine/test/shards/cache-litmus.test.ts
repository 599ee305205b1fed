import { Prng } from "@trivet/core";
import { describe, expect, test } from "vitest";
import { guard } from "../hosts/guard.ts";
import { Caches } from "./cache-support.ts";

type Step = { readonly put: string } | { readonly get: string };
interface Flow {
  readonly node: string;
  readonly steps: readonly Step[];
  /** What its reads saw, in order. */
  readonly seen: number[];
}
const rounds = 60;
/** In different shards. */
const [x, y] = ["x", "y1"];

/** Rounds in which every value written is the round's number: what is smaller is old. */
class Litmus {
  readonly caches = new Caches();
  private readonly prng: Prng;
  private round = 0;

  constructor(seed: number) {
    this.prng = new Prng(seed);
    for (const key of [x, y]) this.caches.put("n1", key, "0");
    // Now and then a frame takes long, and those behind it in its link: what went another way overtakes it.
    this.caches.cluster.network.options = {
      fate: () => ({ delaysMs: [this.prng.chance(0.15) ? this.prng.next() * 10 : 0.1 + this.prng.next() * 0.3] }),
    };
  }

  /** All flows at once, each from a moment of its own, over copies of before. */
  run(...flows: readonly (readonly [node: string, steps: readonly Step[]])[]): readonly Flow[] {
    this.round++;
    for (const key of [x, y]) if (this.prng.chance(0.7)) this.caches.warm(key);
    let left = flows.length;
    const running = flows.map(([node, steps]): Flow => ({ node, steps, seen: [] }));
    for (const flow of running) {
      this.caches.cluster.clock.schedule(this.prng.next() * 3, () => this.step(flow, 0, () => left--));
    }
    this.caches.cluster.until("the round is over", () => left === 0);
    return running;
  }

  get now(): number {
    return this.round;
  }

  private step(flow: Flow, at: number, done: () => void): void {
    const step = flow.steps[at];
    if (step === undefined) return done();
    const next = (): void => this.step(flow, at + 1, done);
    const service = this.caches.service(flow.node);
    if ("get" in step) {
      service.get("default", step.get, "linearizable", 5_000, (entry) => {
        flow.seen.push(entry.type === "entry" ? Number(String.fromCharCode(...(entry.value ?? []))) : Number.NaN);
        next();
      });
      return;
    }
    const value = Uint8Array.from(String(this.round), (digit) => digit.charCodeAt(0));
    const put = { namespace: "default", key: step.put, value, tags: [], ttlMs: 0, token: null, ifFence: null } as const;
    service.put({ ...put, condition: { type: "always" } }, { timeoutMs: 5_000 }, next);
  }
}

type Seen = readonly number[];

const isBackwards = (seen: Seen): boolean => seen.some((value, at) => value < (seen[at - 1] ?? 0));
/** Reads of the second writer's key and then the first's, again and again. */
const isSecondWithoutFirst = (seen: Seen, now: number): boolean =>
  seen.some((value, at) => at % 2 === 0 && value === now && seen[at + 1] !== now);
const isBothUnseen = ([one, other]: readonly Seen[], now: number): boolean => one?.[0] !== now && other?.[0] !== now;
const isInverted = ([one, other]: readonly Seen[], now: number): boolean =>
  one?.[0] === now && one[1] !== now && other?.[0] === now && other[1] !== now;

test("what is forbidden is found in what was seen, and nothing else is", () => {
  expect([[1, 1, 2], [], [2]].map(isBackwards)).toEqual([false, false, false]);
  expect(
    [
      [2, 1],
      [1, 2, 1],
    ].map(isBackwards),
  ).toEqual([true, true]);
  expect(
    [
      [1, 1, 2, 2],
      [1, 2, 2, 2],
    ].map((seen) => isSecondWithoutFirst(seen, 2)),
  ).toEqual([false, false]);
  expect(
    [
      [2, 1],
      [1, 1, 2, 1],
    ].map((seen) => isSecondWithoutFirst(seen, 2)),
  ).toEqual([true, true]);
  expect(
    [
      [[2], [1]],
      [[1], [2]],
      [[1], [1]],
    ].map((seen) => isBothUnseen(seen, 2)),
  ).toEqual([false, false, true]);
  const readers = [
    [
      [2, 1],
      [1, 2],
    ],
    [
      [2, 2],
      [2, 1],
    ],
    [
      [2, 1],
      [2, 1],
    ],
  ];
  expect(readers.map((seen) => isInverted(seen, 2))).toEqual([false, false, true]);
});

describe("what several readers and writers see of two keys", () => {
  guard("coherence-write-before-acknowledgements", "one key is never read backwards, and its last write stays (CoRR, CoWW)", () => {
    const litmus = new Litmus(1);
    for (let round = 0; round < rounds; round++) {
      const reads = [{ get: x }, { get: x }, { get: x }];
      const [, ...readers] = litmus.run(["n1", [{ put: x }, { put: x }]], ["n2", reads], ["n3", reads]);
      for (const { seen } of readers) {
        expect(seen).toHaveLength(reads.length);
        expect(isBackwards(seen)).toBe(false);
      }
      expect(litmus.caches.get("n3", x)).toBe(String(litmus.now));
    }
  });

  guard("coherence-granted-beside-a-write", "who sees the second write of somebody sees the first (MP)", () => {
    const litmus = new Litmus(2);
    for (let round = 0; round < rounds; round++) {
      const reads = Array.from({ length: 12 }, () => [{ get: y }, { get: x }]).flat();
      const [, ...readers] = litmus.run(["n1", [{ put: x }, { put: y }]], ["n2", reads], ["n3", reads]);
      for (const { seen } of readers) {
        expect(seen).toHaveLength(reads.length);
        expect(isSecondWithoutFirst(seen, litmus.now)).toBe(false);
      }
    }
  });

  guard("coherence-granted-beside-a-write", "of two who write and then read the other's key one sees the other (SB)", () => {
    const litmus = new Litmus(3);
    for (let round = 0; round < rounds; round++) {
      const both = litmus.run(["n1", [{ put: x }, { get: y }]], ["n2", [{ put: y }, { get: x }]]);
      const seen = both.map((flow) => flow.seen);
      expect(isBothUnseen(seen, litmus.now)).toBe(false);
    }
  });

  test("two readers do not see two writes in different orders (IRIW)", () => {
    const litmus = new Litmus(4);
    for (let round = 0; round < rounds; round++) {
      const [, , ...readers] = litmus.run(
        ["n1", [{ put: x }]],
        ["n2", [{ put: y }]],
        ["n3", [{ get: x }, { get: y }]],
        ["n1", [{ get: y }, { get: x }]],
      );
      const seen = readers.map((flow) => flow.seen);
      expect(isInverted(seen, litmus.now)).toBe(false);
    }
  });
});
