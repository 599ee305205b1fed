import type { Violation } from "./history.ts";

/** One answer that names what a producer asked for: by dedupe id, or by the value of a message that is produced once. */
export interface NamedMessage {
  /** Unique for queue and partition. */
  readonly id: string;
  readonly sequence: number;
  readonly duplicate: boolean;
  readonly by: string;
}

/** One id, one message, however often and through whatever node it was sent: one sequence, and only once as new. */
export function checkDedupe(named: readonly NamedMessage[]): Violation | null {
  const first = new Map<string, NamedMessage>();
  const fresh = new Map<string, NamedMessage>();
  for (const message of named) {
    const before = first.get(message.id);
    if (before !== undefined && before.sequence !== message.sequence) {
      return {
        invariant: "queue-dedupe",
        detail: `${message.id} is message ${before.sequence} (${before.by}) and ${message.sequence} (${message.by})`,
      };
    }
    first.set(message.id, message);
    if (message.duplicate) continue;
    const twice = fresh.get(message.id);
    if (twice !== undefined && twice.by !== message.by) {
      return { invariant: "queue-dedupe", detail: `${message.id} was new to ${twice.by} and to ${message.by}` };
    }
    fresh.set(message.id, message);
  }
  return null;
}
