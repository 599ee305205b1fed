import { describe, expect, test } from "vitest";

import { type FaultKind, faultKinds } from "../../src/faults/kinds.ts";
import { makePlan, swarm } from "../../src/faults/plan.ts";
import { defaultOptions, type RunOptions } from "../../src/options.ts";
import { run, type RunReport } from "../../src/run.ts";
import { shrink } from "../../src/shrink.ts";

const short = (seed: number): RunOptions => ({ ...defaultOptions(seed), durationMs: 15_000, operationsPerClient: 20 });

/** Fails whenever a pause lies in the plan and at least two clients run for more than three seconds. */
const rerun = (options: RunOptions): RunReport => {
  const broken = makePlan(options).some((action) => action.kind === "pause") && options.clients >= 2 && options.durationMs > 3_000;
  return {
    options,
    violation: broken ? { invariant: "example", detail: "" } : null,
    traceHash: "",
    totals: {},
    virtualMs: 0,
    steps: 0,
    tail: [],
  };
};

describe("a run", () => {
  test("is decided by its options: one seed, one trace", () => {
    const first = run(short(4));
    const second = run(short(4));
    expect(second).toEqual(first);
    expect(run(short(5)).traceHash).not.toBe(first.traceHash);
  });

  test("is clean on seeds of every cluster size, and does something", () => {
    for (const seed of [2, 3, 8]) {
      const report = run(short(seed));
      expect(report.violation, `seed ${seed}`).toBeNull();
      // A third of what three lock clients have to do, where they share the time with queues and the cache.
      expect(report.totals["operations answered"]).toBeGreaterThan(20);
      expect(report.totals["elections"]).toBeGreaterThan(0);
    }
  });

  test("lasts a minute of virtual time and makes hundreds of operations by default", () => {
    const report = run(defaultOptions(9));
    expect(report.violation).toBeNull();
    expect(report.virtualMs).toBeGreaterThan(60_000);
    // Seed 9 has shards: its clients share the minute between locks and queues, in a proportion that the faults decide.
    const [locks = 0, queues = 0] = [report.totals["operations"], report.totals["queue operations"]];
    expect(locks + queues).toBeGreaterThan(300);
    expect(Math.min(locks, queues)).toBeGreaterThan(50);
  });

  test("refuses mutants in a build that has none", () => {
    expect(() => run({ ...short(1), mutants: ["lock-barging"] })).toThrow("--conditions=mutants");
  });
});

describe("a plan of faults", () => {
  test("takes a subset of kinds per seed, and over many seeds all of them", () => {
    const seen = new Set<FaultKind>();
    for (let seed = 1; seed <= 200; seed += 1) {
      const kinds = swarm(seed);
      expect(kinds.length).toBeLessThan(faultKinds.length);
      for (const kind of kinds) seen.add(kind);
    }
    expect(seen.size).toBe(faultKinds.length);
  });

  test("keeps the faults of one kind as they are when another kind is left out", () => {
    const options = { ...defaultOptions(7), kinds: ["kill", "pause", "clog"] as const };
    const kills = makePlan(options).filter((action) => action.kind === "kill");
    expect(kills.length).toBeGreaterThan(0);
    expect(makePlan({ ...options, kinds: ["kill"] })).toEqual(kills);
  });
});

describe("shrinking", () => {
  test("leaves what the failure needs, and nothing else", () => {
    const options: RunOptions = { ...defaultOptions(11), kinds: ["pause", "kill", "clog", "flapping"] };
    const failing = rerun(options);
    expect(failing.violation).not.toBeNull();
    const { report: smallest, runs } = shrink(failing, rerun, 300, () => undefined);
    expect(runs).toBeLessThanOrEqual(300);
    expect(smallest.violation?.invariant).toBe("example");
    expect(smallest.options.plan?.map((action) => action.kind)).toEqual(["pause"]);
    expect(smallest.options.clients).toBe(2);
    expect(smallest.options.operationsPerClient).toBe(1);
    expect(smallest.options.durationMs).toBeLessThan(15_000);
  });

  test("stops at its budget", () => {
    const failing = rerun({ ...defaultOptions(11), kinds: ["pause", "kill"] });
    expect(shrink(failing, rerun, 5, () => undefined).runs).toBe(5);
  });
});
