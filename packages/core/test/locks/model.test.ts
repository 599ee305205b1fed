import { describe, expect, test } from "vitest";
import { type World, explore } from "./model.ts";

const world: World = { owners: 3, locks: 2, modes: ["shared", "exclusive"], setModes: [], conversions: true, reentry: false };

/**
 * The number of states is part of the promise: fewer would mean that something became unreachable, more that renaming equal states no
 * longer finds them equal.
 */
describe("every reachable state of 3 owners and 2 locks keeps the invariants", { timeout: 300_000 }, () => {
  test("all modes, with upgrades, downgrades, time-outs, cancels and session ends", () => {
    const { states, deadlocks } = explore({ ...world, modes: ["shared", "update", "exclusive"] }, 20_000);
    expect(states).toBe(13_807);
    expect(deadlocks).toBeGreaterThan(10_000);
  });

  test("the same with sets of both locks", () => {
    const { states, deadlocks } = explore({ ...world, setModes: ["shared", "exclusive"] }, 20_000);
    expect(states).toBe(9_734);
    expect(deadlocks).toBeGreaterThan(10_000);
  });

  test("sets and re-entry, two owners", () => {
    const two: World = { ...world, owners: 2, modes: ["shared", "update", "exclusive"], setModes: ["shared", "exclusive"], reentry: true };
    const { states } = explore(two, 20_000);
    expect(states).toBeGreaterThan(500);
  });
});
