import { Type } from "typebox";
import {
  CycleStep,
  Decimal,
  DecimalInput,
  Holder,
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
import { LogEntry } from "./cluster.ts";
import { GraphEdge, Resolution } from "./locks.ts";

const closed = { additionalProperties: false } as const;

export const Greeting = Type.Object({
  message: Type.String({ examples: ["Hello from Node node1"] }),
  port: Type.Integer(),
  peers: Type.Array(Type.String(), { description: "URLs of the other nodes." }),
  node_id: Type.String(),
  cluster_id: NullableString,
  roles: Type.Array(Type.String()),
  phase: Type.String(),
  leader: NullableString,
  version: Type.String(),
  docs: Type.String(),
});

// ── S0 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const S0AcquireQuery = Type.Object(
  {
    lock_type: Type.Optional(Mode),
    timeout: Type.Optional(Type.Number({ minimum: 0, maximum: 600, description: "Seconds to wait in line; 0 (default) answers at once." })),
    wait_ms: Type.Optional(WaitMs),
    ttl_ms: Type.Optional(TtlMs),
    owner: Type.Optional(Owner),
  },
  closed,
);
export const S0Acquired = Type.Object({
  status: Type.Literal("acquired"),
  lock_name: Type.String(),
  lock_type: ModeOutput,
  owner: Type.String(),
  leader: NullableString,
  fencing_token: Decimal,
  fence: Decimal,
  expires_in_ms: NullableNumber,
  request_id: Type.String(),
});
export const S0Status = Type.Object({
  lock_name: Type.String(),
  status: Type.Enum(["available", "held", "delayed"]),
  type: Type.Union([ModeOutput, Type.Null()]),
  owners: Type.Array(Type.String()),
  waiters: Type.Array(Type.String()),
  holders: Type.Array(Holder),
  fencing_token: NullableDecimal,
  leader: NullableString,
});
export const S0ReleaseQuery = Type.Object(
  { owner: Type.Optional(Owner), fence: Type.Optional(Type.String({ pattern: "^(0|[1-9][0-9]{0,15})$" })) },
  closed,
);
export const S0Released = Type.Object({
  status: Type.Literal("released"),
  lock_name: Type.String(),
  released_by: Type.String(),
  granted_to: Type.Array(Type.String()),
  fence: Decimal,
  remaining: Type.Integer(),
  request_id: Type.String(),
});
export const S0Locks = Type.Object({
  locks: Type.Record(Type.String(), S0Status, { description: "By name." }),
  wait_for_graph: Type.Record(Type.String(), Type.Array(Type.String()), { description: "Waiter to those it waits for." }),
  leader: NullableString,
  is_leader: Type.Boolean(),
  total: Type.Integer(),
  next_cursor: NullableString,
});

// ── S4 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

export const S4Health = Type.Object({
  status: Type.Literal("ok"),
  node_id: Type.String(),
  leader: Type.String(),
  term: Type.Number(),
  role: Type.String(),
});
export const S4Unhealthy = Type.Object({
  status: Type.Literal("no_leader"),
  node_id: Type.String(),
  leader: Type.Null(),
  term: Type.Number(),
  role: Type.String(),
  code: Type.Literal("no_leader"),
  detail: Type.String(),
  phase: Type.String(),
});
export const S4HeartbeatBody = Type.Object(
  { leader: Type.Optional(NullableString), term: Type.Optional(Type.Integer({ minimum: 0 })) },
  closed,
);
export const S4Heartbeat = Type.Object({ status: Type.Literal("ok"), leader: NullableString, term: Type.Number() });
export const S4AppendBody = Type.Object(
  {
    type: Type.Enum(["acquire", "release"]),
    name: LockName,
    owner: Type.Optional(Owner),
    mode: Type.Optional(Mode),
    fence: Type.Optional(DecimalInput),
    ttl_ms: Type.Optional(TtlMs),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const S4Appended = Type.Object({
  status: Type.Literal("ok"),
  success: Type.Literal(true),
  index: Decimal,
  owner: Type.Union([Type.String(), Type.Null()]),
  fence: Decimal,
  fencing_token: Decimal,
  request_id: Type.String(),
});
export const S4LogQuery = Type.Object(
  {
    start: Type.Optional(Type.Integer({ default: 0, description: "First index, inclusive; negative counts from the end." })),
    end: Type.Optional(Type.Integer({ default: -1, description: "Last index, inclusive; negative counts from the end." })),
  },
  closed,
);
export const S4Log = Type.Object({ log: Type.Array(LogEntry), first_index: Decimal, last_index: Decimal, commit_index: Decimal });
export const S4AcquireBody = Type.Object(
  {
    name: LockName,
    owner: Type.Optional(Owner),
    session_id: Type.Optional(DecimalInput),
    mode: Type.Optional(Mode),
    ttl_ms: Type.Optional(TtlMs),
    wait_ms: Type.Optional(WaitMs),
    reentrant: Type.Optional(Type.Boolean()),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const S4Acquired = Type.Object({
  success: Type.Literal(true),
  status: Type.Literal("acquired"),
  resource: Type.String(),
  owner: Type.String(),
  mode: ModeOutput,
  fence: Decimal,
  fencing_token: Decimal,
  expires_in_ms: NullableNumber,
  leader: NullableString,
  term: Type.Number(),
  request_id: Type.String(),
});
export const S4ReleaseBody = Type.Object(
  {
    name: LockName,
    owner: Type.Optional(Owner),
    session_id: Type.Optional(DecimalInput),
    fence: Type.Optional(DecimalInput),
    mode: Type.Optional(Mode),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const S4Released = Type.Object({
  success: Type.Literal(true),
  status: Type.Literal("released"),
  resource: Type.String(),
  owner: Type.String(),
  fence: Decimal,
  remaining: Type.Integer(),
  granted_to: Type.Array(Type.String()),
  request_id: Type.String(),
});
export const S4WaitFor = Type.Object({
  edges: Type.Array(Type.Array(Type.String(), { minItems: 2, maxItems: 2 }), { description: "Pairs of waiter and holder." }),
  details: Type.Array(GraphEdge),
  cycles: Type.Array(Type.Array(Type.String())),
  last_resolutions: Type.Array(Resolution),
  victim_policy: Type.String(),
  truncated: Type.Boolean(),
});

export const MetricsQuery = Type.Object({ format: Type.Optional(Type.Enum(["json", "prometheus", "text"])) }, closed);
export const MetricsJson = Type.Object({
  cache_hits: Type.Number(),
  cache_misses: Type.Number(),
  cache_stats: Type.Object({ size: Type.Number(), maxsize: Type.Number(), states: Type.Record(Type.String(), Type.Number()) }),
  node_id: Type.String(),
  system: Type.Record(Type.String(), Type.Unknown()),
  raft: Type.Record(Type.String(), Type.Unknown()),
  locks: Type.Record(Type.String(), Type.Unknown()),
  cache: Type.Record(Type.String(), Type.Unknown()),
  queue: Type.Record(Type.String(), Type.Unknown()),
  metrics: Type.Record(Type.String(), Type.Unknown(), { description: "Every Prometheus family of this node, as numbers." }),
});
export { CycleStep };
