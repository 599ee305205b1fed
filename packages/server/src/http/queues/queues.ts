import { httpLimits, type queueRoutes } from "@trivet/contract";
import type { QueueSettings, QueuesApi } from "@trivet/engine";
import { ok, type Answer } from "../answer.ts";
import { isFailure, unavailable, type AnyCall, type Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { checkNumbers, numberOf } from "../locks/lock-calls.ts";
import { decodeCursor, encodeCursor } from "../locks/locks.ts";
import { decimal } from "../outcomes.ts";
import { ask, queueFailure, queuesOf } from "./queue-calls.ts";
import type { MessageRouteId } from "./queue-messages.ts";
import { detailsJson, queueJson, settingsOf } from "./queue-views.ts";

async function changed(context: HttpContext, call: AnyCall, name: string, settings: Partial<QueueSettings>): Promise<Answer> {
  const outcome = await ask<Defined>(context, call, name, (queues, options, done) =>
    queues.define(name, settings, "update", options, done),
  );
  return isFailure(outcome) ? outcome : ok(queueJson(outcome.queue));
}
type Defined = Extract<Parameters<Parameters<QueuesApi["define"]>[4]>[0], { readonly type: "defined" }>;

/** Queues and their groups; the messages are in queue-messages.ts. */
export const queueHandlers: Some<Exclude<keyof typeof queueRoutes, MessageRouteId>> = {
  putQueue: async (call, context) => {
    const name = call.params.queue;
    const mode = call.request.headers["if-none-match"] === "*" ? "create" : "ensure";
    const outcome = await ask<Defined>(context, call, name, (queues, options, done) =>
      queues.define(name, settingsOf(call.body ?? {}), mode, options, done),
    );
    if (isFailure(outcome)) return outcome;
    return ok({ ...queueJson(outcome.queue), created: outcome.created }, outcome.created ? 201 : 200);
  },

  patchQueue: (call, context) => changed(context, call, call.params.queue, settingsOf(call.body)),
  pauseQueue: (call, context) => changed(context, call, call.params.queue, { paused: true }),
  resumeQueue: (call, context) => changed(context, call, call.params.queue, { paused: false }),

  deleteQueue: async (call, context) => {
    const name = call.params.queue;
    const outcome = await ask<{ readonly type: "removed" }>(context, call, name, (queues, options, done) =>
      queues.remove(name, options, done),
    );
    return isFailure(outcome) ? outcome : ok({ deleted: true, name });
  },

  getQueue: ({ params }, context) =>
    new Promise((resolve) => {
      const queues = queuesOf(context);
      queues.details(params.queue, context.config.http.requestTimeoutMs, (outcome) =>
        resolve(outcome.type === "details" ? ok(detailsJson(outcome, queues.backend)) : queueFailure(context, outcome, params.queue)),
      );
    }),

  listQueues: ({ query }, context) => {
    const cursor = decodeCursor(query.cursor);
    if (isFailure(cursor)) return cursor;
    const limit = query.limit ?? httpLimits.defaultPageItems;
    return new Promise((resolve) => {
      queuesOf(context).list(query.prefix ?? "", cursor, limit, context.config.http.requestTimeoutMs, (outcome) =>
        resolve(
          outcome.type === "listed"
            ? ok({ queues: outcome.queues.map(queueJson), next_cursor: encodeCursor(outcome.next) })
            : unavailable(context, outcome),
        ),
      );
    });
  },

  putGroup: async (call, context) => {
    const { queue, group } = call.params;
    const outcome = await ask<{ readonly type: "group"; readonly created: boolean }>(context, call, queue, (queues, options, done) =>
      queues.createGroup(queue, group, { type: call.body?.start ?? "earliest" }, options, done),
    );
    if (isFailure(outcome)) return outcome;
    return ok({ queue, group, created: outcome.created }, outcome.created ? 201 : 200);
  },

  deleteGroup: async (call, context) => {
    const { queue, group } = call.params;
    const outcome = await ask<{ readonly type: "removed" }>(context, call, queue, (queues, options, done) =>
      queues.deleteGroup(queue, group, options, done),
    );
    return isFailure(outcome) ? outcome : ok({ deleted: true, queue, group });
  },

  /** Rule K5: after this no older fence of the lock writes to the queue. */
  raiseFence: async (call, context) => {
    const { queue, lock, fence } = call.body;
    const bad = checkNumbers({ fence });
    if (bad !== null) return bad;
    const outcome = await ask<{ readonly type: "raised" }>(context, call, queue, (queues, options, done) =>
      queues.raiseFence(queue, lock, numberOf(fence), options, done),
    );
    return isFailure(outcome) ? outcome : ok({ raised: true, queue, lock, fence: decimal(numberOf(fence)) });
  },
};
