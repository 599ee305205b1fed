import { Type, type Static } from "typebox";
import { httpLimits } from "../limits.ts";
import { Decimal, DecimalInput, IdempotencyInBody, LockName, NullableNumber, NullableString, ReceiptResult, WaitMs } from "./common.ts";

const closed = { additionalProperties: false } as const;
/** 100 years: far enough, and every sum of two stays exact. */
const longestMs = 3_153_600_000_000;

/** Names of queues are like those of locks. */
export const QueueName = LockName;
const Key = (description: string): ReturnType<typeof Type.String> =>
  Type.String({ minLength: 1, maxLength: httpLimits.maxKeyBytes, format: "owner-name", description });
export const GroupName = Key("Consumer group: each group gets every message. 1 to 256 bytes.");
export const ConsumerName = Key("Who consumes; what it holds goes to others when it is known to be gone.");
export const Start = Type.Enum(["earliest", "latest"], {
  description: "Where a new group begins: at the oldest message there is (default), or behind the newest.",
});
export const VisibilityMs = Type.Integer({
  minimum: 100,
  maximum: 43_200_000,
  description: "A message not settled within this time is handed out again; the queue's when not given.",
});
export const AckMode = Type.Enum(["manual", "auto"], {
  description: "`auto` settles at hand-out: at most once. `manual` (default): settle with the receipt.",
});
export const Partition = Type.Integer({ minimum: 0, maximum: httpLimits.maxPartitions - 1 });

/** What the owner of a queue may say. */
const settings = {
  partitions: Type.Integer({
    minimum: 1,
    maximum: httpLimits.maxPartitions,
    description: "Fixed when the queue is made. 1 = total order; more for speed, with order per key.",
  }),
  visibility_ms: Type.Integer({ minimum: 100, maximum: 43_200_000, description: "Length of a lease (QUEUE_VISIBILITY_MS)." }),
  max_deliveries: Type.Integer({ minimum: 0, maximum: 1_000, description: "Failures after which a message is a dead letter; 0 = never." }),
  max_acquired: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    description: "Hand-outs after which it is, those that were given back not counted; 0 = never.",
  }),
  backoff_ms: Type.Integer({ minimum: 0, maximum: 86_400_000, description: "Delay after a failure: failures so far × this." }),
  max_messages: Type.Integer({
    minimum: 0,
    maximum: 1_000_000_000,
    description: "Messages of a partition that are not settled; then produces are refused (429). 0 = no limit.",
  }),
  max_bytes: Type.Integer({ minimum: 0, maximum: 1_125_899_906_842_624, description: "The same in bytes; 0 = no limit." }),
  ttl_ms: Type.Integer({ minimum: 0, maximum: longestMs, description: "Time to live of messages without their own; 0 = for ever." }),
  dedup_window_ms: Type.Integer({ minimum: 0, maximum: 604_800_000, description: "How long a `dedup_id` is remembered." }),
  max_leased: Type.Integer({
    minimum: 0,
    maximum: 1_000_000,
    description: "Leases per group and partition at a time; 0 = the built-in limit.",
  }),
  rate_per_second: Type.Integer({ minimum: 0, maximum: 1_000_000, description: "Hand-outs a second and partition; 0 = no limit." }),
  paused: Type.Boolean({ description: "Produced to, but not consumed from." }),
};
export const QueueSettings = Type.Object(settings);
export const QueueSettingsBody = Type.Partial(Type.Object({ ...settings, request_id: IdempotencyInBody }), closed);
export type QueueSettingsBody = Static<typeof QueueSettingsBody>;

const summary = {
  name: Type.String(),
  id: Decimal,
  version: Type.Integer({ description: "Rises with every change of the settings." }),
  created_at: Type.Number({ description: "Group time, Unix milliseconds." }),
  settings: QueueSettings,
};
export const QueueSummary = Type.Object(summary);
export const QueueDefined = Type.Object({ ...summary, created: Type.Boolean() });
export const QueueList = Type.Object({ queues: Type.Array(QueueSummary), next_cursor: NullableString });
export const QueueDeleted = Type.Object({ deleted: Type.Literal(true), name: Type.String() });

