import type { Operation, Violation } from "./history.ts";

/** An operation whose answer names the log position it reflects. */
export interface WitnessedOperation<In, Out> extends Operation<In, Out> {
  /** Log index and place within that entry; null = no position known (never executed as far as anyone knows). */
  readonly position: LogPosition | null;
}
export interface LogPosition {
  readonly index: number;
  readonly offset: number;
}
export const comparePositions = (a: LogPosition, b: LogPosition): number => a.index - b.index || a.offset - b.offset;

/** Deterministic specification: what the state machine must answer, one operation after the other. */
export interface Replay<In, Out> {
  /** Next state is kept inside; returns null when `output` is what the specification answers, else what it would have answered. */
  apply(input: In, output: Out | null): string | null;
}

/**
 * O(n) witness check for long runs: the log order itself must be a linearization. Replaying it gives exactly the answers seen, two
 * operations never share a position, and no operation was answered before one with a lower position was even invoked.
 */
export function checkWitness<In, Out>(operations: readonly WitnessedOperation<In, Out>[], replay: Replay<In, Out>): Violation | null {
  const placed = operations.filter((operation) => operation.position !== null);
  placed.sort((a, b) => comparePositions(a.position as LogPosition, b.position as LogPosition));
  let latest: WitnessedOperation<In, Out> | null = null;
  let previous: WitnessedOperation<In, Out> | null = null;
  for (const operation of placed) {
    const position = operation.position as LogPosition;
    const where = `${position.index}.${position.offset}`;
    if (previous !== null && comparePositions(previous.position as LogPosition, position) === 0) {
      return { invariant: "witness-position", detail: `${previous.id} and ${operation.id} both claim position ${where}` };
    }
    previous = operation;
    if (latest === null || operation.call > latest.call) latest = operation;
    if (operation.ret !== null && operation.ret < latest.call) {
      return {
        invariant: "witness-real-time",
        detail: `${operation.id} at ${where} was answered at ${operation.ret}, before ${latest.id} with a lower position was invoked at ${latest.call}`,
      };
    }
    const wrong = replay.apply(operation.input, operation.output);
    if (wrong !== null) return { invariant: "witness-replay", detail: `${operation.id} at ${where}: ${wrong}` };
  }
  for (const operation of operations) {
    if (operation.position === null && operation.output !== null) {
      return { invariant: "witness-position", detail: `${operation.id} was answered but has no place in the log` };
    }
  }
  return null;
}
