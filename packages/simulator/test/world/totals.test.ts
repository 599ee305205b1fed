import { expect, test } from "vitest";

import { requiredTotals, Totals } from "../../src/world/totals.ts";
import { Trace } from "../../src/world/trace.ts";

const hash = (fill: (trace: Trace) => void): string => {
  const trace = new Trace(10, null);
  fill(trace);
  return trace.hash();
};

test("totals name what was never exercised", () => {
  const totals = new Totals();
  for (const name of requiredTotals) if (name !== "torn writes") totals.add(name);
  expect(totals.missing()).toEqual(["torn writes"]);
  totals.merge({ "torn writes": 2 });
  expect(totals.missing()).toEqual([]);
});

test("a trace tells runs apart by any event, time or number", () => {
  const base = hash((trace) => trace.event(1.5, "n1", "commits", () => "x"));
  expect(hash((trace) => trace.event(1.5, "n1", "commits", () => "other words for people"))).toBe(base);
  expect(hash((trace) => trace.event(1.5001, "n1", "commits", () => "x"))).not.toBe(base);
  expect(hash((trace) => trace.event(1.5, "n2", "commits", () => "x"))).not.toBe(base);
});
