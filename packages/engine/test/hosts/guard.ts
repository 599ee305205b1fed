import { expect, test } from "vitest";
import { activateMutants, reachedMutants } from "../../../core/src/mutation-on.ts";

/**
 * A promise and the guard that keeps it: `scenario`, assertions included, must hold as the code is and must fail with the guard taken out.
 * Unit tests run with the switches of the simulator's build (vitest.config.ts), all of them off.
 */
export function guard(mutant: string, promise: string, scenario: () => void): void {
  test(promise, scenario);
  test(`${promise} – not without ${mutant}'s guard`, () => {
    activateMutants([mutant]);
    try {
      expect(scenario).toThrow();
      expect(reachedMutants()).toContain(mutant);
    } finally {
      activateMutants([]);
    }
  });
}
