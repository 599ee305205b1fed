import { Type, type Static } from "typebox";
import { errorCodes } from "../errors.ts";
import { httpLimits } from "../limits.ts";

/** Names of locks: 1–512 bytes of UTF-8, any character. The format `lock-name` checks bytes and well-formedness. */
export const LockName = Type.String({
  minLength: 1,
  maxLength: httpLimits.maxNameBytes,
  format: "lock-name",
  description: "1 to 512 bytes of UTF-8, any character. `.` and `..` travel in bodies only.",
  examples: ["orders/42"],
});
export const Owner = Type.String({
  minLength: 1,
  maxLength: httpLimits.maxOwnerBytes,
  format: "owner-name",
  description: "Who waits and holds: one asynchronous flow of the caller, 1 to 256 bytes.",
  examples: ["billing-7"],
});
/** A number below 2^53 as a decimal string: fences, indices, session ids (contract: never JSON numbers in answers). */
export const Decimal = Type.String({
  pattern: "^(0|[1-9][0-9]{0,15})$",
  description: "A number below 2^53 as a decimal string.",
  examples: ["17"],
});
/** In requests a plain JSON integer is taken as well. */
export const DecimalInput = Type.Union(
  [Type.String({ pattern: "^(0|[1-9][0-9]{0,15})$" }), Type.Integer({ minimum: 0, maximum: 9_007_199_254_740_991 })],
  {
    description: "A decimal string (or a JSON integer).",
    examples: ["17"],
  },
);
export const NullableDecimal = Type.Union([Decimal, Type.Null()]);
export const NullableString = Type.Union([Type.String(), Type.Null()]);
export const NullableNumber = Type.Union([Type.Number(), Type.Null()]);

export const lockModesInput = ["exclusive", "shared", "update"] as const;
export const Mode = Type.Enum([...lockModesInput], { description: "Lock mode; exclusive when not given." });
export const ModeOutput = Type.Enum(["exclusive", "shared", "update", "permit"], { description: "`permit` = one permit of a semaphore." });

export const WaitMs = Type.Integer({
  minimum: 0,
  maximum: httpLimits.maxWaitMs,
  description: "Wait in line for so long, in milliseconds. 0 (default) answers at once; then nothing stays queued.",
});
export const TtlMs = Type.Integer({ minimum: 100, maximum: 86_400_000, description: "Lease in milliseconds." });
export const Limit = Type.Integer({ minimum: 1, maximum: httpLimits.maxPageItems, default: httpLimits.defaultPageItems });
export const Consistency = Type.Enum(["linearizable", "stale"], {
  description: "`stale` answers from this node's own state without asking the leader.",
  default: "linearizable",
});
export const IdempotencyInBody = Type.String({
  minLength: 1,
  maxLength: httpLimits.maxIdempotencyKeyLength,
  description: "Same as the header Idempotency-Key.",
});

export const Holder = Type.Object({
  owner: Type.String(),
  session_id: NullableDecimal,
  mode: ModeOutput,
  fence: Decimal,
  expires_in_ms: Type.Union([Type.Number(), Type.Null()], {
    description: "Lease left; null where neither this node nor the leader could tell.",
  }),
});
export type Holder = Static<typeof Holder>;

export const CycleStep = Type.Object({
  owner: Type.String(),
  waits_for: Type.String({ description: "Lock the owner waits for." }),
  mode: ModeOutput,
  held_by: Type.String({ description: "Who holds it, or stands before the owner in line." }),
});
export type CycleStep = Static<typeof CycleStep>;

/** Outcome of one receipt of an ack, nack, extend or release. */
export const ReceiptResult = Type.Object({
  receipt: Type.String(),
  outcome: Type.Enum(["settled", "stale", "unknown", "foreign", "unknown_fate"], {
    description:
      "`settled`: held, and done as asked. `stale`: its lease is over. `unknown`: no such message any more. `foreign`: no receipt, or one of another queue. " +
      "`unknown_fate`: no answer came in time; the same call may be sent again.",
  }),
});

/** RFC 9457 problem with this project's members. */
export const Problem = Type.Object(
  {
    type: Type.String({ examples: ["urn:trivet:error:locked"] }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: "What happened and why." }),
    code: Type.Enum([...errorCodes]),
    error: Type.String({ description: "Same as `title`; kept for clients of the older APIs." }),
    retryable: Type.Boolean(),
    request_id: Type.String(),
    next: Type.Optional(Type.String({ description: "What to do next." })),
    success: Type.Optional(Type.Literal(false, { description: "Only in answers of S4's paths." })),
    field: Type.Optional(Type.String({ description: "The field that is wrong." })),
    expected: Type.Optional(Type.String()),
    reason: Type.Optional(Type.String()),
    retry_after_ms: Type.Optional(Type.Number()),
    leader: Type.Optional(NullableString),
    roles: Type.Optional(Type.Array(Type.String(), { description: "Services of this node." })),
    peers: Type.Optional(Type.Array(Type.String(), { description: "URLs of the other nodes, to try." })),
    term: Type.Optional(Type.Number()),
    outcome: Type.Optional(Type.Literal("unknown")),
    holders: Type.Optional(Type.Array(Holder)),
    waiters: Type.Optional(Type.Integer()),
    cycle: Type.Optional(Type.Array(CycleStep)),
    fence: Type.Optional(Decimal),
    index: Type.Optional(Decimal),
    results: Type.Optional(Type.Array(ReceiptResult, { description: "What became of each receipt, in the order of the call." })),
    highest: Type.Optional(Decimal),
    limit: Type.Optional(Type.String()),
    max: Type.Optional(Type.Number()),
    version: Type.Optional(Decimal),
    token: Type.Optional(Type.String({ description: "What a loader sends with its value (rule M8)." })),
    nodes: Type.Optional(Type.Array(Type.String(), { description: "Nodes that did not answer." })),
    checks: Type.Optional(Type.Array(Type.Object({ name: Type.String(), ok: Type.Boolean(), detail: Type.String() }))),
  },
  { description: "RFC 9457 problem details." },
);
export type Problem = Static<typeof Problem>;
