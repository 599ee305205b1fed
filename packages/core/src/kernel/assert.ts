/** A broken invariant: a bug in Trivet, never an input error. Stops the node. */
export class InvariantError extends Error {
  readonly code = "invariant_broken";
  readonly invariant: string;
  constructor(invariant: string, detail: string) {
    super(`Invariant ${invariant} is broken: ${detail}`);
    this.name = "InvariantError";
    this.invariant = invariant;
  }
}

/** Throws InvariantError when `condition` is false. Stays on in production. Pass a function when the detail is costly. */
export function invariant(condition: boolean, name: string, detail: string | (() => string) = ""): asserts condition {
  if (!condition) throw new InvariantError(name, typeof detail === "string" ? detail : detail());
}

export function assertNever(value: never): never {
  throw new InvariantError("exhaustive", `unexpected ${JSON.stringify(value)}`);
}
