import { describe, expect, test } from "vitest";
import { runAgainstOracle } from "./oracle-run.ts";

describe("the lock table against a naive one", () => {
  test("every answer, holder and line agrees over random commands; deadlocks are broken, and only deadlocks", { timeout: 120_000 }, () => {
    let deadlocks = 0;
    const seeds = Number(process.env["TRIVET_ORACLE_SEEDS"] ?? 25);
    for (let seed = 1; seed <= seeds; seed++) deadlocks += runAgainstOracle(seed, 400);
    expect(deadlocks).toBeGreaterThan(seeds);
  });
});
