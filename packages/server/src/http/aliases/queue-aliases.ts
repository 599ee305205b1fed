import { reservedQueueWords, type queueAliasRoutes } from "@trivet/contract";
import type { Consumed, Delivered, Produced } from "@trivet/engine";
import { badField, failure, ok, type Answer, type Failure } from "../answer.ts";
import { isFailure, type AnyCall, type Some } from "../calls.ts";
import { clientId } from "../client-id.ts";
import type { HttpContext } from "../context.ts";
import { decimal } from "../outcomes.ts";
import { ask, callOptions, queueFailure, queuesOf } from "../queues/queue-calls.ts";
import { contentJson, newMessage } from "../queues/queue-content.ts";
import { consume, consumeRequest, produce, settle } from "../queues/queue-messages.ts";

const noStore = { "cache-control": "no-store" } as const;
/** S2's program waits so long, in a group of this name. */
const s2BlockMs = 5_000;
const s2Group = "default_group";

/** under `/queue/` these words are paths of S2 and S4, never queues; a call in the other style is told so. */
function reserved(name: string): Failure | null {
  if (!(reservedQueueWords as readonly string[]).includes(name)) return null;
  return badField(
    "queue",
    `a name other than ${reservedQueueWords.join(", ")}; /v1/queues/${name} takes it, and POST /queue/produce has its own body`,
  );
}

/** Which node owns the partition, as far as this one knows: shards take partitions in turn (decision 8). */
function ownerOf(context: HttpContext, queue: number, partition: number): string {
  const shards = context.queues?.placement()?.shards ?? [];
  return shards[(queue + partition) % Math.max(1, shards.length)]?.[0] ?? context.config.nodeId;
}

function storedJson(
  outcome: Produced,
  context: HttpContext,
): { readonly owner: string; readonly stored: Readonly<Record<string, unknown>> } | Failure {
  const [first] = outcome.messages;
  if (first === undefined) return failure("internal", { values: { node: context.config.nodeId } });
  const { id, partition, sequence, duplicate } = first;
  return {
    owner: ownerOf(context, outcome.queue, partition),
    stored: { message_id: id, partition, sequence: decimal(sequence), duplicate, ack: outcome.durability },
  };
}

/** The JSON value that was produced; other content as base64. */
function contentOf(message: Delivered): unknown {
  const content = contentJson(message);
  return content.body_base64 ?? content.body;
}
const taken = (message: Delivered, autoAck: boolean): Readonly<Record<string, unknown>> => ({
  message: contentOf(message),
  message_id: message.id,
  ack_token: autoAck ? null : message.receipt,
  acquired: message.acquired,
  deliveries: message.deliveries,
});

const consumerOf = (call: AnyCall, given: string | undefined): { readonly consumer?: string } => {
  const consumer = given ?? clientId(call.request.headers);
  return consumer === undefined ? {} : { consumer };
};

/** `queue_name` is S2's word for the queue; its answers have S2's shape. */
const isS2 = (call: AnyCall): boolean => call.request.written?.get("queue")?.name === "queue_name";

function s4Answer(topic: string, { messages: [message], leaseMs }: Consumed, autoAck: boolean): Answer {
  const content =
    message === undefined
      ? { status: "empty", message: null, message_id: null, ack_token: null, acquired: 0, deliveries: 0 }
      : { status: "ok", ...taken(message, autoAck) };
  return ok({ success: true, topic, ...content, lease_ms: leaseMs }, 200, noStore);
}

/** S2 tells an unknown queue from an empty one; only an empty answer needs to ask. */
async function s2Answer(context: HttpContext, queue: string, { messages, leaseMs }: Consumed, autoAck: boolean): Promise<Answer> {
  if (messages.length === 0) {
    const unknown = await new Promise<Failure | null>((resolve) => {
      queuesOf(context).details(queue, context.config.http.requestTimeoutMs, (outcome) =>
        resolve(outcome.type === "unknown-queue" ? queueFailure(context, outcome, queue) : null),
      );
    });
    if (unknown !== null) return unknown;
  }
  const status = messages.length === 0 ? "empty" : "ok";
  return ok(
    { success: true, status, queue_name: queue, messages: messages.map((message) => taken(message, autoAck)), lease_ms: leaseMs },
    200,
    noStore,
  );
}

interface Grouped {
  readonly type: "group";
  readonly created: boolean;
}

