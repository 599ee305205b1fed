import { expect, test } from "vitest";

import { recordedKills } from "../../src/mutants/kills.ts";
import { notApplicable } from "../../src/mutants/not-applicable.ts";
import { registry } from "../../src/mutants/registry.ts";
import { mutantsInSources } from "../../src/mutants/sources.ts";
import { guardedByUnitTests } from "../../src/mutants/units.ts";
import { scenarios } from "../../src/scenarios/index.ts";

test("every mutant in the sources is registered, and nothing else is", () => {
  expect(registry.map(({ name }) => name).sort()).toEqual([...mutantsInSources().keys()].sort());
});

test("every one of the study's 42 bugs has a mutant or a reason", () => {
  const covered = new Set([...registry.flatMap(({ raft }) => raft ?? []), ...Object.keys(notApplicable).map(Number)]);
  expect(Array.from({ length: 42 }, (_, i) => i + 1).filter((number) => !covered.has(number))).toEqual([]);
});

test("recorded kills name mutants and scripts that exist", () => {
  const names = new Set(registry.map(({ name }) => name));
  const scripts = new Set(scenarios.map(({ name }) => name));
  for (const [mutant, kill] of recordedKills()) {
    expect(names).toContain(mutant);
    if (kill.kind === "scenario") expect(scripts).toContain(kill.name);
  }
});

test("every mutant has something that is known to catch it", () => {
  const kills = recordedKills();
  const guarded = guardedByUnitTests();
  // The state machine's matrix finds its kills by itself (packages/core/test/mutants).
  const own = /^(?:lock|session|dedupe|system|snapshot)-/;
  expect(registry.filter(({ name }) => !kills.has(name) && !guarded.has(name) && !own.test(name)).map(({ name }) => name)).toEqual([]);
});
