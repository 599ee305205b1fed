import { Prng } from "@trivet/core";
import { expect, test } from "vitest";
import { DeadlineHeap, type Timed } from "../../src/base/deadline-heap.ts";
import { LeaseTimers } from "../../src/groups/leases.ts";
import { LeaseClock } from "../../src/shards/lease-clock.ts";

interface Item extends Timed {
  readonly name: number;
}

test("gives out what is due in the order of its deadlines, whatever was added and removed in between", () => {
  const prng = new Prng(3);
  const below = (limit: number): number => Math.floor(prng.next() * limit);
  const heap = new DeadlineHeap<Item>();
  const known = new Set<Item>();
  let taken = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const what = below(10);
    if (what < 6) {
      const item: Item = { name: round, dueAt: 0, place: -1 };
      heap.push(item, below(1_000));
      known.add(item);
    } else if (what < 8) {
      const item = [...known][below(known.size)];
      if (item === undefined) continue;
      heap.remove(item);
      heap.remove(item);
      known.delete(item);
    } else {
      const first = Math.min(...[...known].map(({ dueAt }) => dueAt));
      const now = below(300);
      const item = heap.takeDue(now);
      expect(item === null ? null : item.dueAt).toBe(first <= now ? first : null);
      if (item === null) continue;
      expect(known.delete(item)).toBe(true);
      taken += 1;
    }
    expect(heap.size).toBe(known.size);
    if (known.size <= 60) continue;
    for (const item of [...known].slice(0, 40)) {
      heap.remove(item);
      known.delete(item);
    }
  }
  expect(taken).toBeGreaterThan(1_000);
});

const heapOf = (timers: unknown): DeadlineHeap<Timed> => (timers as { readonly heap: DeadlineHeap<Timed> }).heap;

test("timers whose leases were ended long before they were due take no memory", () => {
  const clock = new LeaseClock();
  const timers = new LeaseTimers(() => 0);
  for (let sequence = 1; sequence <= 1_000; sequence += 1) {
    const id = { queue: 1, partition: 0, group: "g", incarnation: 1, sequence, acquired: 1, extended: 0 };
    clock.leased(id, 3_600_000);
    clock.ended(id);
    timers.armed("grant", sequence, 3_600_000);
    timers.cleared("grant", sequence);
  }
  expect([heapOf(clock).size, heapOf(timers).size]).toEqual([0, 0]);
});
