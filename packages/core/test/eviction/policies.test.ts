import { array, assert, constant, integer, nat, oneof, property, record, type Arbitrary } from "fast-check";
import { describe, expect, test } from "vitest";
import { evictionLimits } from "../../src/eviction/limits.ts";
import { policyNames, type PolicyName } from "../../src/eviction/policy.ts";
import { InvariantError } from "../../src/kernel/assert.ts";
import { Prng } from "../../src/kernel/prng.ts";
import { TestCache, hashOf } from "./cache.ts";
import { models } from "./models.ts";

const inOrder = (keys: Iterable<number>): number[] => [...keys].sort((a, b) => a - b);

type Step =
  | { readonly do: "request"; readonly key: number; readonly bytes: number }
  | { readonly do: "drop"; readonly key: number }
  | { readonly do: "resize"; readonly key: number; readonly bytes: number }
  | { readonly do: "pin"; readonly key: number }
  | { readonly do: "unpin"; readonly key: number };

const key = nat(30);
const bytes = nat(40);
const step: Arbitrary<Step> = oneof(
  { weight: 8, arbitrary: record({ do: constant("request" as const), key, bytes }) },
  { weight: 1, arbitrary: record({ do: constant("drop" as const), key }) },
  { weight: 1, arbitrary: record({ do: constant("resize" as const), key, bytes }) },
  { weight: 1, arbitrary: record({ do: constant("pin" as const), key }) },
  { weight: 1, arbitrary: record({ do: constant("unpin" as const), key }) },
);

function play(cache: TestCache, pinned: Set<number>, move: Step): void {
  switch (move.do) {
    case "request":
      cache.request(move.key, move.bytes);
      return;
    case "drop":
      cache.drop(move.key);
      return;
    case "resize": {
      const resident = cache.copies.get(move.key);
      if (resident !== undefined && (!cache.policy.resize(resident, move.bytes) || !cache.makeRoom())) cache.drop(move.key);
      return;
    }
    case "pin":
      // A cache has fewer lines in transient states than copies.
      if (pinned.size < 3) pinned.add(move.key);
      return;
    case "unpin":
      pinned.delete(move.key);
      return;
  }
}

function victimsOf(name: PolicyName): readonly number[] {
  const prng = new Prng(3);
  const cache = new TestCache(name, { maxEntries: 40, maxBytes: 400 }, 9);
  for (let step = 0; step < 20_000; step++) cache.request(Math.floor(prng.next() ** 3 * 500), prng.below(30));
  return cache.evicted;
}

