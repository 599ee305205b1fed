import type { LockMode } from "@trivet/wire";

import type { Violation } from "./history.ts";
import { groupBy } from "./history.ts";

/** One request's time in the line of one name, in log positions. */
export interface QueuedRequest {
  readonly name: string;
  readonly id: string;
  readonly mode: LockMode;
  /** An upgrader goes to the head of the line. */
  readonly upgrade: boolean;
  readonly enqueuedAt: number;
  /** Log position of the grant; null = never granted. */
  readonly grantedAt: number | null;
  /** Log position where the wait ended otherwise (cancel, time-out, victim, session end); null = it did not. */
  readonly endedAt: number | null;
}

/**
 * Strict FIFO by log order: nobody is granted a name while an earlier request for it is still in line, whatever its mode: a waiting writer
 * holds back later readers, and a set that waits elsewhere keeps its place. Upgraders go first. Positions are those of the log, so the
 * check holds across leader changes. O(n · longest line).
 */
export function checkFifo(requests: readonly QueuedRequest[]): Violation | null {
  for (const [name, group] of groupBy(requests, (request) => request.name)) {
    const line = [...group].sort((a, b) => a.enqueuedAt - b.enqueuedAt);
    const grants = line.filter((request) => request.grantedAt !== null).sort((a, b) => Number(a.grantedAt) - Number(b.grantedAt));
    for (const grant of grants) {
      if (grant.upgrade) continue;
      const at = grant.grantedAt as number;
      for (const earlier of line) {
        if (earlier.enqueuedAt >= grant.enqueuedAt) break;
        const waiting = (earlier.grantedAt ?? Infinity) > at && (earlier.endedAt ?? Infinity) > at;
        if (!waiting) continue;
        return {
          invariant: "fifo",
          detail: `${name}: ${grant.id} (in line since ${grant.enqueuedAt}) was granted at ${at} before ${earlier.id} (in line since ${earlier.enqueuedAt})`,
        };
      }
    }
  }
  return null;
}
