import type { LogIndex, Term } from "../kernel/brand.ts";

/** Where a log ends. */
export interface LogEnd {
  readonly term: Term;
  readonly index: LogIndex;
}

/** §5.4.1: the later last term wins; within one term, the longer log. */
export function reaches(log: LogEnd, other: LogEnd): boolean {
  return log.term > other.term || (log.term === other.term && log.index >= other.index);
}
