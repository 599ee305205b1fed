import { InvariantError } from "@trivet/core";

import type { Violation } from "../checkers/history.ts";

/** A scripted run that shows one kind of bug faster or more surely than a seed. Clean without mutants. */
export interface Scenario {
  readonly name: string;
  run(): Violation | null;
}

/** Ends a scenario with what it found. */
export class Found extends Error {
  readonly violation: Violation;
  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`);
    this.violation = { invariant, detail };
  }
}

/** Fails the scenario unless `condition` holds. */
export function expect(condition: boolean, invariant: string, detail: () => string): asserts condition {
  if (!condition) throw new Found(invariant, detail());
}

/** Runs a script; a broken invariant of the code under test is a finding, anything else it throws too. */
export function scenario(name: string, script: () => void): Scenario {
  return {
    name,
    run() {
      try {
        script();
        return null;
      } catch (error) {
        if (error instanceof Found) return error.violation;
        if (error instanceof InvariantError) return { invariant: error.invariant, detail: error.message };
        return { invariant: "no-exception", detail: error instanceof Error ? (error.stack ?? error.message) : String(error) };
      }
    },
  };
}
