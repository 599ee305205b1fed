import type { Violation } from "./history.ts";

/** Values of one queue, each named once for all of its history. */
export interface QueueTotals {
  readonly attempted: ReadonlySet<string>;
  /** Their produce was answered. */
  readonly acknowledged: readonly string[];
  /** A consumer got them, drains included, or they lie where they are kept for somebody (dead letters). */
  readonly found: readonly string[];
}

/**
 * Total queue (study of queues, §7): after a drain nothing that was acknowledged is missing, and nothing is there that nobody produced. Unknown
 * outcomes count as attempted only. Duplicates are no fault of an at-least-once queue.
 */
export function checkTotalQueue(queue: string, { acknowledged, attempted, found }: QueueTotals): Violation | null {
  const there = new Set(found);
  const lost = [...new Set(acknowledged)].filter((value) => !there.has(value));
  if (lost.length > 0)
    return { invariant: "queue-lost", detail: `${queue}: ${lost.length} acknowledged and never seen again: ${list(lost)}` };
  const unexpected = [...there].filter((value) => !attempted.has(value));
  return unexpected.length === 0 ? null : { invariant: "queue-unexpected", detail: `${queue}: nobody produced ${list(unexpected)}` };
}

const list = (values: readonly string[]): string => `${values.slice(0, 10).join(", ")}${values.length > 10 ? ", …" : ""}`;
