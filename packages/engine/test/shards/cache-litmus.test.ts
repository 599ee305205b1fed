import { Prng } from "@trivet/core";
import { describe, expect, test } from "vitest";
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

describe("what several readers and writers see of two keys", () => {
  test("one key is never read backwards, and its last write stays (CoRR, CoWW)", () => {
    const litmus = new Litmus(1);
    for (let round = 0; round < rounds; round++) {
      const reads = [{ get: x }, { get: x }, { get: x }];
      const [, first, second] = litmus.run(["n1", [{ put: x }, { put: x }]], ["n2", reads], ["n3", reads]);
      for (const { seen = [] } of [first ?? { seen: [] }, second ?? { seen: [] }]) {
        expect([...seen].sort((a, b) => a - b)).toEqual(seen);
      }
      expect(litmus.caches.get("n3", x)).toBe(String(litmus.now));
    }
  });

  test("who sees the second write of somebody sees the first (MP)", () => {
    const litmus = new Litmus(2);
    for (let round = 0; round < rounds; round++) {
      const reads = Array.from({ length: 12 }, () => [{ get: y }, { get: x }]).flat();
      const [, ...readers] = litmus.run(["n1", [{ put: x }, { put: y }]], ["n2", reads], ["n3", reads]);
      for (const { seen } of readers) {
        for (let at = 0; at < seen.length; at += 2) expect(seen[at] === litmus.now && seen[at + 1] !== litmus.now).toBe(false);
      }
    }
  });

  test("of two who write and then read the other's key one sees the other (SB)", () => {
    const litmus = new Litmus(3);
    for (let round = 0; round < rounds; round++) {
      const [one, other] = litmus.run(["n1", [{ put: x }, { get: y }]], ["n2", [{ put: y }, { get: x }]]);
      expect(one?.seen[0] !== litmus.now && other?.seen[0] !== litmus.now).toBe(false);
    }
  });

  test("two readers do not see two writes in different orders (IRIW)", () => {
    const litmus = new Litmus(4);
    for (let round = 0; round < rounds; round++) {
      const [, , one, other] = litmus.run(
        ["n1", [{ put: x }]],
        ["n2", [{ put: y }]],
        ["n3", [{ get: x }, { get: y }]],
        ["n1", [{ get: y }, { get: x }]],
      );
      const [isNew, isOld] = [(value = 0): boolean => value === litmus.now, (value = 0): boolean => value !== litmus.now];
      const inverted = isNew(one?.seen[0]) && isOld(one?.seen[1]) && isNew(other?.seen[0]) && isOld(other?.seen[1]);
      expect(inverted).toBe(false);
    }
  });
});