const groupStats = {
  group: Type.String(),
  ready: Type.Integer({ description: "Not handed out, or to be handed out again." }),
  leased: Type.Integer(),
  settled: Type.Integer(),
  dead: Type.Integer(),
  expired: Type.Integer(),
  purged: Type.Integer(),
};
export const GroupStats = Type.Object(groupStats);
const counts = {
  messages: Type.Integer({ description: "Not settled by every group." }),
  bytes: Type.Integer(),
  delayed: Type.Integer(),
  dead: Type.Integer({ description: "Dead letters there are." }),
  produced: Type.Integer({
    description: "Accepted so far. produced + returned = messages + acked + died + expired + purged + dropped.",
  }),
  returned: Type.Integer({ description: "Dead letters put back for one of several groups; others count as produced again." }),
  acked: Type.Integer({ description: "Messages that left because the last group that needed them settled them." }),
  died: Type.Integer({ description: "Messages that left as dead letters of the last group that needed them." }),
  expired: Type.Integer({ description: "Messages that left by their time to live." }),
  purged: Type.Integer(),
  dropped: Type.Integer({ description: "Messages that left with the group that alone had still to settle them." }),
  oldest_at: Type.Union([Type.Number(), Type.Null()], { description: "When the oldest message still there was produced; null = none." }),
};
export const PartitionStats = Type.Object({
  partition: Type.Integer(),
  leader: NullableString,
  ...counts,
  groups: Type.Array(GroupStats),
});
export const Backend = Type.Enum(["embedded", "redis", "memory"]);
export const Durability = Type.String({
  pattern: "^(quorum|memory|primary|aof|replicas:[0-9]+)$",
  description:
    "What an acknowledged message has reached: `quorum` = on the disks of a majority; on Redis `primary`, `aof`, or `replicas:n`; `memory` = nothing that outlives the process.",
});
/** Asked of a produce. */
const AckLevel = Type.String({
  pattern: "^(quorum|primary|aof|replicas:[1-9])$",
  description:
    "How safe the message is to be before the answer, which says what was reached. On Redis `primary`, `aof` or `replicas:N`; REDIS_ACK when not given. Elsewhere it is `quorum`, which is more, whatever is asked for.",
});
export const QueueState = Type.Object({
  ...summary,
  backend: Backend,
  durability: Durability,
  totals: Type.Object(counts),
  groups: Type.Array(GroupStats, { description: "Over all partitions." }),
  partitions: Type.Array(PartitionStats),
});

/** Content that is not JSON travels as base64. */
const Base64 = Type.String({ pattern: "^[A-Za-z0-9+/]*={0,2}$", description: "Content that is not JSON." });
export const MessageHeaders = Type.Record(Type.String(), Type.String(), {
  maxProperties: httpLimits.maxMessageHeaders,
  description: "Small texts kept with the content: content type, trace context.",
});
const message = {
  body: Type.Optional(Type.Unknown({ description: "The content: any JSON value." })),
  body_base64: Type.Optional(Base64),
  headers: Type.Optional(MessageHeaders),
  key: Type.Optional(Key("Messages of one key keep their order: while one is out, the next waits.")),
  priority: Type.Optional(Type.Integer({ minimum: 0, maximum: 3, description: "0 (default) is handed out first, 3 last." })),
  delay_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: httpLimits.maxDurationMs, description: "Ready only after so long." })),
  due_at: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 253_402_300_799_999,
      description: "Ready only at this time, Unix milliseconds; instead of `delay_ms`.",
    }),
  ),
  ttl_ms: Type.Optional(Type.Integer({ minimum: 1, maximum: longestMs, description: "Dropped when not settled by then." })),
  dedup_id: Type.Optional(Key("A second message with it within the queue's window is not stored again.")),
};
export const MessageInput = Type.Object(message, closed);
export type MessageInput = Static<typeof MessageInput>;
export const ProduceBody = Type.Object(
  {
    ...message,
    messages: Type.Optional(
      Type.Array(MessageInput, {
        minItems: 1,
        maxItems: httpLimits.maxMessagesPerCall,
        description: "Several, instead of the fields of one.",
      }),
    ),
    if_fence: Type.Optional(
      Type.Object(
        { lock: LockName, fence: DecimalInput },
        { ...closed, description: "Only if no later holder of the lock has written (rule K5)." },
      ),
    ),
    ack: Type.Optional(AckLevel),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export type ProduceBody = Static<typeof ProduceBody>;
export const Produced = Type.Object({
  queue: Type.String(),
  ack: Durability,
  message_ids: Type.Array(Type.String()),
  messages: Type.Array(
    Type.Object({
      id: Type.String(),
      partition: Type.Integer(),
      sequence: Decimal,
      duplicate: Type.Boolean({ description: "Known by its `dedup_id`: this is the message stored before." }),
    }),
    { description: "In the order of the request." },
  ),
});

export const ConsumeBody = Type.Object(
  {
    group: Type.Optional(GroupName),
    consumer: Type.Optional(ConsumerName),
    max: Type.Optional(
      Type.Integer({ minimum: 1, maximum: httpLimits.maxMessagesPerCall, description: "Messages at most; 1 when not given." }),
    ),
    max_bytes: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_073_741_824, description: "Content at most; one message always fits." }),
    ),
    wait_ms: Type.Optional(WaitMs),
    visibility_ms: Type.Optional(VisibilityMs),
    ack: Type.Optional(AckMode),
    start: Type.Optional(Start),
    partition: Type.Optional(Partition),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export type ConsumeBody = Static<typeof ConsumeBody>;
const content = {
  body: Type.Unknown({ description: "The content when it is JSON; null beside `body_base64`." }),
  body_base64: Type.Optional(Base64),
  headers: Type.Record(Type.String(), Type.String()),
  key: NullableString,
  priority: Type.Integer(),
  produced_at: Type.Number({ description: "Group time, Unix milliseconds." }),
};
export const ConsumedMessage = Type.Object({
  id: Type.String(),
  receipt: Type.String({ description: "Names this hand-out: settle with it." }),
  partition: Type.Integer(),
  sequence: Decimal,
  ...content,
  acquired: Type.Integer({ description: "Hand-outs so far, this one included." }),
  deliveries: Type.Integer({ description: "Failures so far." }),
});
export const Consumed = Type.Object({
  messages: Type.Array(ConsumedMessage, { description: "Empty: nothing was ready, or there is no such queue." }),
  lease_ms: Type.Number(),
});

const receipts = {
  receipts: Type.Array(Type.String({ minLength: 1, maxLength: httpLimits.maxReceiptLength }), {
    minItems: 1,
    maxItems: httpLimits.maxMessagesPerCall,
    description: "Each is decided by itself.",
  }),
  request_id: Type.Optional(IdempotencyInBody),
};
export const AckBody = Type.Object(receipts, closed);
export const NackBody = Type.Object(
  {
    ...receipts,
    delay_ms: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: httpLimits.maxDurationMs,
        description: "Again after so long; the queue's back-off when not given.",
      }),
    ),
    reason: Type.Optional(Type.String({ format: "reason", description: "Shown with a dead letter." })),
    dead: Type.Optional(Type.Boolean({ description: "To the dead letters at once." })),
  },
  closed,
);
export const ExtendBody = Type.Object({ ...receipts, visibility_ms: Type.Optional(VisibilityMs) }, closed);
export const Settled = Type.Object({ settled: Type.Integer(), results: Type.Array(ReceiptResult) });

