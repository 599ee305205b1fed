import type { Unavailable } from "@trivet/engine";
import { fateOf, reasonOf } from "./link.ts";
import { redisLimits } from "./limits.ts";

/** What became of a call whose command failed. */
export function failureOf(error: unknown): Unavailable | "unknown" {
  const fate = fateOf(error);
  return fate === "unsent" || fate === "refused" ? unavailable(reasonOf(error)) : "unknown";
}

/** Nothing happened; Redis may take it later. */
export function unavailable(reason: string): Unavailable {
  const retryAfterMs = redisLimits.retryAfterMs;
  // Redis never drops messages to make room (its policy must be `noeviction`): it refuses, and so do we.
  if (reason.startsWith("OOM"))
    return { type: "unavailable", code: "overloaded", retryAfterMs, detail: `Redis is out of memory: ${reason}` };
  return { type: "unavailable", code: "redis_unavailable", retryAfterMs, detail: `Redis cannot be used now: ${reason}` };
}

export function tooMany(): Unavailable {
  const detail = `more than ${redisLimits.openCommands} commands wait for Redis`;
  return { type: "unavailable", code: "overloaded", retryAfterMs: redisLimits.retryAfterMs, detail };
}
