import { type SettleOutcome, limits } from "@trivet/wire";
import type { ShardAnswer } from "../command-stream.ts";
import { FenceBehindError, QueueFullError, TrivetError, errorOf } from "../errors.ts";

const maxGroups: number = limits.maxGroupsPerPartition;

/** The error for an answer of a shard that is not what the caller asked for. */
export function shardError(queue: string, answer: ShardAnswer): TrivetError {
  switch (answer.type) {
    case "queue-full":
      return new QueueFullError(queue, answer.limit, answer.max);
    case "fence-behind":
      return new FenceBehindError(answer.lock, answer.highest);
    case "no-group":
      // It would have come into being: only a settlement does not make its group.
      return new TrivetError("quota_exceeded", `Queue ${queue} has no room for group ${answer.group}: the limit is ${maxGroups} groups`, {
        retryable: true,
        details: { limit: "groups", max: maxGroups },
      });
    case "not-configured":
      return new TrivetError("queue_unknown", `There is no queue ${queue} any more`);
    case "malformed":
    case "refused":
      return errorOf(answer);
    case "produced":
    case "handed-out":
    case "settled":
    case "counted":
    case "cache-written":
    case "cache-conflict":
    case "cache-full":
    case "cache-not-a-number":
    case "cache-unloaded":
    case "cache-deleted":
    case "cache-invalidated":
    case "no-namespace":
      return new TrivetError("internal", `Unexpected answer ${answer.type}`);
  }
}

/** The same of a settlement. */
export function settleError(queue: string, answer: ShardAnswer): TrivetError {
  if (answer.type !== "no-group") return shardError(queue, answer);
  return new TrivetError("group_unknown", `Queue ${queue} has no group ${answer.group} any more`);
}

export function whyNotSettled(outcome: Exclude<SettleOutcome, "settled">): string {
  return outcome === "stale" ? "its lease ended, or it was handed out again" : "it was settled before, has expired or was purged";
}
