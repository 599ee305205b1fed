import { Type } from "typebox";
import { httpLimits } from "../limits.ts";
import { Decimal, IdempotencyInBody, NullableString, WaitMs } from "./common.ts";
import { AckMode, ConsumerName, Durability, GroupName, QueueName, Start, VisibilityMs } from "./queues.ts";

const closed = { additionalProperties: false } as const;

/** S0's message is the whole body, so nothing in it is a field of ours. */
export const S0Message = Type.Unknown({ description: "Any JSON value: the message." });
const stored = {
  message_id: Type.String(),
  partition: Type.Integer(),
  sequence: Decimal,
  duplicate: Type.Boolean(),
  ack: Durability,
};
export const S0Produced = Type.Object({
  status: Type.Literal("ok"),
  queue: Type.String(),
  node: Type.String({ description: "Node that owns the message's partition, as far as the asked node knows." }),
  message: Type.Unknown(),
  ...stored,
});
export const S0ConsumeQuery = Type.Object(
  {
    ack: Type.Optional(AckMode),
    group: Type.Optional(GroupName),
    consumer: Type.Optional(ConsumerName),
    wait_ms: Type.Optional(WaitMs),
    visibility_ms: Type.Optional(VisibilityMs),
  },
  closed,
);
const taken = {
  message_id: NullableString,
  ack_token: Type.Union([Type.String(), Type.Null()], { description: "For POST /queue/ack; null with `ack=auto`." }),
};
export const S0Consumed = Type.Object({
  status: Type.Literal("ok"),
  queue: Type.String(),
  node: Type.String({ description: "Node that owns the message's partition, as far as the asked node knows." }),
  message: Type.Unknown({ description: "The JSON body that was produced; other content as base64." }),
  ...taken,
  acquired: Type.Integer(),
  deliveries: Type.Integer(),
  lease_ms: Type.Number(),
});

export const QueueProduceBody = Type.Object(
  {
    queue: QueueName,
    body: Type.Unknown({ description: "Any JSON value: the message." }),
    key: Type.Optional(Type.String({ minLength: 1, maxLength: httpLimits.maxKeyBytes, format: "owner-name" })),
    dedup_id: Type.Optional(Type.String({ minLength: 1, maxLength: httpLimits.maxKeyBytes, format: "owner-name" })),
    delay_ms: Type.Optional(Type.Integer({ minimum: 0, maximum: httpLimits.maxDurationMs })),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const QueueProduced = Type.Object({
  success: Type.Literal(true),
  status: Type.Literal("ok"),
  queue: Type.String(),
  topic: Type.String(),
  routed_to: Type.String({ description: "Node that owns the message's partition, as far as the asked node knows." }),
  ...stored,
});

export const QueueConsumeBody = Type.Object(
  {
    queue: QueueName,
    group: Type.Optional(GroupName),
    consumer: Type.Optional(ConsumerName),
    max: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: httpLimits.maxMessagesPerCall,
        description: "With `queue_name`, S2's style, only; 1 when not given.",
      }),
    ),
    wait_ms: Type.Optional(WaitMs),
    visibility_ms: Type.Optional(VisibilityMs),
    ack: Type.Optional(AckMode),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
/** `topic` in the request: S4's style. */
export const S4Consumed = Type.Object({
  success: Type.Literal(true),
  status: Type.Enum(["ok", "empty"]),
  topic: Type.String(),
  message: Type.Unknown({ description: "The JSON value that was produced; null when nothing is there." }),
  ...taken,
  acquired: Type.Integer(),
  deliveries: Type.Integer(),
  lease_ms: Type.Number(),
});
/** `queue_name` in the request: S2's style. */
export const S2Consumed = Type.Object({
  success: Type.Literal(true),
  status: Type.Enum(["ok", "empty"]),
  queue_name: Type.String(),
  messages: Type.Array(Type.Object({ message: Type.Unknown(), ...taken, acquired: Type.Integer(), deliveries: Type.Integer() })),
  lease_ms: Type.Number(),
});
export const QueueConsumed = Type.Union([S4Consumed, S2Consumed], {
  description: "With `topic` one message (S4), with `queue_name` a list (S2).",
});

export const CreateGroupBody = Type.Object(
  { queue: QueueName, group: Type.Optional(GroupName), start: Type.Optional(Start), request_id: Type.Optional(IdempotencyInBody) },
  closed,
);
export const GroupCreated = Type.Object({
  status: Type.Literal("ok"),
  queue_name: Type.String(),
  group_name: Type.String(),
  created: Type.Boolean({ description: "False: it was there (Redis would say BUSYGROUP)." }),
});

const Handle = Type.String({ minLength: 1, maxLength: httpLimits.maxReceiptLength });
export const QueueAckBody = Type.Object(
  {
    ack_token: Type.Optional(Handle),
    message_id: Type.Optional(
      Type.String({ minLength: 1, maxLength: httpLimits.maxReceiptLength, description: "Used when there is no `ack_token`." }),
    ),
    queue: Type.Optional(QueueName),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const QueueAcked = Type.Object({ success: Type.Literal(true), status: Type.Literal("ok"), acked: Type.Integer() });
