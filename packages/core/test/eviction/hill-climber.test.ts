import { describe, expect, test } from "vitest";
import { HillClimber } from "../../src/eviction/hill-climber.ts";

/** One sample of 10 000 requests, of which so many in a hundred are hits. Its standard error is at most half a point. */
function sample(climber: HillClimber, hits: number): number {
  for (let request = 0; request < 10_000; request++) {
    if (request < hits * 100) climber.recordHit();
    else climber.recordMiss();
  }
  return climber.climb(10_000);
}

describe("the climber", () => {
  test("says nothing before the sample is full, and begins a new one after it", () => {
    const climber = new HillClimber();
    for (let request = 0; request < 99; request++) climber.recordMiss();
    expect(climber.climb(100)).toBe(0);
    climber.recordMiss();
    expect(climber.climb(100)).not.toBe(0);
    expect(climber.climb(100)).toBe(0);
  });

  test("goes on while the hit ratio rises, turns when it falls, with shorter and shorter steps", () => {
    const climber = new HillClimber();
    const first = sample(climber, 50);
    expect(first).toBeCloseTo(0.0625);
    const second = sample(climber, 52);
    expect(second).toBeCloseTo(0.0625);
    const third = sample(climber, 54);
    expect(third).toBeCloseTo(0.0625 * 0.98);
    const fourth = sample(climber, 52);
    expect(fourth).toBeCloseTo(-0.0625 * 0.98 ** 2);
    expect(sample(climber, 53)).toBeCloseTo(-0.0625 * 0.98 ** 3);
  });

  test("goes on over falls that are chance, until they add up", () => {
    const climber = new HillClimber();
    expect(sample(climber, 50)).toBeGreaterThan(0);
    for (const hits of [49.6, 49.9, 49.5, 49.2]) expect(sample(climber, hits)).toBeGreaterThan(0);
    expect(sample(climber, 48.9)).toBeLessThan(0);
  });

  test("takes long steps again when the traffic changes", () => {
    const climber = new HillClimber();
    for (let round = 0; round < 100; round++) sample(climber, 50);
    expect(Math.abs(sample(climber, 50))).toBeLessThan(0.01);
    sample(climber, 20);
    expect(Math.abs(sample(climber, 20))).toBeCloseTo(0.0625);
  });

  test("turns back when it could not go on, whatever the hit ratio did", () => {
    for (const then of [10, 50]) {
      const climber = new HillClimber();
      expect(sample(climber, 30)).toBeGreaterThan(0);
      climber.turnBack();
      expect(sample(climber, then)).toBeLessThan(0);
    }
  });

  test("finds the top of a hill and stays near it", () => {
    for (const top of [0.05, 0.3, 0.7]) {
      const climber = new HillClimber();
      let at = 0.01;
      for (let round = 0; round < 300; round++) at = Math.min(0.8, Math.max(0, at + sample(climber, 80 - 60 * Math.abs(at - top))));
      expect(Math.abs(at - top)).toBeLessThan(0.12);
    }
  });
});
