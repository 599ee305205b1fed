import { Type, type Static } from "typebox";
import { httpLimits } from "../limits.ts";
import {
  CycleStep,
  Decimal,
  DecimalInput,
  IdempotencyInBody,
  LockName,
  Mode,
  ModeOutput,
  NullableDecimal,
  NullableNumber,
  NullableString,
  Owner,
  TtlMs,
  WaitMs,
} from "./common.ts";

const closed = { additionalProperties: false } as const;

/** Owner or session of a call. A session's default owner is `default`. */
const actorFields = {
  owner: Type.Optional(Owner),
  session_id: Type.Optional(DecimalInput),
  request_id: Type.Optional(IdempotencyInBody),
};

export const AcquireBody = Type.Object(
  {
    ...actorFields,
    mode: Type.Optional(Mode),
    permits: Type.Optional(Type.Literal(1, { description: "Take one permit of a semaphore (then `of` is needed)." })),
    of: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: httpLimits.maxSemaphorePermits,
        description: "Size of the semaphore; the first request fixes it.",
      }),
    ),
    ttl_ms: Type.Optional(TtlMs),
    wait_ms: Type.Optional(WaitMs),
    reentrant: Type.Optional(Type.Boolean({ description: "Count a second acquire of the same owner instead of waiting for itself." })),
  },
  closed,
);
export type AcquireBody = Static<typeof AcquireBody>;

export const Granted = Type.Object({
  granted: Type.Literal(true),
  name: Type.String(),
  mode: ModeOutput,
  owner: Type.String(),
  session_id: NullableDecimal,
  fence: Decimal,
  depth: Type.Integer({ description: "Re-entry depth, 1 for a first grant." }),
  expires_in_ms: Type.Union([Type.Number(), Type.Null()], { description: "Lease from the grant; null when a session holds it." }),
  leader: NullableString,
  term: Type.Number(),
  request_id: Type.String({ description: "Id for GET /v1/requests/{id}." }),
});

export const ReleaseBody = Type.Object({ ...actorFields, fence: Type.Optional(DecimalInput) }, closed);
export type ReleaseBody = Static<typeof ReleaseBody>;
export const Released = Type.Object({
  released: Type.Literal(true),
  name: Type.String(),
  fence: Decimal,
  remaining: Type.Integer({ description: "Re-entry depth left; 0 = free." }),
  granted_to: Type.Array(Type.String(), { description: "Owners that got the lock by this release." }),
  request_id: Type.String(),
});

export const RenewBody = Type.Object({ ...actorFields, fence: DecimalInput, ttl_ms: Type.Optional(TtlMs) }, closed);
export const Renewed = Type.Object({ renewed: Type.Literal(true), name: Type.String(), fence: Decimal, expires_in_ms: Type.Number() });

export const UpgradeBody = Type.Object(
  { ...actorFields, fence: DecimalInput, mode: Type.Optional(Mode), wait_ms: Type.Optional(WaitMs) },
  closed,
);
export const DowngradeBody = Type.Object({ ...actorFields, fence: DecimalInput, mode: Type.Optional(Mode) }, closed);
export const CancelBody = Type.Object(actorFields, closed);
export const Cancelled = Type.Object({ cancelled: Type.Literal(true), name: Type.String(), request_id: Type.String() });
export const ForceReleaseBody = Type.Object(
  {
    fence: Type.Optional(DecimalInput),
    reason: Type.String({
      minLength: 1,
      maxLength: httpLimits.maxReasonBytes,
      format: "reason",
      description: "Kept with the event; why the holder is robbed.",
    }),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const ForceReleased = Type.Object({
  released: Type.Literal(true),
  name: Type.String(),
  granted_to: Type.Array(Type.String()),
  request_id: Type.String(),
});

export const LockState = Type.Object({
  name: Type.String(),
  status: Type.Enum(["available", "held", "delayed"], { description: "`delayed` = free, but not granted until its lock delay is over." }),
  of: Type.Optional(Type.Integer({ description: "Size of the semaphore; not there when it is an ordinary lock." })),
  holders: Type.Array(
    Type.Object({
      owner: Type.String(),
      session_id: NullableDecimal,
      mode: ModeOutput,
      fence: Decimal,
      depth: Type.Integer(),
      anonymous: Type.Boolean(),
      ttl_ms: NullableNumber,
      expires_in_ms: NullableNumber,
      held_ms: Type.Number(),
    }),
  ),
  waiters: Type.Array(
    Type.Object({
      position: Type.Integer(),
      owner: Type.String(),
      session_id: NullableDecimal,
      mode: ModeOutput,
      wait_ms: Type.Number(),
      waiting_ms: Type.Number(),
    }),
  ),
});
export type LockState = Static<typeof LockState>;

export const LockList = Type.Object({
  locks: Type.Array(LockState),
  next_cursor: NullableString,
  total: Type.Integer({ description: "Locks that are held or asked for in the whole cluster." }),
  waiters: Type.Integer(),
});

export const SetAcquireBody = Type.Object(
  {
    locks: Type.Array(Type.Object({ name: LockName, mode: Type.Optional(Mode) }, closed), {
      minItems: 1,
      maxItems: httpLimits.maxKeysPerSet,
    }),
    ...actorFields,
    ttl_ms: Type.Optional(TtlMs),
    wait_ms: Type.Optional(WaitMs),
    reentrant: Type.Optional(Type.Boolean()),
  },
  closed,
);
export const SetGranted = Type.Object({
  granted: Type.Literal(true),
  owner: Type.String(),
  session_id: NullableDecimal,
  locks: Type.Array(Type.Object({ name: Type.String(), mode: ModeOutput, fence: Decimal })),
  expires_in_ms: NullableNumber,
  leader: NullableString,
  term: Type.Number(),
  request_id: Type.String(),
});
export const SetReleaseBody = Type.Object(
  {
    locks: Type.Array(Type.Object({ name: LockName, fence: DecimalInput }, closed), { minItems: 1, maxItems: httpLimits.maxKeysPerSet }),
    ...actorFields,
  },
  closed,
);
export const SetReleased = Type.Object({ released: Type.Literal(true), names: Type.Array(Type.String()), request_id: Type.String() });

export const GraphEdge = Type.Object({
  waiter: Type.String(),
  holder: Type.String(),
  name: Type.String(),
  mode: ModeOutput,
  kind: Type.Enum(["hard", "order"], { description: "`hard` waits for a holder, `order` stands behind an earlier waiter." }),
  waiting_ms: Type.Number(),
});
export const Resolution = Type.Object({
  at_ms: Type.Number({ description: "Group time, Unix milliseconds." }),
  victim: Type.String(),
  name: Type.String(),
  cycle: Type.Array(CycleStep),
});
export const LockGraph = Type.Object({
  edges: Type.Array(GraphEdge),
  cycles: Type.Array(Type.Array(Type.String()), { description: "Empty: a cycle is resolved in the same log entry that would close it." }),
  last_resolutions: Type.Array(Resolution),
  victim_policy: Type.String(),
  truncated: Type.Boolean(),
});

export const FenceCheckBody = Type.Object({ name: LockName, fence: DecimalInput }, closed);
export const FenceChecked = Type.Object({
  valid: Type.Boolean({ description: "The fence was that of a current hold at some instant of this call." }),
  name: Type.String(),
  fence: Decimal,
  last_fence: Decimal,
});
