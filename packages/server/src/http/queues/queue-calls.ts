import type { QueueCallOptions, QueueFailure, QueuesApi } from "@trivet/engine";
import { failure, type Failure } from "../answer.ts";
import { idempotency, isFailure, unavailable, type AnyCall } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { fromRefusal } from "../outcomes.ts";

/** The queues of this node. Their paths are refused earlier where there are none. */
export function queuesOf(context: HttpContext): QueuesApi {
  if (context.queues === null) throw new Error("a queue path was served by a node without queues");
  return context.queues;
}

/** Deadline and idempotency of one call. */
export function callOptions(context: HttpContext, call: AnyCall, waitMs = 0): QueueCallOptions | Failure {
  const idempotent = idempotency(call);
  if (isFailure(idempotent)) return idempotent;
  return {
    timeoutMs: waitMs + context.config.http.requestTimeoutMs,
    ...(idempotent === undefined ? {} : { idempotency: idempotent }),
  };
}

const refusals = ["past-deadline", "other-body", "already-acknowledged", "window-full", "too-many-callers"] as const;

const next = "Look at what is there, and repeat with values that agree.";

/** Rules X1 and X2. */
export function refused(reason: string): Failure {
  const known = refusals.find((each) => each === reason);
  return known === undefined ? failure("conflict", { values: { reason: `${reason}.` }, members: { reason, next } }) : fromRefusal(known);
}

/** What a refused call is told. `name` is its queue. */
export function queueFailure(context: HttpContext, outcome: QueueFailure, name: string): Failure {
  switch (outcome.type) {
    case "unknown-queue":
      return failure("queue_unknown", { values: { name: outcome.name } });
    case "queue-exists":
      return failure("queue_exists", { values: { name: outcome.queue.definition.name } });
    case "fixed":
      return failure("queue_fixed", {
        values: { name, field: outcome.field, value: outcome.value },
        members: { field: outcome.field, expected: String(outcome.value) },
      });
    case "too-many-queues":
      return failure("quota_exceeded", { values: { limit: "queues", max: outcome.max }, members: { limit: "queues", max: outcome.max } });
    case "queue-full":
      return failure("queue_full", {
        values: { name, limit: outcome.limit, max: outcome.max },
        members: { limit: outcome.limit, max: outcome.max },
        retryAfterMs: 1_000,
      });
    case "fence-behind":
      return failure("fence_behind", { values: { name: outcome.lock, fence: outcome.highest }, members: { highest: outcome.highest } });
    case "no-group":
      return failure("group_unknown", { values: { name, group: outcome.group } });
    case "too-many-groups":
      return failure("quota_exceeded", { values: { limit: "groups", max: outcome.max }, members: { limit: "groups", max: outcome.max } });
    case "refused":
      return refused(outcome.reason);
    case "malformed":
      return failure("bad_request", {
        values: { field: "request", expected: outcome.detail },
        members: { field: "request", expected: outcome.detail },
      });
    case "not-supported":
      return failure("not_supported", { values: { reason: `${outcome.detail}.` }, members: { reason: outcome.detail } });
    case "unavailable":
      return unavailable(context, outcome);
    case "unknown":
      return failure("commit_timeout", {
        values: { id: outcome.requestId },
        members: { outcome: "unknown", request_id: outcome.requestId },
      });
  }
}

/** Carries out one call: its options, its outcome of the wanted type, or the failure it is instead. */
export async function ask<Wanted extends { readonly type: string }>(
  context: HttpContext,
  call: AnyCall,
  name: string,
  start: (queues: QueuesApi, options: QueueCallOptions, done: (outcome: Wanted | QueueFailure) => void) => void,
  waitMs = 0,
): Promise<Wanted | Failure> {
  const options = callOptions(context, call, waitMs);
  if (isFailure(options)) return options;
  const outcome = await new Promise<Wanted | QueueFailure>((resolve) => start(queuesOf(context), options, resolve));
  return isQueueFailure(outcome) ? queueFailure(context, outcome, name) : outcome;
}

/** A record and not a list: a kind that is forgotten here does not compile, and would count as success. */
const failures: Readonly<Record<QueueFailure["type"], true>> = {
  "unknown-queue": true,
  "queue-exists": true,
  fixed: true,
  "too-many-queues": true,
  "queue-full": true,
  "fence-behind": true,
  "no-group": true,
  "too-many-groups": true,
  refused: true,
  malformed: true,
  "not-supported": true,
  unavailable: true,
  unknown: true,
};
function isQueueFailure(outcome: { readonly type: string }): outcome is QueueFailure {
  return Object.hasOwn(failures, outcome.type);
}
