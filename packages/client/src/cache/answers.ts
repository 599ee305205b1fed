import type { ShardResult } from "@trivet/wire";
import type { ShardAnswer } from "../command-stream.ts";
import { FenceBehindError, TrivetError, errorOf } from "../errors.ts";

/** The error for an answer of a shard that is not what the caller asked for. */
export function cacheError(namespace: string, key: string, answer: ShardAnswer | ShardResult): TrivetError {
  switch (answer.type) {
    case "cache-conflict":
      return new TrivetError("conflict", `${key} in namespace ${namespace}: ${whyConflict[answer.reason]}; nothing was stored`, {
        details: { reason: answer.reason, version: answer.version },
      });
    case "cache-full":
      if (answer.limit === "behind") {
        const text = `Too much of namespace ${namespace} waits for its origin (at most ${answer.max} in each shard); nothing was written`;
        return new TrivetError("origin_behind", text, { details: { max: answer.max } });
      }
      return new TrivetError("cache_full", `Namespace ${namespace} is full (${answer.limit}, at most ${answer.max}); nothing was stored`, {
        details: { limit: answer.limit, max: answer.max },
      });
    case "cache-not-a-number":
      return new TrivetError("not_a_number", `${key} in namespace ${namespace} is no whole number, or the sum cannot be told exactly`);
    case "cache-unloaded": {
      const text = `${key} in namespace ${namespace} is not loaded from its origin, and this write depends on it; nothing was written`;
      return new TrivetError("origin_unavailable", text, { retryable: true });
    }
    case "fence-behind":
      return new FenceBehindError(answer.lock, answer.highest);
    case "malformed":
    case "refused":
      return errorOf(answer);
    default:
      return new TrivetError("internal", `Unexpected answer ${answer.type}`);
  }
}

const whyConflict = {
  exists: "a value is there already",
  absent: "there is no value",
  version: "it has another version",
  token: "it changed after the read that the token is of",
} as const;
