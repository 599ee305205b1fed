import { expect, test } from "vitest";
import type { FaultAction } from "../../src/faults/kinds.ts";
import { defaultOptions, type RunOptions } from "../../src/options.ts";
import { run } from "../../src/run.ts";

/** Weak origins measured leases and elections with the wall clock (W-12). */
test("jumps of the wall clocks, of an hour and both ways, cost no leader and no lock", () => {
  // Of each machine in turn and of the leader: an hour back, and an hour ahead.
  const plan = Array.from({ length: 24 }, (_, index): FaultAction => ({
    atMs: 3_000 + index * 600,
    kind: "wall-clock-jump",
    target: index % 4 === 3 ? "leader" : index % 4,
    durationMs: 0,
    // An hour back or ahead: beyond what the swarm of faults draws.
    strength: index % 2 === 0 ? -59.5 : 60.5,
  }));
  for (const seed of [4, 5, 6]) {
    const options: RunOptions = { ...defaultOptions(seed), durationMs: 20_000, operationsPerClient: 30, plan };
    const report = run(options);
    expect(report.violation, `seed ${seed}`).toBeNull();
    expect(report.totals["leader changes"] ?? 0, `seed ${seed}`).toBe(0);
    expect(report.totals["operations answered"]).toBeGreaterThan(50);
  }
});
