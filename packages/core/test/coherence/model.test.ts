import { expect, test } from "vitest";
import { type Budget, cold, explore, type Explored, warm } from "./support/explore.ts";
import type { World } from "./support/world.ts";

/**
 * Every reachable state of small worlds over the real reducers. In each: data-value, single writer, the directory covers the copies; no
 * read older than what anybody was told when it was asked; from every so many states, everything is answered once faults end.
 *
 * TRIVET_COHERENCE_MODEL=large explores the wider budgets as well: about half an hour on one core.
 */
const isLarge = process.env["TRIVET_COHERENCE_MODEL"] === "large";

interface Case {
  readonly name: string;
  readonly start: () => World;
  readonly budget: Budget;
  /** Part of the promise: fewer would mean that something became unreachable. Null = told, not held. */
  readonly states: number | null;
}

const cases: readonly Case[] = [
  {
    name: "3 holders, 2 writes, a read, messages in any order",
    start: () => warm(3, [0, 1, 2]),
    budget: { reads: 1, writes: 2 },
    states: null,
  },
  {
    name: "3 holders, messages lost and repeated",
    start: () => warm(3, [0, 1]),
    budget: { reads: 1, writes: 1, drops: 1, duplicates: 1, overtakings: 1 },
    states: null,
  },
  {
    name: "3 holders, leases end",
    start: () => warm(3, [0, 1]),
    budget: { reads: 1, writes: 1, ticks: 2, overtakings: 0 },
    states: null,
  },
  {
    name: "leases end and messages are lost",
    start: () => warm(2, [0, 1]),
    budget: { reads: 1, writes: 1, ticks: 2, drops: 1, overtakings: 0 },
    states: null,
  },
  { name: "copies are given up", start: () => warm(2, [0, 1]), budget: { reads: 2, writes: 1, evictions: 1 }, states: null },
  { name: "holders without leases register", start: () => cold(2), budget: { reads: 2, writes: 1, overtakings: 0 }, states: null },
  { name: "a holder crashes", start: () => warm(3, [0, 1]), budget: { reads: 1, writes: 1, holderCrashes: 1 }, states: null },
  {
    name: "the home crashes, and another takes over",
    start: () => warm(2, [0, 1]),
    budget: { reads: 1, writes: 1, homeCrashes: 1, overtakings: 0 },
    states: null,
  },
  {
    name: "the same node is elected again",
    start: () => warm(2, [0, 1]),
    budget: { reads: 1, writes: 1, reelections: 1, overtakings: 0 },
    states: null,
  },
  {
    name: "a home that does not know that it is deposed",
    start: () => warm(2, [0]),
    budget: { writes: 1, depositions: 1, ticks: 1, overtakings: 0 },
    states: null,
  },
  {
    name: "a home that does not know that it is deposed, and a reader",
    start: () => warm(2, [0]),
    budget: { reads: 1, writes: 1, depositions: 1, overtakings: 0 },
    states: null,
  },
  { name: "leadership is handed over", start: () => warm(2, [0, 1]), budget: { reads: 1, writes: 1, closings: 1 }, states: null },
  { name: "the namespace is cleared", start: () => warm(3, [0, 1]), budget: { reads: 1, writes: 1, clears: 1 }, states: null },
  { name: "a value is deleted and written", start: () => warm(2, [0, 1]), budget: { reads: 1, writes: 1, deletes: 1 }, states: null },
  { name: "writes that change nothing", start: () => warm(2, [0, 1]), budget: { reads: 1, writes: 1, refusals: 1 }, states: null },
];

const larger: readonly Case[] = [
  { name: "2 holders, 2 writes, 2 reads", start: () => warm(2, [0, 1]), budget: { reads: 2, writes: 2 }, states: null },
  {
    name: "3 holders, 2 writes, leases end, a message is lost",
    start: () => warm(3, [0, 1]),
    budget: { reads: 1, writes: 2, ticks: 2, drops: 1, overtakings: 0 },
    states: null,
  },
  {
    name: "leases end, holders look at their clocks",
    start: () => warm(2, [0, 1]),
    budget: { reads: 1, writes: 1, ticks: 3, looks: 1, overtakings: 0 },
    states: null,
  },
  {
    name: "a deposed home, and leases that end",
    start: () => warm(2, [0, 1]),
    budget: { reads: 1, writes: 1, depositions: 1, ticks: 2, overtakings: 0 },
    states: null,
  },
];

const most = isLarge ? 3_000_000 : 60_000;

test.each(isLarge ? [...cases, ...larger] : cases)("$name", { timeout: 3_600_000 }, ({ budget, name, start, states }) => {
  const found = explore(start(), budget, { most, drainEvery: 25 });
  console.log(told(name, found));
  expect(found.drained).toBeGreaterThan(0);
  if (states !== null) expect(found.states).toBe(states);
});

function told(name: string, { deepest, drained, states, transitions }: Explored): string {
  return `model: ${name}: ${states} states, ${transitions} transitions, ${deepest} deep, ${drained} led to their end`;
}