/** S2 makes the queue with its group (MKSTREAM), and asks for a group again and again (T-17). */
async function ensureGroup(
  context: HttpContext,
  call: AnyCall,
  queue: string,
  group: string,
  start: "earliest" | "latest",
): Promise<Grouped | Failure> {
  const create = (): Promise<Grouped | Failure> =>
    ask<Grouped>(context, call, queue, (queues, options, done) => queues.createGroup(queue, group, { type: start }, options, done));
  const first = await create();
  if (!isFailure(first) || first.code !== "queue_unknown" || !context.config.queues.autoCreate) return first;
  // Without the caller's key: making a queue that is there does nothing, and the key belongs to the group's command.
  const options = callOptions(context, call);
  if (isFailure(options)) return options;
  const made = await new Promise<Failure | null>((resolve) => {
    queuesOf(context).define(queue, {}, "ensure", { timeoutMs: options.timeoutMs }, (outcome) =>
      resolve(outcome.type === "defined" ? null : queueFailure(context, outcome, queue)),
    );
  });
  return made ?? create();
}

export const queueAliasHandlers: Some<keyof typeof queueAliasRoutes> = {
  s0Produce: async (call, context) => {
    const { queue } = call.params;
    const word = reserved(queue);
    if (word !== null) return word;
    if (call.body === undefined) return badField("body", "the message: any JSON value");
    const message = newMessage({ body: call.body });
    if (isFailure(message)) return message;
    const outcome = await produce(context, call, queue, [message]);
    if (isFailure(outcome)) return outcome;
    const answer = storedJson(outcome, context);
    return isFailure(answer) ? answer : ok({ status: "ok", queue, node: answer.owner, message: call.body, ...answer.stored });
  },

  s0Consume: async (call, context) => {
    const { queue } = call.params;
    const { query } = call;
    const word = reserved(queue);
    if (word !== null) return word;
    const autoAck = query.ack === "auto";
    const outcome = await consume(context, call, consumeRequest(queue, { ...query, ...consumerOf(call, query.consumer) }));
    if (isFailure(outcome)) return outcome;
    const [message] = outcome.messages;
    if (message === undefined) return failure("queue_empty", { detail: "Queue is empty", values: { name: queue }, headers: noStore });
    const owner = context.config.nodeId;
    return ok({ status: "ok", queue, node: owner, ...taken(message, autoAck), lease_ms: outcome.leaseMs }, 200, noStore);
  },

  queueProduce: async (call, context) => {
    const { queue, body, key, dedup_id, delay_ms } = call.body;
    const message = newMessage({
      body,
      ...(key === undefined ? {} : { key }),
      ...(dedup_id === undefined ? {} : { dedup_id }),
      ...(delay_ms === undefined ? {} : { delay_ms }),
    });
    if (isFailure(message)) return message;
    const outcome = await produce(context, call, queue, [message]);
    if (isFailure(outcome)) return outcome;
    const answer = storedJson(outcome, context);
    return isFailure(answer) ? answer : ok({ success: true, status: "ok", queue, topic: queue, routed_to: answer.owner, ...answer.stored });
  },

  queueConsume: async (call, context) => {
    const { queue, request_id: _key, ...body } = call.body;
    const s2 = isS2(call);
    if (!s2 && body.max !== undefined && body.max !== 1)
      return badField("max", "1: with `topic` one message is handed out; send `queue_name` for several");
    const autoAck = body.ack === "auto";
    const defaults = s2 ? { group: s2Group, wait_ms: s2BlockMs } : {};
    const outcome = await consume(context, call, consumeRequest(queue, { ...defaults, ...body, ...consumerOf(call, body.consumer) }));
    if (isFailure(outcome)) return outcome;
    return s2 ? s2Answer(context, queue, outcome, autoAck) : s4Answer(queue, outcome, autoAck);
  },

  queueAck: async (call, context) => {
    const { ack_token: token, message_id: id, queue } = call.body;
    const handle = token ?? id;
    if (handle === undefined) return badField("ack_token", "needed, but missing (also accepted: receipt, message_id)");
    const results = await settle(context, call, { queue: queue ?? null, receipts: [handle], settlement: "ack", delayMs: 0, reason: "" });
    return isFailure(results) ? results : ok({ success: true, status: "ok", acked: results.length });
  },

  createGroup: async (call, context) => {
    const { queue, group = s2Group, start = "earliest" } = call.body;
    const outcome = await ensureGroup(context, call, queue, group, start);
    return isFailure(outcome) ? outcome : ok({ status: "ok", queue_name: queue, group_name: group, created: outcome.created });
  },
};
