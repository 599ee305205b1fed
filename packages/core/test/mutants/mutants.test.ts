import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { Kill } from "./run.ts";

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

test("every mutant of locks, sessions, dedupe table and snapshots is reached and killed by a unit test", { timeout: 600_000 }, () => {
  const child = spawnSync(process.execPath, ["--conditions=mutants", "--conditions=source", "--import", "tsx", here("run.ts")], {
    encoding: "utf8",
    env: { ...process.env, TSX_TSCONFIG_PATH: here("tsconfig.json"), TRIVET_ORACLE_SEEDS: "6", NODE_OPTIONS: "" },
    maxBuffer: 64 * 1024 * 1024,
  });
  expect(child.stderr).toBe("");
  expect(child.status).toBe(0);
  const kills = child.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Kill);
  expect(kills.filter((kill) => kill.killedBy === null || !kill.reached).map((kill) => kill.mutant)).toEqual([]);
  expect(kills.length).toBeGreaterThan(70);
});
