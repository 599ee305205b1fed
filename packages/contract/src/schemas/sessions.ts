import { Type } from "typebox";
import { httpLimits } from "../limits.ts";
import { Decimal, IdempotencyInBody, NullableDecimal, NullableNumber } from "./common.ts";

const closed = { additionalProperties: false } as const;

export const OpenSessionBody = Type.Object(
  {
    ttl_ms: Type.Optional(
      Type.Integer({ minimum: 1_000, maximum: 3_600_000, description: "The session ends when no keepalive arrives for so long." }),
    ),
    lock_delay_ms: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 60_000, description: "Pause before its locks are granted again after an involuntary release." }),
    ),
    label: Type.Optional(
      Type.String({ maxLength: httpLimits.maxLabelBytes, format: "label", description: "Shown to people: host name, process id." }),
    ),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const SessionOpened = Type.Object({
  session_id: Decimal,
  ttl_ms: Type.Number(),
  lock_delay_ms: Type.Number(),
  expires_in_ms: Type.Number(),
  request_id: Type.String(),
});
export const SessionAlive = Type.Object({ session_id: Decimal, ttl_ms: NullableNumber, expires_in_ms: NullableNumber });
export const SessionState = Type.Object({
  session_id: Decimal,
  label: Type.String(),
  ttl_ms: Type.Number(),
  lock_delay_ms: Type.Number(),
  expires_in_ms: NullableNumber,
  locks: Type.Integer(),
  waiters: Type.Integer(),
  age_ms: Type.Number(),
});
export const SessionList = Type.Object({ sessions: Type.Array(SessionState), next_cursor: NullableDecimal, total: Type.Integer() });
export const SessionClosed = Type.Object({ closed: Type.Literal(true), session_id: Decimal, request_id: Type.String() });

export const RequestOutcome = Type.Object({
  request_id: Type.String(),
  status: Type.Enum(["executed", "pending", "not_executed"]),
  result: Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()], {
    description: "What the command answered; null unless executed.",
  }),
});
