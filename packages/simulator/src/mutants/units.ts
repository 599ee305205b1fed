import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const packages = fileURLToPath(new URL("../../../", import.meta.url));

/** A unit test that shows what a guard is for: the same script must pass with it and fail without it (`guard("mutant", …)`). */
export interface UnitKill {
  readonly mutant: string;
  readonly killed: boolean;
  readonly by: string;
}

/** Test files with guards, by mutant. */
export function guardedByUnitTests(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const name of ["core", "engine"]) {
    const root = `${packages}${name}/test/`;
    for (const path of readdirSync(root, { recursive: true, encoding: "utf8" }).sort()) {
      if (!path.endsWith(".test.ts")) continue;
      for (const [, mutant] of readFileSync(root + path, "utf8").matchAll(/\bguard\(\s*"([^"]+)"/g)) {
        if (mutant !== undefined && !found.has(mutant)) found.set(mutant, `packages/${name}/test/${path}`);
      }
    }
  }
  return found;
}

/** Runs the guards of these files; each is a pair of tests, with and without its mutant. */
export function runGuards(files: readonly string[]): readonly UnitKill[] {
  if (files.length === 0) return [];
  const root = fileURLToPath(new URL("../../../../", import.meta.url));
  const child = spawnSync(
    process.execPath,
    [`${root}node_modules/vitest/vitest.mjs`, "run", "--project", "unit", "--reporter=json", ...files],
    {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "" },
      maxBuffer: 256 * 1024 * 1024,
    },
  );
  const report = JSON.parse(child.stdout.slice(child.stdout.indexOf("{"))) as {
    readonly testResults: readonly {
      readonly name: string;
      readonly assertionResults: readonly { readonly title: string; readonly fullName: string; readonly status: string }[];
    }[];
  };
  const kills: UnitKill[] = [];
  for (const { name, assertionResults } of report.testResults) {
    for (const { title, status } of assertionResults) {
      const mutant = /not without (\S+)'s guard$/.exec(title)?.[1];
      if (mutant === undefined) continue;
      const promise = title.slice(0, title.lastIndexOf(" – "));
      const holds = assertionResults.some((other) => other.title === promise && other.status === "passed");
      kills.push({ mutant, killed: holds && status === "passed", by: `${name.slice(root.length)}: ${promise}` });
    }
  }
  return kills;
}

/** The state machine's own matrix (packages/core/test/mutants): each of these mutants against the unit tests of locks, sessions and snapshots. */
export function runStateMatrix(mutants: readonly string[]): readonly UnitKill[] {
  const folder = `${packages}core/test/mutants/`;
  if (mutants.length === 0 || !existsSync(`${folder}run.ts`)) return [];
  const child = spawnSync(
    process.execPath,
    ["--conditions=mutants", "--conditions=source", "--import", "tsx", `${folder}run.ts`, ...mutants],
    {
      encoding: "utf8",
      env: { ...process.env, TSX_TSCONFIG_PATH: `${folder}tsconfig.json`, TRIVET_ORACLE_SEEDS: "6", NODE_OPTIONS: "" },
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  if (child.status !== 0) throw new Error(`the unit matrix of the state machine failed: ${child.stderr}`);
  return child.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { readonly mutant: string; readonly killedBy: string | null; readonly reached: boolean })
    .map(({ mutant, killedBy, reached }) => ({ mutant, killed: killedBy !== null && reached, by: killedBy ?? "nothing" }));
}
