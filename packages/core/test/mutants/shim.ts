import assert from "node:assert/strict";

/**
 * Stands in for vitest when the unit tests hunt mutants (run.ts): the tests are collected instead of run, so that one process can run
 * them again and again with another bug switched on.
 */
export interface CollectedTest {
  readonly name: string;
  readonly body: () => void;
}

export const collected: CollectedTest[] = [];
const groups: string[] = [];

type Options = Readonly<Record<string, unknown>>;

/** @public Imported as "vitest" through this folder's tsconfig. */
export function describe(name: string, ...rest: readonly (Options | (() => void))[]): void {
  groups.push(name);
  last(rest)();
  groups.pop();
}

/** @public */
export function test(name: string, ...rest: readonly (Options | (() => void))[]): void {
  collected.push({ name: [...groups, name].join(" > "), body: last(rest) });
}

function last(args: readonly (Options | (() => void))[]): () => void {
  const body = args.at(-1);
  if (typeof body !== "function") throw new Error("a test without body");
  return body;
}

/** @public */
export function expect(actual: unknown): Expectation {
  return new Expectation(actual, false);
}

class Expectation {
  private readonly actual: unknown;
  private readonly negated: boolean;

  constructor(actual: unknown, negated: boolean) {
    this.actual = actual;
    this.negated = negated;
  }

  get not(): Expectation {
    return new Expectation(this.actual, !this.negated);
  }

  toBe(expected: unknown): void {
    this.check(Object.is(this.actual, expected), expected);
  }

  toBeNull(): void {
    this.toBe(null);
  }

  toEqual(expected: unknown): void {
    this.check(isEqual(this.actual, expected), expected);
  }

  toMatchObject(expected: unknown): void {
    this.check(matches(this.actual, expected), expected);
  }

  toHaveLength(expected: number): void {
    this.check((this.actual as { readonly length: number }).length === expected, expected);
  }

  toBeGreaterThan(expected: number): void {
    this.check((this.actual as number) > expected, expected);
  }

  toBeLessThanOrEqual(expected: number): void {
    this.check((this.actual as number) <= expected, expected);
  }

  /** Nothing = anything; a text is part of the message; else the class of the error. */
  toThrow(expected?: string | (new (...args: never) => Error)): void {
    const thrown = thrownBy(this.actual as () => void);
    const isMeant = typeof expected === "string" ? thrown?.message.includes(expected) : thrown instanceof (expected ?? Error);
    this.check(isMeant === true, typeof expected === "function" ? expected.name : (expected ?? "an error"));
  }

  private check(holds: boolean, expected: unknown): void {
    if (holds === this.negated) throw new Error(`expected ${this.negated ? "not " : ""}${show(expected)}, got ${show(this.actual)}`);
  }
}

function thrownBy(run: () => void): Error | null {
  try {
    run();
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 500);
}

function isEqual(actual: unknown, expected: unknown): boolean {
  try {
    assert.deepEqual(actual, expected);
    return true;
  } catch {
    return false;
  }
}

/** Everything that `expected` names is there; arrays have the same length. */
function matches(actual: unknown, expected: unknown): boolean {
  if (typeof expected !== "object" || expected === null) return Object.is(actual, expected);
  if (typeof actual !== "object" || actual === null) return false;
  if (Array.isArray(expected) && (!Array.isArray(actual) || actual.length !== expected.length)) return false;
  return Object.entries(expected).every(([key, value]) => matches((actual as Record<string, unknown>)[key], value));
}