describe.each(policyNames)("%s", (name) => {
  test("evicts what the paper's algorithm, done slowly, evicts", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const prng = new Prng(seed);
      const capacity = prng.pick([1, 2, 3, 10, 25, 60]);
      const cache = new TestCache(name, { maxEntries: capacity }, seed);
      const model = models[name](capacity, seed, hashOf);
      const universe = capacity * prng.pick([2, 3, 5]);
      for (let step = 0; step < 4000; step++) {
        // A few popular ones, a loop, and things asked for once.
        const roll = prng.next();
        const asked = roll < 0.5 ? prng.below(prng.between(1, universe)) : roll < 0.8 ? step % universe : universe + prng.below(1000);
        if (prng.chance(0.02)) {
          cache.drop(asked);
          model.drop(asked);
        }
        const before = cache.evicted.length;
        cache.request(asked);
        const gone = model.request(asked);
        expect(cache.evicted.slice(before), `seed ${seed}, step ${step}`).toEqual(gone === null ? [] : [gone]);
      }
      expect(inOrder(cache.copies.keys())).toEqual(inOrder(model.kept()));
    }
  });

  test("keeps both bounds, counts right, never evicts what is refused, loses nothing", () => {
    assert(
      property(
        record({ maxEntries: nat(8), maxBytes: oneof(nat(100), constant(Infinity)), seed: integer() }),
        array(step, { maxLength: 120 }),
        ({ maxEntries, maxBytes, seed }, steps) => {
          const cache = new TestCache(name, { maxEntries, maxBytes }, seed);
          const pinned = new Set<number>();
          cache.mayEvict = (line) => !pinned.has(line);
          for (const move of steps) {
            const before = cache.evicted.length;
            play(cache, pinned, move);
            const { policy } = cache;
            expect(cache.evicted.slice(before).some((line) => pinned.has(line))).toBe(false);
            expect(policy.isOver).toBe(false);
            expect(policy.entries).toBe(cache.copies.size);
            expect(policy.bytes).toBe(cache.weight());
            expect(policy.entries).toBeLessThanOrEqual(maxEntries);
            expect(policy.bytes).toBeLessThanOrEqual(maxBytes);
          }
          const there = [...cache.copies.keys()].filter((line) => !pinned.has(line));
          expect(inOrder(cache.drain())).toEqual(inOrder(there));
          pinned.clear();
          const left = [...cache.copies.keys()];
          expect(inOrder(cache.drain())).toEqual(inOrder(left));
          expect([cache.policy.entries, cache.policy.bytes]).toEqual([0, 0]);
        },
      ),
      { numRuns: 400 },
    );
  });

  test("keeps nothing where nothing may be kept, and one where one may", () => {
    const none = new TestCache(name, { maxEntries: 0 });
    expect(none.policy.admit(1, hashOf(1), 0)).toBeNull();
    const one = new TestCache(name, { maxEntries: 1 });
    for (const asked of [1, 1, 2, 2, 2, 3]) one.request(asked);
    expect(one.policy.entries).toBe(1);
    expect(one.evicted).toHaveLength(2);
  });

  test("a copy heavier than all the room is not taken in, nor may one become so", () => {
    const cache = new TestCache(name, { maxBytes: 10 });
    cache.request(1, 4);
    expect(cache.policy.admit(2, hashOf(2), 11)).toBeNull();
    const resident = cache.copies.get(1);
    expect(resident && cache.policy.resize(resident, 11)).toBe(false);
    expect([cache.policy.entries, cache.policy.bytes, cache.evicted]).toEqual([1, 4, []]);
    // As heavy as all the room is one that can be kept.
    expect(cache.policy.admit(3, hashOf(3), 10)).not.toBeNull();
    expect(cache.makeRoom()).toBe(true);
    expect(cache.policy.entries).toBe(1);
  });

  test("a copy that was dropped comes back like a new one", () => {
    const cache = new TestCache(name, { maxEntries: 4 });
    for (let round = 0; round < 50; round++) {
      for (const asked of [1, 2, 3]) cache.request(asked);
      cache.drop(2);
      expect(cache.request(2)).toBe(false);
      expect(cache.request(2)).toBe(true);
    }
    expect(cache.evicted).toEqual([]);
  });

  test("a removed copy is not to be named again", () => {
    const cache = new TestCache(name, {});
    cache.request(1);
    const resident = cache.copies.get(1);
    cache.drop(1);
    if (resident === undefined) throw new Error("no copy");
    expect(() => cache.policy.recordHit(resident)).toThrow(InvariantError);
    expect(() => cache.policy.remove(resident, "evicted")).toThrow(InvariantError);
    expect(() => cache.policy.resize(resident, 2)).toThrow(InvariantError);
  });

  test("says that there is no victim when all are refused, and asks for no more than the limit", () => {
    const cache = new TestCache(name, { maxEntries: 5000 });
    for (let asked = 0; asked < 5000; asked++) cache.request(asked);
    let offers = 0;
    const refuse = (): boolean => {
      offers++;
      return false;
    };
    expect(cache.policy.chooseVictim(refuse)).toBeNull();
    expect(offers).toBe(evictionLimits.offersPerChoice);
    expect(cache.policy.entries).toBe(5000);
    const few = new TestCache(name, { maxEntries: 3 });
    for (const asked of [1, 2, 3]) few.request(asked);
    few.mayEvict = () => false;
    few.request(4);
    expect([...few.copies.keys()]).toEqual([1, 2, 3]);
    few.mayEvict = (line) => line === 2;
    few.request(5);
    expect([...few.copies.keys()]).toEqual([1, 3, 5]);
  });

  test("refuses bounds and weights that make no sense", () => {
    for (const maxEntries of [-1, 1.5, NaN, Infinity, evictionLimits.entries + 1]) {
      expect(() => new TestCache(name, { maxEntries })).toThrow(InvariantError);
    }
    for (const maxBytes of [-1, NaN]) expect(() => new TestCache(name, { maxBytes })).toThrow(InvariantError);
    for (const weight of [-1, NaN, Infinity]) expect(() => new TestCache(name, {}).request(1, weight)).toThrow(InvariantError);
  });

  test("the same seed and calls give the same victims", () => {
    expect(victimsOf(name)).toEqual(victimsOf(name));
  });
});
