import { describeError, errorCatalogue, httpLimits, type queueRoutes, type queueSchemas } from "@trivet/contract";
import type { BrowsedMessage } from "@trivet/core";
import type { Consumed, ConsumeRequest, Produced, ProduceRequest, Settled, SettleRequest } from "@trivet/engine";
import { limits as wireLimits, type NewMessage, tracedMessages, utf8Length } from "@trivet/wire";
import { traceOf } from "../../observability/tracing.ts";
import { badField, failure, ok, type Answer, type Failure } from "../answer.ts";
import { isFailure, type AnyCall, type Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { onGone } from "../gone.ts";
import { checkNumbers, numberOf } from "../locks/lock-calls.ts";
import { decodeCursor, encodeCursor } from "../locks/locks.ts";
import { decimal } from "../outcomes.ts";
import { ask, queueFailure, queuesOf } from "./queue-calls.ts";
import { newMessage } from "./queue-content.ts";
import { browsedJson, deliveredJson } from "./queue-views.ts";

/** The group of callers that name none. */
export const defaultGroup = "default";

export async function produce(
  context: HttpContext,
  call: AnyCall,
  queue: string,
  messages: readonly NewMessage[],
  conditions: Partial<Pick<ProduceRequest, "ifFence" | "ack">> = {},
): Promise<Produced | Failure> {
  const started = context.now();
  const create = context.config.queues.autoCreate;
  const request = { queue, messages: traced(call, messages), ifFence: null, create, ...conditions };
  const outcome = await ask<Produced>(context, call, queue, (queues, options, done) => queues.produce(request, options, done));
  const { metrics } = context;
  metrics.observe("queue_produce_duration_seconds", (context.now() - started) / 1_000, {
    outcome: isFailure(outcome) ? outcome.code : "stored",
  });
  if (isFailure(outcome)) {
    metrics.count("queue_produce_refused_total", 1, { reason: outcome.code });
    if (outcome.code === "fence_behind") metrics.count("stale_token_rejected_total", 1);
    return outcome;
  }
  const duplicates = outcome.messages.filter((message) => message.duplicate).length;
  metrics.count("queue_produced_total", outcome.messages.length - duplicates, { outcome: "stored" });
  metrics.count("queue_produced_total", duplicates, { outcome: "duplicate" });
  return outcome;
}

/** With the trace of the call that they are made by, where it is traced and they still fit: as they came, they may fill a frame. */
function traced({ request }: AnyCall, messages: readonly NewMessage[]): readonly NewMessage[] {
  const trace = request.traced === null ? null : traceOf(request.traced);
  return trace === null
    ? messages
    : tracedMessages(messages, trace, (told) => told.reduce((sum, message) => sum + sizeOf(message), 0) <= roomForTraced);
}

/** What is surely taken together: a frame, less what is in it beside messages. */
const roomForTraced = wireLimits.maxFrameBytes - 8_192;
/** No less than it is counted where it is checked. */
function sizeOf({ body, dedupId, headers, key }: NewMessage): number {
  const texts = headers.reduce((sum, [name, value]) => sum + utf8Length(name) + utf8Length(value) + 8, 0);
  return body.length + texts + utf8Length(key) + utf8Length(dedupId) + 64;
}

/** Waits no longer than the client stays: what it would have been handed goes to others. */
export async function consume(context: HttpContext, call: AnyCall, request: ConsumeRequest): Promise<Consumed | Failure> {
  let stopWatching: (() => void) | null = null;
  const outcome = await ask<Consumed>(
    context,
    call,
    request.queue,
    (queues, options, done) => {
      const submission = queues.consume(request, options, (answer) => {
        stopWatching?.();
        done(answer);
      });
      stopWatching = onGone(call.request.raw.socket, () => submission.abandon());
    },
    request.waitMs,
  );
  if (isFailure(outcome)) return outcome;
  const again = outcome.messages.filter((message) => message.acquired > 1).length;
  context.metrics.count("queue_consumed_total", outcome.messages.length - again, { delivery: "first" });
  context.metrics.count("queue_consumed_total", again, { delivery: "again" });
  return outcome;
}

export function consumeRequest(queue: string, body: queueSchemas.ConsumeBody): ConsumeRequest {
  return {
    queue,
    group: body.group ?? defaultGroup,
    consumer: body.consumer ?? "",
    maxMessages: body.max ?? 1,
    maxBytes: body.max_bytes ?? 0,
    visibilityMs: body.visibility_ms ?? 0,
    waitMs: body.wait_ms ?? 0,
    autoAck: body.ack === "auto",
    start: { type: body.start ?? "earliest" },
    partition: body.partition ?? null,
  };
}

interface ReceiptJson {
  readonly receipt: string;
  readonly outcome: "settled" | "stale" | "unknown" | "foreign" | "unknown_fate";
}

/** The results of receipts: all held, or the failure that says which were not. */
export async function settle(context: HttpContext, call: AnyCall, request: SettleRequest): Promise<readonly ReceiptJson[] | Failure> {
  const outcome = await ask<Settled>(context, call, request.queue ?? "", (queues, options, done) => queues.settle(request, options, done));
  if (isFailure(outcome)) return outcome;
  const results = request.receipts.map((receipt, index): ReceiptJson => {
    const each = outcome.outcomes[index] ?? "unknown-fate";
    return { receipt, outcome: each === "unknown-fate" ? "unknown_fate" : each };
  });
  for (const { outcome: each } of results)
    context.metrics.count("queue_settled_total", 1, { settlement: request.settlement, outcome: each });
  if (results.some((result) => result.outcome === "unknown_fate"))
    return failure("commit_timeout", {
      detail: "No answer came in time for some of the receipts; `results` names them.",
      members: { outcome: "unknown", results, next: "Send the receipts of unknown fate again: each is settled once." },
    });
  if (results.every((result) => result.outcome === "settled")) return results;
  return results.some(({ outcome }) => outcome === "foreign") ? notReceipts(results) : failure("receipt_stale", { members: { results } });
}

/** What never was a receipt of the queue did not run out. */
function notReceipts(results: readonly ReceiptJson[]): Failure {
  const isMixed = results.some(({ outcome }) => outcome === "stale" || outcome === "unknown");
  const { next, what } = errorCatalogue.receipt_stale;
  const foreign = "What `results` calls foreign is not a receipt of this queue in this cluster.";
  const whole = "Send receipts whole, as consume gave them, to the queue and the cluster that they are from.";
  return failure("receipt_stale", {
    detail: `${isMixed ? describeError("receipt_stale") : what} ${foreign}`,
    members: { results: [...results], next: isMixed ? `${whole} ${next}` : whole },
  });
}

async function settled(
  context: HttpContext,
  call: AnyCall,
  queue: string,
  receipts: readonly string[],
  how: Pick<SettleRequest, "settlement"> & Partial<SettleRequest>,
): Promise<Answer> {
  const results = await settle(context, call, { queue, receipts, delayMs: 0, reason: "", ...how });
  return isFailure(results) ? results : ok({ settled: results.length, results });
}

function messagesOf(body: queueSchemas.ProduceBody): readonly NewMessage[] | Failure {
  const { ack: _ack, messages, if_fence: _fence, request_id: _key, ...one } = body;
  if (messages === undefined) {
    const single = newMessage(one);
    return isFailure(single) ? single : [single];
  }
  const [beside] = Object.keys(one);
  if (beside !== undefined) return badField(beside, "no field of a message beside `messages`");
  const stored: NewMessage[] = [];
  for (const [index, message] of messages.entries()) {
    const each = newMessage(message, `messages[${index}].`);
    if (isFailure(each)) return each;
    stored.push(each);
  }
  return stored;
}

interface Counted {
  readonly type: "counted";
  readonly count: number;
}

function browse(
  context: HttpContext,
  queue: string,
  state: BrowsedMessage["state"],
  query: { readonly cursor?: string; readonly limit?: number },
): Answer | Promise<Answer> {
  const cursor = decodeCursor(query.cursor);
  if (isFailure(cursor)) return cursor;
  const { requestTimeoutMs } = context.config.http;
  return new Promise((resolve) => {
    queuesOf(context).browse(queue, state, cursor, query.limit ?? httpLimits.defaultPageItems, requestTimeoutMs, (outcome) =>
      resolve(
        outcome.type === "browsed"
          ? ok({ messages: outcome.messages.map(browsedJson), next_cursor: encodeCursor(outcome.next) })
          : queueFailure(context, outcome, queue),
      ),
    );
  });
}

/** Of the routes that move messages; the rest are about queues themselves. */
export type MessageRouteId =
  | "produce"
  | "consume"
  | "ackMessages"
  | "nackMessages"
  | "extendLeases"
  | "releaseMessages"
  | "browseMessages"
  | "purgeMessages"
  | "deadLetters"
  | "redriveDeadLetters";

export const messageHandlers: Some<Extract<keyof typeof queueRoutes, MessageRouteId>> = {
  produce: async (call, context) => {
    const { body, params } = call;
    const { if_fence: ifFence } = body;
    const bad = ifFence === undefined ? null : checkNumbers(ifFence);
    if (bad !== null) return bad;
    const messages = messagesOf(body);
    if (isFailure(messages)) return messages;
    const outcome = await produce(context, call, params.queue, messages, {
      ...(ifFence === undefined ? {} : { ifFence: { lock: ifFence.lock, fence: numberOf(ifFence.fence) } }),
      ...(body.ack === undefined ? {} : { ack: body.ack as NonNullable<ProduceRequest["ack"]> }),
    });
    if (isFailure(outcome)) return outcome;
    return ok(
      {
        queue: params.queue,
        ack: outcome.durability,
        message_ids: outcome.messages.map((message) => message.id),
        messages: outcome.messages.map(({ id, partition, sequence, duplicate }) => ({
          id,
          partition,
          sequence: decimal(sequence),
          duplicate,
        })),
      },
      201,
    );
  },

  consume: async (call, context) => {
    const outcome = await consume(context, call, consumeRequest(call.params.queue, call.body ?? {}));
    if (isFailure(outcome)) return outcome;
    return ok({ messages: outcome.messages.map(deliveredJson), lease_ms: outcome.leaseMs }, 200, { "cache-control": "no-store" });
  },

  ackMessages: (call, context) => settled(context, call, call.params.queue, call.body.receipts, { settlement: "ack" }),
  releaseMessages: (call, context) => settled(context, call, call.params.queue, call.body.receipts, { settlement: "release" }),
  extendLeases: (call, context) =>
    settled(context, call, call.params.queue, call.body.receipts, { settlement: "extend", delayMs: call.body.visibility_ms ?? 0 }),

  nackMessages: (call, context) => {
    const { receipts, dead, delay_ms: delayMs, reason = "" } = call.body;
    if (dead === true && delayMs !== undefined) return badField("delay_ms", "no delay beside `dead`");
    return settled(
      context,
      call,
      call.params.queue,
      receipts,
      dead === true ? { settlement: "dead", reason } : { settlement: "nack", delayMs: delayMs ?? -1, reason },
    );
  },

  browseMessages: ({ params, query }, context) => browse(context, params.queue, query.state ?? "ready", query),
  deadLetters: ({ params, query }, context) => browse(context, params.queue, "dead", query),

  purgeMessages: async (call, context) => {
    const { queue } = call.params;
    const outcome = await ask<Counted>(context, call, queue, (queues, options, done) =>
      queues.purge(queue, call.query.dead ?? false, options, done),
    );
    if (isFailure(outcome)) return outcome;
    context.metrics.count("queue_purged_total", outcome.count);
    return ok({ purged: outcome.count });
  },

  redriveDeadLetters: async (call, context) => {
    const { queue } = call.params;
    const { ids = [], limit } = call.body ?? {};
    if (ids.length > 0 && limit !== undefined) return badField("limit", "no limit beside `ids`");
    const outcome = await ask<Counted>(context, call, queue, (queues, options, done) =>
      queues.redrive(queue, ids, limit ?? httpLimits.maxMessagesPerCall, options, done),
    );
    if (isFailure(outcome)) return outcome;
    context.metrics.count("queue_redriven_total", outcome.count);
    return ok({ redriven: outcome.count });
  },
};
