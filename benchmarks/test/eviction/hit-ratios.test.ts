import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compareHitRatios } from "../../src/eviction/hit-ratio.ts";

const traces = fileURLToPath(new URL("../../../../shared/traces/", import.meta.url));

describe("hit ratios: the default policy is never more than a point below the study's, whatever the lots it draws", () => {
  test("where the trace is arithmetic: a loop, and Zipf, which has a target of its own", { timeout: 180_000 }, () => {
    const said: string[] = [];
    expect(compareHitRatios(["loop", "zipf"], traces, (line) => said.push(line))).toBe(true);
    expect(said.filter((line) => line.includes(": reached:"))).toHaveLength(2);
  });

  test.skipIf(!existsSync(traces))("where the trace is a file beside this project, of those that are replayed in seconds", () => {
    const said: string[] = [];
    expect(compareHitRatios(["gli", "multi3", "sprite", "corda"], traces, (line) => said.push(line))).toBe(true);
    expect(said.filter((line) => line.includes(": reached:"))).toHaveLength(4);
  });
});
