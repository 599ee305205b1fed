import type { ShardAnswer } from "../../queues/answer.ts";

/** Version that a cache write gave its line, for `WriteOutcome`; null = the answer says that nothing was changed. */
export function writtenVersion(answer: ShardAnswer): number | null {
  switch (answer.type) {
    case "cache-written":
    case "cache-invalidated":
      return answer.version;
    case "cache-deleted":
      return answer.version === 0 ? null : answer.version;
    default:
      return null;
  }
}
