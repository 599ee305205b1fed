import { isMissing, type Missing, type Result } from "../results.ts";
import type { SubjectName } from "../subjects/subject.ts";
import { figure } from "../table.ts";

/** One number of the table and what was measured. `met` is null where a figure is missing. */
export interface Target {
  /** Where it is measured. */
  readonly workload: string;
  readonly what: string;
  readonly target: string;
  readonly reached: string;
  readonly met: boolean | null;
  /** How much of what is wanted was done, where that is less than all of it: what is met then is met for that. */
  readonly part?: string | null;
}

/** In words. */
export function verdictOf({ met, part }: Target): string {
  const word = met === null ? "not measured in full" : met ? "met" : "MISSED";
  return part === undefined || part === null ? word : `${word} (${part})`;
}

/** Null when all that is wanted was done, or when nobody knows how much it was. */
export function partOf(done: number | null, wanted: number, unit: string): string | null {
  return done === null || done >= wanted ? null : `${counted(done)} of ${counted(wanted)} ${unit}`;
}

/** A small count has no digits behind the point. */
export function counted(value: number | null | undefined): string {
  return Number.isInteger(value) && Number(value) < 1000 ? String(value) : figure(value);
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

export function atLeast(value: number | null | undefined, bound: number): boolean | null {
  return value === null || value === undefined ? null : value >= bound;
}

/** Less, and not as much. */
export function below(value: number | null | undefined, bound: number): boolean | null {
  return value === null || value === undefined ? null : value < bound;
}

export function atMost(value: number | null | undefined, bound: number): boolean | null {
  return value === null || value === undefined ? null : value <= bound;
}
