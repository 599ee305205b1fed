import { expect, test } from "vitest";
import { counterBase, termBase } from "../../src/kernel/counter-base.ts";
import { Prng } from "../../src/kernel/prng.ts";
import { guard } from "../raft/guard.ts";

const t0 = 1_800_000_000_000;
const day = 86_400_000;
const atClock = (ms: number): number => Math.floor((ms * 2 ** 20) / 1000);

/** A cluster of a family: all of them began with one, by restores of each other's backups. */
interface Cluster {
  counted: number;
  term: number;
}
interface Backup extends Cluster {
  readonly savedMs: number;
}

/** Clusters of one family count, are saved and restored in any order; whichever begins must be above all that any of them has counted. */
function family(seed: number): void {
  const random = new Prng(seed);
  const below = (limit: number): number => random.nextUint32() % limit;
  let now = t0;
  const clusters: Cluster[] = [{ counted: below(1000), term: 1 }];
  const backups: Backup[] = [];
  let [highest, highestTerm] = [0, 0];
  for (let step = 0; step < 60; step += 1) {
    const passed = 1 + below([5, 60_000, day][below(3)] as number);
    now += passed;
    for (const cluster of clusters) {
      // As fast as anything can count that is written to a disk, or not at all.
      cluster.counted += below(passed * 900);
      cluster.term += below(Math.ceil(passed / 100));
      highest = Math.max(highest, cluster.counted);
      highestTerm = Math.max(highestTerm, cluster.term);
    }
    const cluster = clusters[below(clusters.length)] as Cluster;
    backups.push({ ...cluster, savedMs: now });
    const backup = backups[below(backups.length)] as Backup;
    if (below(2) === 0) continue;
    now += 1;
    const times = { savedMs: backup.savedMs, nowMs: now };
    const begins = { counted: counterBase(backup.counted, times), term: termBase(backup.term, times) };
    expect(begins.counted, `seed ${seed}, step ${step}`).toBeGreaterThan(highest);
    expect(begins.term, `seed ${seed}, step ${step}`).toBeGreaterThan(highestTerm);
    clusters.push(begins);
    highest = Math.max(highest, begins.counted);
    highestTerm = Math.max(highestTerm, begins.term);
  }
}

guard("counter-base-by-headroom", "whichever backup is restored, and in whatever order, no number is given twice and none falls", () => {
  for (let seed = 1; seed <= 200; seed += 1) family(seed);
});

test("one backup, restored on day two and on day three after a restore, gives two clusters that count apart", () => {
  const first = counterBase(5, { savedMs: t0 - day, nowMs: t0 });
  const saved = first + 1_000;
  const [two, three] = [2, 3].map((days) => counterBase(saved, { savedMs: t0 + day, nowMs: t0 + days * day }));
  expect((three as number) - (two as number)).toBe(atClock(t0 + 3 * day) - atClock(t0 + 2 * day));
  const terms = [2, 3].map((days) => termBase(t0 + 7, { savedMs: t0 + day, nowMs: t0 + days * day }));
  expect(terms).toEqual([t0 + 2 * day, t0 + 3 * day]);
});

guard(
  "counter-base-elapsed-ignored",
  "a state that is ahead of the clock stays ahead of what its cluster counted since, and of a restore before",
  () => {
    // A clock that was a year ahead at an earlier restore, or a version that began further on.
    const saved = atClock(t0 + 365 * day) + 17;
    const [early, late] = [1, 2].map((days) => counterBase(saved, { savedMs: t0, nowMs: t0 + days * day }));
    expect(early).toBeGreaterThan(saved + atClock(t0 + day) - atClock(t0));
    expect((late as number) - (early as number)).toBe(atClock(t0 + 2 * day) - atClock(t0 + day));
  },
);

guard("counter-base-no-slack", "where only the backup's time protects, clocks that differ by minutes harm nothing", () => {
  const saved = atClock(t0 + 365 * day);
  // Saved under a clock that was ten minutes ahead, restored under a right one: the former cluster counted for ten minutes.
  expect(counterBase(saved, { savedMs: t0, nowMs: t0 })).toBeGreaterThan(saved + atClock(t0 + 600_000) - atClock(t0));
});

test("two restores within one second, or one millisecond, begin apart", () => {
  const times = (nowMs: number) => ({ savedMs: t0, nowMs });
  expect(counterBase(5, times(t0 + 1))).toBeGreaterThan(counterBase(5, times(t0)));
  expect(counterBase(5, times(t0 + 0.002))).toBeGreaterThan(counterBase(5, times(t0)));
  expect(termBase(5, times(t0 + 1))).toBeGreaterThan(termBase(5, times(t0)));
});

test("no counter leaves the numbers that are exact, and a clock behind the backup is not reckoned with", () => {
  for (const base of [counterBase, termBase]) {
    expect(() => base(Number.MAX_SAFE_INTEGER - 5, { savedMs: t0, nowMs: t0 })).toThrow(/counters-below/);
    expect(() => base(5, { savedMs: t0, nowMs: t0 - 1 })).toThrow(/clock-behind/);
    expect(Number.isSafeInteger(base(5, { savedMs: t0, nowMs: t0 + 0.7 }))).toBe(true);
  }
  // For two centuries yet.
  expect(counterBase(5, { savedMs: t0, nowMs: Date.UTC(2226, 0) })).toBeLessThan(2 ** 53);
});
