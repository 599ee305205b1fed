import { readFileSync, readdirSync } from "node:fs";
import { activateMutants, reachedMutants } from "../../src/mutation-on.ts";
import { type CollectedTest, collected } from "./shim.ts";

/**
 * The kill matrix of group 0's state machine: switches on each bug named in its sources, one at a time, and runs its unit tests until
 * one fails. Started with `--conditions=mutants` (`npm run mutants` does); prints one JSON line per mutant.
 */
const source = new URL("../../src/", import.meta.url);
const folders = ["locks", "sessions", "system"];
/** Not of the state machine: their tests switch them on themselves. */
const guardedElsewhere: ReadonlySet<string> = new Set(["fence-sweep.ts"]);
/** Cheap and pointed first. */
const suites = [
  "../locks/grant.test.ts",
  "../locks/holding.test.ts",
  "../locks/waiting.test.ts",
  "../locks/deadlock.test.ts",
  "../locks/packed-holds.test.ts",
  "../sessions/sessions.test.ts",
  "../sessions/dedupe.test.ts",
  "../system/views.test.ts",
  "../system/queues.test.ts",
  "../system/placement.test.ts",
  "../system/namespaces.test.ts",
  "../system/new-cluster.test.ts",
  "../system/adopt-definitions.test.ts",
  "../system/feature-level.test.ts",
  "../system/audit-anchors.test.ts",
  "../system/total.test.ts",
  "../system/replicas.test.ts",
  "../locks/oracle.test.ts",
];

export interface Kill {
  readonly mutant: string;
  readonly killedBy: string | null;
  readonly error: string;
  readonly reached: boolean;
  readonly ms: number;
}

function mutantsInSources(): string[] {
  const names = new Set<string>();
  for (const folder of folders) {
    for (const file of readdirSync(new URL(`${folder}/`, source))) {
      if (guardedElsewhere.has(file)) continue;
      for (const [, name] of readFileSync(new URL(`${folder}/${file}`, source), "utf8").matchAll(/mutant\("([a-z0-9-]+)"\)/g)) {
        if (name !== undefined) names.add(name);
      }
    }
  }
  return [...names].sort();
}

/** Why the test fails; null when it passes. */
function failure(test: CollectedTest): string | null {
  try {
    test.body();
    return null;
  } catch (error) {
    return String(error).split("\n", 1)[0] ?? "";
  }
}

function hunt(mutant: string): Kill {
  const started = performance.now();
  let reached = false;
  for (const test of collected) {
    activateMutants([mutant]);
    const error = failure(test);
    reached = reached || reachedMutants().length > 0;
    if (error !== null) return { mutant, killedBy: test.name, error, reached, ms: Math.round(performance.now() - started) };
  }
  return { mutant, killedBy: null, error: "", reached, ms: Math.round(performance.now() - started) };
}

for (const suite of suites) await import(suite);
activateMutants([]);
for (const test of collected) {
  const error = failure(test);
  if (error !== null) throw new Error(`without any mutant, ${test.name} fails: ${error}`);
}
const wanted = process.argv.slice(2);
for (const mutant of wanted.length > 0 ? wanted : mutantsInSources()) process.stdout.write(`${JSON.stringify(hunt(mutant))}\n`);
