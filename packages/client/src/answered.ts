import type { TrivetError } from "./errors.ts";

/** The answer to one command: exactly one of the two is null. Called once, never before `submit` has returned. */
export type AnsweredBy<R> = (error: TrivetError | null, result: R | null) => void;

/**
 * For a command whose late answer matters, like a grant that must be given back: after the deadline `done` is told that the outcome is
 * unknown, but the frame is still sent again, and `late` is told the answer whenever it comes.
 */
export class Watched<R> {
  readonly done: AnsweredBy<R>;
  readonly late: (result: R) => void;
  /** Nobody waits for the answer any more: it goes to `late`. */
  abandoned = false;
  constructor(done: AnsweredBy<R>, late: (result: R) => void) {
    this.done = done;
    this.late = late;
  }
}
/** Who is told of an answer. */
export type Asker<R> = AnsweredBy<R> | Watched<R>;

/** An error in somebody's callback must not keep the other answers from theirs: it surfaces as an uncaught exception. */
export function tell<R>(asker: Asker<R>, error: TrivetError | null, result: R | null): void {
  try {
    if (typeof asker === "function") asker(error, result);
    else if (!asker.abandoned) {
      // Once told of a failure, whoever asked is gone; an answer may still come, to `late`.
      asker.abandoned = error !== null;
      asker.done(error, result);
    } else if (result !== null) asker.late(result);
  } catch (thrown) {
    setImmediate(() => {
      throw thrown;
    });
  }
}

/** In a later turn. */
export function fail<R>(asker: Asker<R>, error: TrivetError): void {
  setImmediate(tell, asker, error, null);
}
