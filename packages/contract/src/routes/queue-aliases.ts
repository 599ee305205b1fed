import { Type } from "typebox";
import { httpLimits } from "../limits.ts";
import * as s from "../schemas/queue-aliases.ts";
import { QueueName } from "../schemas/queues.ts";
import { groupAliases, messageAliases, queueNameAliases, reservedQueueWords, route } from "./definition.ts";
import { queueErrors } from "./queues.ts";

const QueueParams = Type.Object({ queue: QueueName });
const reserved = `Not for queues called ${reservedQueueWords.map((word) => `\`${word}\``).join(", ")}: those are reached under /v1 only.`;

/** The queue paths of S0, S2 and S4. S2's and S4's have one path each for two styles: `queue_name` is S2's, `topic` S4's. */
export const queueAliasRoutes = {
  s0Produce: route({
    method: "POST",
    path: "/queue/:queue",
    tag: "S0 paths",
    summary: "Produce a message: the body",
    description: `The whole body is the message. ${reserved}`,
    params: QueueParams,
    body: s.S0Message,
    responses: { 200: s.S0Produced },
    errors: ["queue_full", ...queueErrors],
    maxBodyBytes: httpLimits.maxMessageBytes,
    idempotent: true,
    alias: { of: "/v1/queues/:queue/messages", source: "S0" },
  }),
  s0Consume: route({
    method: "GET",
    path: "/queue/:queue",
    tag: "S0 paths",
    summary: "Consume one message",
    description:
      "Leased: settle it with POST /queue/ack and its `ack_token`, or it comes back after QUEUE_VISIBILITY_MS; `ack=auto` settles at once. Nothing there: 404 `Queue is empty`. " +
      reserved,
    params: QueueParams,
    query: s.S0ConsumeQuery,
    responses: { 200: s.S0Consumed },
    errors: ["queue_empty", ...queueErrors.filter((code) => code !== "queue_unknown")],
    fields: [...groupAliases, { from: "timeout", to: "wait_ms", unit: "seconds" }],
    takes: true,
    alias: { of: "/v1/queues/:queue/consume", source: "S0" },
  }),
  queueProduce: route({
    method: "POST",
    path: "/queue/produce",
    tag: "S4 paths",
    summary: "Produce a message",
    body: s.QueueProduceBody,
    responses: { 200: s.QueueProduced },
    errors: ["queue_full", ...queueErrors],
    fields: [...queueNameAliases, ...messageAliases],
    idempotent: true,
    alias: { of: "/v1/queues/:queue/messages", source: "S4" },
  }),
  queueConsume: route({
    method: "POST",
    path: "/queue/consume",
    tag: "S4 paths",
    summary: "Consume",
    description:
      "With `topic`: one message, `message` null when there is none. With `queue_name` (S2): `messages`, `status: empty` when there is none, waiting `block_ms`, 5000 when not given; " +
      "an unknown queue is 404. Un-acked messages come back.",
    body: s.QueueConsumeBody,
    responses: { 200: s.QueueConsumed },
    errors: queueErrors,
    fields: [
      ...queueNameAliases,
      ...groupAliases,
      { from: "count", to: "max" },
      { from: "block_ms", to: "wait_ms" },
      { from: "timeout", to: "wait_ms", unit: "seconds" },
    ],
    idempotent: true,
    alias: { of: "/v1/queues/:queue/consume", source: "S4" },
  }),
  queueAck: route({
    method: "POST",
    path: "/queue/ack",
    tag: "S4 paths",
    summary: "Settle a message by its ack_token",
    body: s.QueueAckBody,
    responses: { 200: s.QueueAcked },
    errors: ["receipt_stale", ...queueErrors],
    fields: [...queueNameAliases, { from: "receipt", to: "ack_token" }],
    idempotent: true,
    alias: { of: "/v1/queues/:queue/ack", source: "S4" },
  }),
  createGroup: route({
    method: "POST",
    path: "/queue/create-group",
    tag: "S2 paths",
    summary: "Make a consumer group",
    description: "200 also when it exists. The queue is made when it is not there (QUEUE_AUTO_CREATE).",
    body: s.CreateGroupBody,
    responses: { 200: s.GroupCreated },
    errors: queueErrors,
    fields: [...queueNameAliases, ...groupAliases.filter((field) => field.to === "group")],
    idempotent: true,
    alias: { of: "/v1/queues/:queue/groups/:group", source: "S2" },
  }),
} as const;
