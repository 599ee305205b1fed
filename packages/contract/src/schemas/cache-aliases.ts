import { Type } from "typebox";
import { httpLimits } from "../limits.ts";
import { CacheKey, Source, TimeToLive } from "./cache.ts";
import { IdempotencyInBody, NullableString } from "./common.ts";

const closed = { additionalProperties: false } as const;
const Mesi = Type.Enum(["M", "E", "S", "I"], { description: "State of the copy; I while one is on its way." });
const Value = Type.Unknown({ description: "The JSON value; other content as base64." });
const both = { data: Value, value: Value, cache_state: Mesi, state: Mesi };
const version = Type.String({ examples: ["17"] });

export const S0Read = Type.Object({ key: Type.String(), ...both, source: Source, version });
export const S0Write = Type.Object(
  {
    value: Type.Unknown({ description: "Any JSON value. S0 calls it `data`." }),
    ttl_ms: Type.Optional(TimeToLive),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const S0Written = Type.Object({
  status: Type.Literal("ok"),
  success: Type.Literal(true),
  key: Type.String(),
  new_data: Value,
  ...both,
  version,
});

/** Optional, so that a call in S0's style is told which path it means (X-02). */
const KeyInQuery = Type.Optional(CacheKey);
export const S4KeyQuery = Type.Object({ key: KeyInQuery }, closed);
export const S4Read = Type.Object({
  success: Type.Literal(true),
  key: Type.String(),
  ...both,
  source: Type.Union([Source, Type.Null()], { description: "Null when there is nothing." }),
  version,
});
export const S4PutBody = Type.Object(
  {
    key: CacheKey,
    value: Type.Unknown({ description: "Any JSON value." }),
    ttl_ms: Type.Optional(TimeToLive),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const S4Written = Type.Object({
  success: Type.Literal(true),
  status: Type.Literal("ok"),
  key: Type.String(),
  cache_state: Mesi,
  state: Mesi,
  version,
});
export const S4InvalidateBody = Type.Object({ key: CacheKey }, closed);
export const S4Invalidated = Type.Object({ success: Type.Literal(true), status: Type.Literal("ok"), key: Type.String() });
export const S4FetchQuery = Type.Object(
  {
    key: KeyInQuery,
    from: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: "The node whose copy it is to be; any that has one when not given." }),
    ),
  },
  closed,
);
export const S4Fetched = Type.Object({
  success: Type.Literal(true),
  key: Type.String(),
  ...both,
  source: Type.Union([Type.Literal("peer"), Type.Null()]),
  version,
  node: Type.Union([Type.String(), Type.Null()], { description: "Whose copy it is; null: no node has one that it may read." }),
});
export const S4StateQuery = Type.Object(
  {
    cursor: Type.Optional(Type.String({ maxLength: 8_192, description: "`next_cursor` of the page before." })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: httpLimits.maxPageItems, default: httpLimits.maxPageItems })),
  },
  closed,
);
export const S4State = Type.Object({
  cache_state: Type.Record(Type.String(), Type.Object({ state: Mesi, age: Type.Number({ description: "Seconds." }) }), {
    description: "Copies of this node in the namespace `default`, by key; GET /v1/cache-state has those of all.",
  }),
  metrics: Type.Object({
    hits: Type.Integer(),
    misses: Type.Integer(),
    invalidations_sent: Type.Integer(),
    invalidations_received: Type.Integer(),
    state_transitions: Type.Integer(),
    hit_ratio: Type.Number(),
  }),
  capacity_used: Type.Integer({ description: "Copies there are, of all namespaces." }),
  capacity_total: Type.Integer(),
  node_id: Type.String(),
  next_cursor: NullableString,
});
