import { describe, expect, test } from "vitest";
import { randomRun, type RunStats } from "./random.ts";

describe("safety in any weather, progress once it clears", () => {
  test("100 random runs", () => {
    const total: Record<string, number> = {};
    for (let seed = 1; seed <= 100; seed++) {
      let stats: RunStats;
      try {
        stats = randomRun(seed, 1500);
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
      for (const [name, value] of Object.entries(stats)) total[name] = (total[name] ?? 0) + value;
    }
    for (const [name, value] of Object.entries(total)) expect(value, name).toBeGreaterThan(0);
  });
});