export const GroupBody = Type.Object({ start: Type.Optional(Start), request_id: Type.Optional(IdempotencyInBody) }, closed);
export const GroupMade = Type.Object({ queue: Type.String(), group: Type.String(), created: Type.Boolean() });
export const GroupDeleted = Type.Object({ deleted: Type.Literal(true), queue: Type.String(), group: Type.String() });

export const BrowsedState = Type.Enum(["ready", "delayed", "dead"]);
export const BrowsedMessage = Type.Object({
  id: Type.String(),
  partition: Type.Integer(),
  sequence: Decimal,
  state: BrowsedState,
  ...content,
  due_at: NullableNumber,
  expires_at: NullableNumber,
  dead: Type.Union([
    Type.Object({
      group: Type.String(),
      reason: Type.String(),
      acquired: Type.Integer(),
      deliveries: Type.Integer(),
      died_at: Type.Number(),
    }),
    Type.Null(),
  ]),
});
export const BrowsedPage = Type.Object({ messages: Type.Array(BrowsedMessage), next_cursor: NullableString });

export const Purged = Type.Object({ purged: Type.Integer() });
export const RedriveBody = Type.Object(
  {
    ids: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: httpLimits.maxReceiptLength }), {
        minItems: 1,
        maxItems: httpLimits.maxMessagesPerCall,
      }),
    ),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: httpLimits.maxMessagesPerCall,
        description: "The oldest, at most so many; 1024 when not given.",
      }),
    ),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const Redriven = Type.Object({ redriven: Type.Integer() });

export const RaiseFenceBody = Type.Object(
  { queue: QueueName, lock: LockName, fence: DecimalInput, request_id: Type.Optional(IdempotencyInBody) },
  closed,
);
export const FenceRaised = Type.Object({ raised: Type.Literal(true), queue: Type.String(), lock: Type.String(), fence: Decimal });

export const Ring = Type.Object({
  backend: Backend,
  epoch: Type.Union([Type.Integer(), Type.Null()], {
    description: "Rises with every change; null where the storage has no owners, or before the first placement.",
  }),
  replication: Type.Integer(),
  shards: Type.Array(
    Type.Object({
      shard: Type.Integer(),
      leader: Type.Union([Type.String(), Type.Null()], { description: "Who should lead." }),
      replicas: Type.Array(Type.String(), { description: "Who should hold it." }),
      waiting: Type.Union([Type.Object({ why: Type.String(), next: Type.String() }), Type.Null()], {
        description: "Why its replicas are not there yet, when that takes long, and what to do.",
      }),
    }),
  ),
  nodes: Type.Array(Type.Object({ node: Type.String(), replicas: Type.Integer(), leads: Type.Integer() })),
});
