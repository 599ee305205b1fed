/**
 * What every checker reads. Times are virtual milliseconds of the world (never a node's own clock). An operation's interval runs
 * from the moment its client sent it to the moment the client saw the answer.
 */
export interface Operation<In, Out> {
  /** For messages to people; unique in its history. */
  readonly id: string;
  readonly input: In;
  /** Null = the outcome is unknown: the operation may take effect at any time after `call`, or never. */
  readonly output: Out | null;
  readonly call: number;
  /** Null = its client never saw an answer. With an output all the same, the outcome was resolved from the log by request id. */
  readonly ret: number | null;
}

/** One thing a checker found wrong. `invariant` is a stable name, used by the kill matrix and by the shrinker. */
export interface Violation {
  readonly invariant: string;
  readonly detail: string;
}

/** Thrown by the world when an invariant or a checker fails: ends the run and carries the name for the report. */
export class ViolationError extends Error {
  readonly violation: Violation;
  constructor(violation: Violation) {
    super(`${violation.invariant}: ${violation.detail}`);
    this.name = "ViolationError";
    this.violation = violation;
  }
}

/** Groups in order of first appearance. */
export function groupBy<T, K>(items: readonly T[], key: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const name = key(item);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [item]);
    else group.push(item);
  }
  return groups;
}
