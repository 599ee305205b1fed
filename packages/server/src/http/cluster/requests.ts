import type { requestRoutes } from "@trivet/contract";
import type { RememberedAnswer } from "@trivet/core";
import { failure, ok } from "../answer.ts";
import { unavailable, type Some } from "../calls.ts";
import { decimal } from "../outcomes.ts";

/** Numbers of a result are fences, ids or counts; what may pass 2^53 in another language travels as text. */
function resultJson(value: unknown, key = ""): unknown {
  if (typeof value === "number" && (key === "fence" || key === "session")) return String(value);
  if (Array.isArray(value)) return value.map((item) => resultJson(item));
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, resultJson(item, name)]));
  return value;
}

/** As the paths of queues say it. A hand-out's bodies come with a repeat under its Idempotency-Key, while its leases run. */
function shardAnswerJson(answer: RememberedAnswer): unknown {
  switch (answer.type) {
    case "produced":
      return { ...answer, messages: answer.messages.map(({ sequence, duplicate }) => ({ sequence: decimal(sequence), duplicate })) };
    case "handed-out":
      return {
        type: answer.type,
        lease_ms: answer.leaseMs,
        more: answer.more,
        messages: answer.messages.map(({ sequence, acquired }) => ({ sequence: decimal(sequence), acquired })),
      };
    case "fence-behind":
      return { ...answer, highest: decimal(answer.highest) };
    case "cache-written":
    case "cache-conflict":
    case "cache-deleted":
    case "cache-invalidated":
      return { ...answer, version: decimal(answer.version) };
    default:
      return answer;
  }
}

/** Scripts keep the answers of calls with a key, under that. */
const ofRedis = {
  detail: "The messages are in Redis, which remembers only calls with an Idempotency-Key.",
  members: { next: "Repeat the call with the same Idempotency-Key, a produce with the same dedup_id: it takes effect once." },
} as const;

export const requestHandlers: Some<keyof typeof requestRoutes> = {
  getRequest: ({ params }, context) =>
    new Promise((resolve) => {
      const id = params.request_id;
      context.node.request(id, (outcome) => {
        switch (outcome.type) {
          case "answered":
            resolve(ok({ request_id: id, status: "executed", result: resultJson(outcome.result) }));
            return;
          case "shard-answered":
            resolve(ok({ request_id: id, status: "executed", result: shardAnswerJson(outcome.answer) }));
            return;
          case "pending":
            resolve(ok({ request_id: id, status: "pending", result: null }));
            return;
          case "not-executed":
            resolve(ok({ request_id: id, status: "not_executed", result: null }));
            return;
          case "gone":
            resolve(failure("request_expired", { values: { id } }));
            return;
          case "invalid":
            resolve(failure("request_not_found", { values: { id }, ...(id.startsWith("redis.") ? ofRedis : {}) }));
            return;
          case "unavailable":
            resolve(unavailable(context, outcome));
        }
      });
    }),
};
