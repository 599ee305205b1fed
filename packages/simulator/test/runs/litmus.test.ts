import { expect, test } from "vitest";
import { activateMutants, reachedMutants } from "../../../core/src/mutation-on.ts";
import { nearCoWW, nearInversion, nearMP, nearSB } from "../../src/scenarios/near-litmus.ts";

/** Litmus tests as they are played, each with a bug that it finds. What CoRR and IRIW forbid is judged in checkers/litmus.test.ts. */
test.each([
  [nearCoWW, "coherence-granted-beside-a-write", "litmus-coww"],
  [nearMP, "coherence-granted-beside-a-write", "litmus-mp"],
  [nearSB, "coherence-write-before-acknowledgements", "litmus-sb"],
  [nearInversion, "coherence-write-before-acknowledgements", "litmus-inversion"],
] as const)("$name finds $1", (scenario, mutant, invariant) => {
  expect(scenario.run()).toBeNull();
  activateMutants([mutant]);
  try {
    expect(scenario.run()).toMatchObject({ invariant });
    expect(reachedMutants()).toContain(mutant);
  } finally {
    activateMutants([]);
  }
});
