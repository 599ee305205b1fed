import { Type } from "typebox";
import type { ErrorCode } from "../errors.ts";
import { Limit } from "../schemas/common.ts";
import * as s from "../schemas/queues.ts";
import { commandErrors, groupAliases, messageAliases, readErrors, route } from "./definition.ts";

const QueueParams = Type.Object({ queue: s.QueueName });
const GroupParams = Type.Object({ queue: s.QueueName, group: s.GroupName });
const closed = { additionalProperties: false } as const;
const Cursor = Type.String({ maxLength: 2048, description: "`next_cursor` of the page before." });

/** Errors of every call that changes a queue or its messages. */
export const queueErrors = [
  "queue_unknown",
  "not_supported",
  "redis_unavailable",
  ...commandErrors,
] as const satisfies readonly ErrorCode[];
/** Errors of every question about one. */
export const queueReadErrors = [
  "queue_unknown",
  "not_supported",
  "redis_unavailable",
  "storage_unavailable",
  "commit_timeout",
  ...readErrors,
] as const satisfies readonly ErrorCode[];

export const queueRoutes = {
  putQueue: route({
    method: "PUT",
    path: "/v1/queues/:queue",
    tag: "queues",
    summary: "Make a queue, or give it these settings",
    description:
      "Settings left out keep their value, or get the default of the node. 201 when the queue is new. With `If-None-Match: *` an existing queue is 409. " +
      "`partitions` is fixed: another number is 409.",
    params: QueueParams,
    body: s.QueueSettingsBody,
    bodyOptional: true,
    responses: { 200: s.QueueDefined, 201: s.QueueDefined },
    errors: ["queue_exists", "queue_fixed", ...queueErrors],
    idempotent: true,
  }),
  patchQueue: route({
    method: "PATCH",
    path: "/v1/queues/:queue",
    tag: "queues",
    summary: "Change settings of a queue",
    params: QueueParams,
    body: s.QueueSettingsBody,
    responses: { 200: s.QueueSummary },
    errors: ["queue_fixed", ...queueErrors],
    idempotent: true,
  }),
  deleteQueue: route({
    method: "DELETE",
    path: "/v1/queues/:queue",
    tag: "queues",
    summary: "Delete a queue with all its messages",
    params: QueueParams,
    responses: { 200: s.QueueDeleted },
    errors: queueErrors,
    idempotent: true,
  }),
  getQueue: route({
    method: "GET",
    path: "/v1/queues/:queue",
    tag: "queues",
    summary: "Settings, groups and numbers of a queue",
    params: QueueParams,
    responses: { 200: s.QueueState },
    errors: queueReadErrors,
  }),
  listQueues: route({
    method: "GET",
    path: "/v1/queues",
    tag: "queues",
    summary: "Queues by name",
    query: Type.Object(
      { prefix: Type.Optional(Type.String({ maxLength: 512 })), cursor: Type.Optional(Cursor), limit: Type.Optional(Limit) },
      closed,
    ),
    responses: { 200: s.QueueList },
    errors: ["redis_unavailable", "storage_unavailable", ...readErrors],
  }),
  pauseQueue: route({
    method: "POST",
    path: "/v1/queues/:queue/pause",
    tag: "queues",
    summary: "Hand out nothing until resumed",
    description: "Produces go on, and so do the leases that are out.",
    params: QueueParams,
    responses: { 200: s.QueueSummary },
    errors: queueErrors,
    idempotent: true,
  }),
  resumeQueue: route({
    method: "POST",
    path: "/v1/queues/:queue/resume",
    tag: "queues",
    summary: "Hand out again",
    params: QueueParams,
    responses: { 200: s.QueueSummary },
    errors: queueErrors,
    idempotent: true,
  }),
  produce: route({
    method: "POST",
    path: "/v1/queues/:queue/messages",
    tag: "queues",
    summary: "Produce one message or several",
    description:
      "Answered after the messages are durable; `ack` says what they reached. Messages of one partition are stored all or none. An unknown queue is made with the defaults " +
      "(QUEUE_AUTO_CREATE). A repeated call with the same Idempotency-Key, or the same `dedup_id`, stores nothing twice.",
    params: QueueParams,
    body: s.ProduceBody,
    responses: { 201: s.Produced },
    errors: ["queue_full", "fence_behind", ...queueErrors],
    fields: messageAliases,
    idempotent: true,
  }),
  consume: route({
    method: "POST",
    path: "/v1/queues/:queue/consume",
    tag: "queues",
    summary: "Lease messages, or wait for some",
    description:
      "A message that is not settled within `lease_ms` is handed out again. With `wait_ms` an empty queue answers as soon as something is ready. " +
      "A closed connection ends the wait, and what it would have got goes to others. An unknown queue is empty: with `wait_ms` it is waited for.",
    params: QueueParams,
    body: s.ConsumeBody,
    bodyOptional: true,
    responses: { 200: s.Consumed },
    errors: queueErrors.filter((code) => code !== "queue_unknown"),
    fields: [...groupAliases, { from: "timeout", to: "wait_ms", unit: "seconds" }],
    idempotent: true,
  }),
  ackMessages: route({
    method: "POST",
    path: "/v1/queues/:queue/ack",
    tag: "queues",
    summary: "Settle messages: done",
    description: "200 when every receipt was held, else 409; both say for each what became of it, and each that was held took effect.",
    params: QueueParams,
    body: s.AckBody,
    responses: { 200: s.Settled },
    errors: ["receipt_stale", ...queueErrors],
    idempotent: true,
  }),
  nackMessages: route({
    method: "POST",
    path: "/v1/queues/:queue/nack",
    tag: "queues",
    summary: "Settle messages: failed",
    description:
      "Handed out again after `delay_ms`, or the queue's back-off; after `max_deliveries` failures a dead letter. `dead` makes it one at once.",
    params: QueueParams,
    body: s.NackBody,
    responses: { 200: s.Settled },
    errors: ["receipt_stale", ...queueErrors],
    idempotent: true,
  }),
  extendLeases: route({
    method: "POST",
    path: "/v1/queues/:queue/extend",
    tag: "queues",
    summary: "Keep messages for longer",
    description: "The lease lasts `visibility_ms` from now, or the queue's.",
    params: QueueParams,
    body: s.ExtendBody,
    responses: { 200: s.Settled },
    errors: ["receipt_stale", ...queueErrors],
    idempotent: true,
  }),
  releaseMessages: route({
    method: "POST",
    path: "/v1/queues/:queue/release",
    tag: "queues",
    summary: "Give messages back unharmed",
    description: "Handed out again at once; not counted as a failure.",
    params: QueueParams,
    body: s.AckBody,
    responses: { 200: s.Settled },
    errors: ["receipt_stale", ...queueErrors],
    idempotent: true,
  }),
  putGroup: route({
    method: "PUT",
    path: "/v1/queues/:queue/groups/:group",
    tag: "queues",
    summary: "Make a consumer group",
    description:
      "201 when it is new, 200 when it was there. A group also comes into being at its first consume. A queue has 64 groups at most; one more is 429.",
    params: GroupParams,
    body: s.GroupBody,
    bodyOptional: true,
    responses: { 200: s.GroupMade, 201: s.GroupMade },
    errors: queueErrors,
    idempotent: true,
  }),
  deleteGroup: route({
    method: "DELETE",
    path: "/v1/queues/:queue/groups/:group",
    tag: "queues",
    summary: "Delete a consumer group",
    params: GroupParams,
    responses: { 200: s.GroupDeleted },
    errors: ["group_unknown", ...queueErrors],
    idempotent: true,
  }),
  browseMessages: route({
    method: "GET",
    path: "/v1/queues/:queue/messages",
    tag: "queues",
    summary: "Look at messages without taking them",
    params: QueueParams,
    query: Type.Object({ state: Type.Optional(s.BrowsedState), cursor: Type.Optional(Cursor), limit: Type.Optional(Limit) }, closed),
    responses: { 200: s.BrowsedPage },
    errors: queueReadErrors,
  }),
  purgeMessages: route({
    method: "DELETE",
    path: "/v1/queues/:queue/messages",
    tag: "queues",
    summary: "Remove every message that is not leased",
    description: "With `dead=true` the dead letters instead.",
    params: QueueParams,
    query: Type.Object({ dead: Type.Optional(Type.Boolean()) }, closed),
    responses: { 200: s.Purged },
    errors: queueErrors,
    idempotent: true,
  }),
  deadLetters: route({
    method: "GET",
    path: "/v1/queues/:queue/dlq",
    tag: "queues",
    summary: "Dead letters, with why they died",
    params: QueueParams,
    query: Type.Object({ cursor: Type.Optional(Cursor), limit: Type.Optional(Limit) }, closed),
    responses: { 200: s.BrowsedPage },
    errors: queueReadErrors,
  }),
  redriveDeadLetters: route({
    method: "POST",
    path: "/v1/queues/:queue/dlq/redrive",
    tag: "queues",
    summary: "Make dead letters messages again",
    description:
      "Those of `ids`, or the oldest; with their counters at 0, behind what is there. Where a partition is full it stops, and the rest stay dead letters: " +
      "`redriven` says how many are messages again. 429 when there was room for none.",
    params: QueueParams,
    body: s.RedriveBody,
    bodyOptional: true,
    responses: { 200: s.Redriven },
    errors: ["queue_full", "feature_level", ...queueErrors],
    idempotent: true,
  }),
  raiseFence: route({
    method: "POST",
    path: "/v1/fences/raise",
    tag: "queues",
    summary: "Shut out writers with an older fence",
    description:
      "The new holder of a lock calls it before its first read: from then on no produce with a lower fence of that lock is stored (rule K5).",
    body: s.RaiseFenceBody,
    responses: { 200: s.FenceRaised },
    errors: ["fence_behind", ...queueErrors],
    fields: [{ from: "fencing_token", to: "fence" }],
    idempotent: true,
  }),
} as const;

export const placementRoutes = {
  getRing: route({
    method: "GET",
    path: "/v1/ring",
    tag: "cluster",
    summary: "Which nodes hold which shard",
    responses: { 200: s.Ring },
    errors: [],
  }),
} as const;
