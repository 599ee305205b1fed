import { expect, test } from "vitest";
import { FrequencySketch } from "../../src/eviction/frequency-sketch.ts";
import { Prng } from "../../src/kernel/prng.ts";
import { hashOf } from "./cache.ts";

/** Accesses to others until a count of 8 is halved. */
function accessesToForget(entries: number): number {
  const sketch = new FrequencySketch(1000, 1);
  sketch.sizeFor(entries);
  for (let time = 0; time < 8; time++) sketch.increment(hashOf(1));
  let accesses = 0;
  while (sketch.frequency(hashOf(1)) >= 8 && accesses < 100_000) sketch.increment(hashOf(2000 + accesses++));
  return accesses;
}

/** Keys never asked for that seem to have been, twice or more. */
function raisedBy(seed: number): readonly number[] {
  const raised: number[] = [];
  const sketch = new FrequencySketch(64, seed);
  for (let key = 0; key < 600; key++) sketch.increment(hashOf(key));
  for (let key = 1000; key < 1400; key++) if (sketch.frequency(hashOf(key)) > 1) raised.push(key);
  return raised;
}

test("a count is never less than the truth, nor more than 15, and mostly exact with as many keys as it is made for", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const prng = new Prng(seed);
    const sketch = new FrequencySketch(500, seed);
    const truth = new Map<number, number>();
    for (let step = 0; step < 2000; step++) {
      const key = prng.below(500);
      sketch.increment(hashOf(key));
      truth.set(key, (truth.get(key) ?? 0) + 1);
    }
    let exact = 0;
    for (let key = 0; key < 500; key++) {
      const count = sketch.frequency(hashOf(key));
      const asked = Math.min(15, truth.get(key) ?? 0);
      expect(count).toBeGreaterThanOrEqual(asked);
      expect(count).toBeLessThanOrEqual(15);
      if (count === asked) exact++;
    }
    expect(exact).toBeGreaterThan(400);
  }
});

test("what was popular is forgotten, by halves, after ten accesses for each copy", () => {
  const sketch = new FrequencySketch(100, 1);
  for (let time = 0; time < 20; time++) sketch.increment(hashOf(7));
  expect(sketch.frequency(hashOf(7))).toBe(15);
  let seen = 15;
  const counts = new Set<number>();
  for (let other = 1000; other < 4000; other++) {
    sketch.increment(hashOf(other));
    const now = sketch.frequency(hashOf(7));
    counts.add(now);
    seen = Math.min(seen, now);
  }
  // Others share a counter at times, so that not every half is seen.
  expect(seen).toBeLessThanOrEqual(4);
  expect(counts.has(7) || counts.has(8)).toBe(true);
});

test("smaller capacities age sooner", () => {
  expect(accessesToForget(20)).toBeLessThan(accessesToForget(200));
});

test("which keys share counters depends on the seed", () => {
  expect(raisedBy(1)).not.toEqual(raisedBy(2));
  expect(raisedBy(1)).toEqual(raisedBy(1));
});
