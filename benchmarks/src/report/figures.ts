import { isMissing, type Missing, type Result } from "../results.ts";
import type { SubjectName } from "../subjects/subject.ts";

/** One number of the table and what was measured. `met` is null where a figure is missing. */
export interface Target {
  readonly what: string;
  readonly target: string;
  readonly reached: string;
  readonly met: boolean | null;
}

/** Finds figures in the selected results. */
export class Figures {
  readonly #results: readonly Result[];

  constructor(results: readonly (Result | Missing)[]) {
    this.#results = results.filter((result): result is Result => !isMissing(result));
  }

  find(workload: string, subject: SubjectName, clients?: number, transport?: string): Result | undefined {
    return this.#results.find((result) => {
      const sameWire = transport === undefined ? result.transport !== "http" : result.transport === transport;
      return (
        result.workload === workload && result.subject === subject && sameWire && (clients === undefined || result.clients === clients)
      );
    });
  }
}

/** All known: whether all hold. One unknown: a failure still decides, else nobody knows. */
export function all(conditions: readonly (boolean | null)[]): boolean | null {
  if (conditions.includes(false)) return false;
  return conditions.includes(null) ? null : true;
}

export function atLeast(value: number | null, bound: number): boolean | null {
  return value === null ? null : value >= bound;
}

export function atMost(value: number | null | undefined, bound: number): boolean | null {
  return value === null || value === undefined ? null : value <= bound;
}
