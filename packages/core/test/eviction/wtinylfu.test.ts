import { describe, expect, test } from "vitest";
import { Prng } from "../../src/kernel/prng.ts";
import { TestCache, hashOf } from "./cache.ts";

function ratio(cache: TestCache, keys: Iterable<number>): number {
  let [hits, requests] = [0, 0];
  for (const key of keys) {
    requests++;
    if (cache.request(key)) hits++;
  }
  return hits / requests;
}

function* loop(keys: number, rounds: number): Generator<number> {
  for (let round = 0; round < rounds; round++) for (let key = 0; key < keys; key++) yield key;
}

// Each key twice, with 50 new ones and 50 old ones between, then never again. Until the window holds a fifth of all copies, there is
// hardly a hit.
function* recent(from: number, to: number): Generator<number> {
  for (let key = from; key < to; key++) {
    yield key;
    yield key - 50;
  }
}

describe("W-TinyLFU", () => {
  test("a scan does not push out what is asked for again and again", () => {
    const cache = new TestCache("wtinylfu", { maxEntries: 100 });
    ratio(cache, loop(90, 10));
    for (let key = 1000; key < 2000; key++) cache.request(key);
    const kept = Array.from({ length: 90 }, (_, key) => key).filter((key) => cache.copies.has(key));
    expect(kept.length).toBeGreaterThan(80);
  });

  test("keeps half of a loop twice as long as the cache, where LRU keeps nothing", () => {
    expect(ratio(new TestCache("lru", { maxEntries: 500 }), loop(1000, 50))).toBe(0);
    expect(ratio(new TestCache("wtinylfu", { maxEntries: 500 }), loop(1000, 50))).toBeGreaterThan(0.4);
  });

  test("widens its window for traffic that only recency serves, though the first steps bring nothing", () => {
    for (let seed = 1; seed <= 5; seed++) {
      const cache = new TestCache("wtinylfu", { maxEntries: 512 }, seed);
      ratio(cache, recent(50, 100_000));
      expect(ratio(cache, recent(100_000, 150_000))).toBeGreaterThan(0.4);
    }
  });

  test("keys chosen to collide with a victim do not shut everything else out", () => {
    // All of the flood has the hash of one kept copy, so that the sketch believes it the most popular of all.
    const flooded = 5;
    const cache = new TestCache("wtinylfu", { maxEntries: 50 }, 1, (key) => hashOf(key >= 1_000_000 ? flooded : key));
    const prng = new Prng(4);
    for (let step = 0; step < 2000; step++) cache.request(prng.below(50));
    expect(cache.copies.has(flooded)).toBe(true);
    // Traffic moves on; the flooded copy is asked for by nobody. Its own flood is refused or comes and goes.
    for (let step = 0; step < 100_000; step++) {
      cache.request(1000 + prng.below(60));
      if (step % 4 === 0) cache.request(1_000_000 + step);
    }
    expect(cache.copies.has(flooded)).toBe(false);
  });

  test("bytes are shared out like entries: a heavy copy must be worth its place", () => {
    const cache = new TestCache("wtinylfu", { maxEntries: 10_000, maxBytes: 1000 });
    for (let round = 0; round < 20; round++) for (let key = 0; key < 90; key++) cache.request(key, 10);
    for (let heavy = 500; heavy < 700; heavy++) cache.request(heavy, 400);
    const kept = Array.from({ length: 90 }, (_, key) => key).filter((key) => cache.copies.has(key));
    expect(kept.length).toBeGreaterThan(45);
    expect(cache.policy.bytes).toBeLessThanOrEqual(1000);
  });
});
