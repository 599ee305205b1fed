import { Type, type Static } from "typebox";
import { httpLimits } from "../limits.ts";
import { Decimal, DecimalInput, IdempotencyInBody, LockName, NullableString } from "./common.ts";

const closed = { additionalProperties: false } as const;

/** Keys and namespaces are named like locks. */
export const CacheKey = Type.String({
  minLength: 1,
  maxLength: httpLimits.maxCacheKeyBytes,
  format: "lock-name",
  description: "1 to 512 bytes of UTF-8, any character. `.` and `..` travel in bodies only.",
  examples: ["item:123"],
});
export const Namespace = Type.String({
  minLength: 1,
  maxLength: httpLimits.maxNameBytes,
  format: "lock-name",
  description: "`default` when not given.",
  examples: ["sessions"],
});
export const Tag = Type.String({
  minLength: 1,
  maxLength: httpLimits.maxCacheTagBytes,
  format: "owner-name",
  description: "1 to 256 bytes of UTF-8.",
});
/** In a query, as people type it. */
export const Flag = Type.Enum(["1", "0", "true", "false"]);
export const CacheConsistency = Type.Enum(["linearizable", "strict", "stale"], {
  description:
    "`linearizable` (default): as the namespace's mode says. `strict`: a majority confirms this one read. `stale`: what this node has, however late it is, also without a leader.",
});
export const Encoding = Type.Enum(["json", "base64"], {
  description: "`json` (default): a value that is JSON as JSON, any other as base64. `base64`: always as base64.",
});
export const TimeToLive = Type.Integer({
  minimum: 1,
  maximum: httpLimits.maxDurationMs,
  description: "Gone after so long; the namespace's when not given.",
});
const Base64 = Type.String({ pattern: "^[A-Za-z0-9+/]*={0,2}$", description: "A value that is not JSON." });
export const LineState = Type.String({
  description:
    "Of the copy: M (the only one, just written), E (the only one), S (beside others), I (none); IS_D, IS_D_I, IM_D, SM_D while a fill or a write is on its way.",
  examples: ["S"],
});
export const Source = Type.Enum(["cache", "database", "peer", "origin"], {
  description:
    "`cache`: this node's own copy, no network. `database`: the stored value. `peer`: another node's copy. `origin`: just loaded from the namespace's origin.",
});
const LoadToken = Type.String({
  pattern: "^(0|[1-9][0-9]{0,15})\\.(0|[1-9][0-9]{0,15})$",
  description: "What a loader sends with its value: it is stored only if nothing has changed since (rule M8).",
  examples: ["0.17"],
});
const IfFence = Type.Object(
  { lock: LockName, fence: DecimalInput },
  { ...closed, description: "Only if no later holder of the lock has written (rule K5)." },
);

const Revalidation = Type.Enum(["behind", "wait"], {
  description:
    "For namespaces with an `origin`: load the value from there again, whatever is left of its time. `behind`: what is stored is the answer, and the load comes after it, once a second for each key and node at most. " +
    "`wait`: the answer is what the origin said after the call came, and from then on everybody's; 503 `origin_unavailable` when it says nothing, and what is stored stays. It takes the place of what was put here, too; what still waits for the origin (`write` behind) is never replaced.",
});

// ── Values ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const ReadQuery = Type.Object(
  {
    namespace: Type.Optional(Namespace),
    consistency: Type.Optional(CacheConsistency),
    allow_stale: Type.Optional(Flag),
    encoding: Type.Optional(Encoding),
    explain: Type.Optional(Flag),
    revalidate: Type.Optional(Revalidation),
  },
  closed,
);
export type ReadQuery = Static<typeof ReadQuery>;
const content = {
  value: Type.Unknown({ description: "The JSON value; null beside `value_base64`, and when there is nothing." }),
  value_base64: Type.Optional(Base64),
};
const read = {
  key: Type.String(),
  namespace: Type.String(),
  ...content,
  version: Type.String({
    description: "Rises with every change of the key, also across deletion; 0 = there is nothing.",
    examples: ["17"],
  }),
  state: LineState,
  source: Source,
  tags: Type.Array(Type.String()),
  ttl_ms: Type.Union([Type.Number(), Type.Null()], { description: "What was left of its time; null = for ever." }),
  token: LoadToken,
  stale: Type.Optional(Type.Literal(true, { description: "Its time was over, and it is being loaded again from the namespace's origin." })),
};
export const CacheEntry = Type.Object({
  ...read,
  found: Type.Enum(["value", "negative"], { description: "`negative`: somebody stored that there is nothing." }),
});
const Transition = Type.Object({
  from: LineState,
  to: LineState,
  at: Type.Number({ description: "Unix milliseconds by that node's clock." }),
});
export const CacheExplained = Type.Object({
  key: Type.String(),
  namespace: Type.String(),
  shard: Type.Integer(),
  home: Type.String({ description: "Leader of the key's shard: every write of the key goes through it." }),
  term: Type.Integer(),
  phase: Type.Enum(["recovering", "open", "closing", "handed"], {
    description: "`recovering`: a new home, which writes when nobody can have a lease of a former one.",
  }),
  version: Decimal,
  state: LineState,
  tags: Type.Array(Type.String()),
  ttl_ms: Type.Union([Type.Number(), Type.Null()]),
  directory: Type.String({
    description:
      "What the home knows: U nobody has a copy, S some have, X one has it alone; B_Read, B_Inv, B_Commit while an operation is under way.",
  }),
  owner: NullableString,
  sharers: Type.Array(Type.Object({ node: Type.String(), incarnation: Decimal, lease_left_ms: Type.Number() }), {
    description: "Who may have a copy, as the home knows.",
  }),
  queued: Type.Integer({ description: "Operations that wait." }),
  waiting_for: Type.Array(Type.String(), { description: "Holders that the present write waits for." }),
  behind: Type.Union(
    [
      Type.Object({
        version: Decimal,
        deleted: Type.Boolean(),
        for_ms: Type.Number({ description: "For how long the origin has been behind with this key." }),
      }),
      Type.Null(),
    ],
    { description: "The write of this key that the namespace's origin does not have yet; null = it has all." },
  ),
  copies: Type.Array(
    Type.Object({
      node: Type.String(),
      state: LineState,
      version: Decimal,
      lease_left_ms: Type.Number({ description: "Of that node's lease from the key's home." }),
      age_ms: Type.Number(),
      transitions: Type.Array(Transition, { description: "The last ones, oldest first." }),
    }),
    { description: "What each node says of its own copy, the asked one first." },
  ),
  silent: Type.Array(Type.String(), { description: "Nodes that did not answer in time." }),
});
export const CacheReadAnswer = Type.Union([CacheEntry, CacheExplained], { description: "With `explain=1` the second; it reads nothing." });

export const NamespaceQuery = Type.Object({ namespace: Type.Optional(Namespace) }, closed);
export const PutBody = Type.Object(
  {
    value: Type.Optional(Type.Unknown({ description: "Any JSON value." })),
    value_base64: Type.Optional(Base64),
    negative: Type.Optional(Type.Literal(true, { description: "Instead of a value: it is known that there is nothing." })),
    tags: Type.Optional(
      Type.Array(Tag, { maxItems: httpLimits.maxCacheTags, uniqueItems: true, description: "To invalidate several keys in one call." }),
    ),
    ttl_ms: Type.Optional(TimeToLive),
    if_version: Type.Optional(DecimalInput),
    only_if: Type.Optional(Type.Enum(["absent", "present"], { description: "Only if there is nothing, or something." })),
    token: Type.Optional(LoadToken),
    if_fence: Type.Optional(IfFence),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export type PutBody = Static<typeof PutBody>;
const written = { key: Type.String(), namespace: Type.String(), version: Decimal, state: LineState, request_id: Type.String() };
export const CacheWritten = Type.Object(written);
export const DeleteQuery = Type.Object(
  {
    namespace: Type.Optional(Namespace),
    if_version: Type.Optional(Type.String({ pattern: "^(0|[1-9][0-9]{0,15})$", description: "Only this version." })),
    fence_lock: Type.Optional(LockName),
    fence: Type.Optional(
      Type.String({ pattern: "^(0|[1-9][0-9]{0,15})$", description: "Only if no later holder of `fence_lock` has written (rule K5)." }),
    ),
  },
  closed,
);
export const CacheDeleted = Type.Object({
  deleted: Type.Boolean({ description: "False: there was nothing." }),
  key: Type.String(),
  namespace: Type.String(),
  version: Decimal,
  request_id: Type.String(),
});
export const IncrementBody = Type.Object(
  {
    by: Type.Optional(
      Type.Integer({
        minimum: -9_007_199_254_740_991,
        maximum: 9_007_199_254_740_991,
        description: "1 when not given; negative counts down.",
      }),
    ),
    ttl_ms: Type.Optional(TimeToLive),
    if_fence: Type.Optional(IfFence),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const CacheIncremented = Type.Object({ ...written, value: Type.Integer({ description: "What it came to." }) });
export const CopiesDropped = Type.Object({ invalidated: Type.Literal(true), key: Type.String(), namespace: Type.String() });

export const BulkBody = Type.Object(
  {
    keys: Type.Array(CacheKey, { minItems: 1, maxItems: httpLimits.maxCacheKeysPerRead }),
    namespace: Type.Optional(Namespace),
    consistency: Type.Optional(CacheConsistency),
    encoding: Type.Optional(Encoding),
  },
  closed,
);
export type BulkBody = Static<typeof BulkBody>;
export const BulkRead = Type.Object({
  entries: Type.Array(
    Type.Union([
      Type.Object({ ...read, found: Type.Enum(["value", "negative", "absent"]) }),
      Type.Object({ key: Type.String(), found: Type.Literal("unknown"), code: Type.String(), detail: Type.String() }),
    ]),
    { description: "In the order of the keys. `unknown`: this key could not be read, and why." },
  ),
});

export const WarmBody = Type.Object(
  { keys: Type.Array(CacheKey, { minItems: 1, maxItems: httpLimits.maxCacheKeysPerRead }), namespace: Type.Optional(Namespace) },
  closed,
);
export type WarmBody = Static<typeof WarmBody>;
export const Warmed = Type.Object({
  namespace: Type.String(),
  loaded: Type.Integer({ description: "Values that came from the namespace's origin just now, and are stored." }),
  stored: Type.Integer({ description: "Values that were stored already." }),
  absent: Type.Integer({ description: "Keys that nobody has a value of." }),
  failed: Type.Array(Type.Object({ key: Type.String(), code: Type.String(), detail: Type.String() }), {
    description: "Keys that could not be read, and why.",
  }),
});

export const InvalidateBody = Type.Object(
  {
    namespace: Type.Optional(Namespace),
    tag: Type.Optional(Tag),
    all: Type.Optional(Type.Literal(true, { description: "Everything of the namespace, instead of a tag." })),
    request_id: Type.Optional(IdempotencyInBody),
  },
  closed,
);
export const Invalidated = Type.Object({
  invalidated: Type.Literal(true),
  namespace: Type.String(),
  tag: NullableString,
  shards: Type.Integer({ description: "Shards that have applied it: all." }),
});
export const WatchQuery = Type.Object(
  {
    namespace: Type.Optional(Namespace),
    prefix: Type.Optional(Type.String({ maxLength: httpLimits.maxCacheKeyBytes, description: "Only keys that begin so." })),
    from: Type.Optional(
      Type.String({ minLength: 1, maxLength: 4_096, description: "Go on behind this event id; the header Last-Event-ID does the same." }),
    ),
  },
  closed,
);

// ── Namespaces ──────────────────────────────────────────────────────────────────────────────────────────────────────

const settings = {
  mode: Type.Enum(["write-through", "strict", "ttl"], {
    description:
      "Fixed when it is made. `write-through`: copies under leases, never stale. `strict`: no copies, a round per read, no clocks. `ttl`: copies that may be stale for `stale_ms`.",
  }),
  stale_ms: Type.Integer({ minimum: 0, maximum: httpLimits.maxDurationMs, description: "With mode `ttl`: how stale a copy may be." }),
  ttl_ms: Type.Integer({
    minimum: 0,
    maximum: httpLimits.maxDurationMs,
    description: "Time to live of values without their own; 0 = for ever.",
  }),
  negative_ttl_ms: Type.Integer({ minimum: 0, maximum: httpLimits.maxDurationMs, description: "The same of negative entries." }),
  max_entries: Type.Integer({
    minimum: 0,
    maximum: 1_000_000_000,
    description: "Values in each shard; beyond it puts are refused (507), nothing is pushed out. 0 = no limit of its own.",
  }),
  max_bytes: Type.Integer({ minimum: 0, maximum: 1_125_899_906_842_624, description: "The same in bytes." }),
  copy_entries: Type.Integer({
    minimum: 0,
    maximum: 16_777_216,
    description: "Copies that a node keeps of this namespace alone; 0 = among those of all others (CACHE_CAPACITY).",
  }),
  copy_bytes: Type.Integer({ minimum: 0, maximum: 1_099_511_627_776, description: "The same in bytes." }),
  policy: Type.Enum(["wtinylfu", "lru", "lfu", "s3fifo", "sieve", "arc"], {
    description: "Which copies go first, where the namespace has bounds of its own.",
  }),
  origin: Type.Enum(["none", "redis", "postgres"], {
    description:
      "Where a value is read from that nobody has stored: the Redis or PostgreSQL of CACHE_ORIGIN_…, which every node must be able to reach. What is written here is written there only with `write` behind.",
  }),
  write: Type.Enum(["here", "behind"], {
    description:
      "With an origin. `here`: writes stay here. `behind`: puts, deletes and increments are queued in the log with the write itself, and brought to the origin afterwards, each key's latest.",
  }),
  revalidate_ms: Type.Integer({
    minimum: 0,
    maximum: httpLimits.maxDurationMs,
    description:
      "With an origin: for so long after its time a value is still read (`stale: true`) while it is loaded again, once in the whole cluster. What is written through Trivet is never read old. 0 = not at all.",
  }),
  max_behind: Type.Integer({
    minimum: 0,
    maximum: 100_000,
    description: "With `write` behind: keys in each shard that may wait for the origin; beyond it writes are refused (503). 0 = 100 000.",
  }),
  compress_over: Type.Integer({
    minimum: 0,
    maximum: httpLimits.maxCacheValueBytes,
    description:
      "Values of more bytes, and of more than 64, are stored compressed (Brotli) where that makes them smaller; `max_bytes` counts what is stored. Readers get what was written. 0 = none is.",
  }),
};
export const NamespaceSettings = Type.Object(settings);
export const NamespaceBody = Type.Partial(Type.Object({ ...settings, request_id: IdempotencyInBody }), closed);
export type NamespaceBody = Static<typeof NamespaceBody>;
const summary = {
  name: Type.String(),
  id: Decimal,
  version: Type.Integer({ description: "Rises with every change of the settings." }),
  created_at: Type.Union([Type.Number(), Type.Null()], { description: "Group time, Unix milliseconds; null = it was always there." }),
  settings: NamespaceSettings,
};
export const NamespaceSummary = Type.Object(summary);
export const NamespaceDefined = Type.Object({ ...summary, created: Type.Boolean() });
export const NamespaceList = Type.Object({ namespaces: Type.Array(NamespaceSummary), next_cursor: NullableString });
export const NamespaceDeleted = Type.Object({ deleted: Type.Literal(true), name: Type.String() });

// ── What there is, and whether it is right ──────────────────────────────────────────────────────────────────────────

const Counts = Type.Record(Type.String(), Type.Number());
export const CacheState = Type.Object({
  node_id: Type.String(),
  keys: Type.Array(
    Type.Object({ namespace: Type.String(), key: Type.String(), state: LineState, version: Decimal, age_ms: Type.Number() }),
    { description: "Copies of this node, in no order that means anything." },
  ),
  next_cursor: NullableString,
  entries: Type.Integer(),
  bytes: Type.Integer(),
  max_entries: Type.Integer({ description: "CACHE_CAPACITY." }),
  max_bytes: Type.Integer({ description: "CACHE_MAX_BYTES." }),
  policy: Type.String(),
  statistics: Type.Object({
    hits: Type.Integer(),
    misses: Type.Integer(),
    hit_ratio: Type.Number({ description: "hits / (hits + misses); 0 without any." }),
    writes: Type.Integer(),
    evictions: Type.Integer(),
    invalidations_sent: Type.Integer(),
    invalidations_received: Type.Integer(),
    lease_lapses: Type.Integer(),
    behind_keys: Type.Integer({ description: "Keys of the shards that this node leads whose latest write their origin does not have." }),
    behind_bytes: Type.Integer(),
    behind_ms: Type.Integer({ description: "For how long the longest of them has waited." }),
    states: Counts,
    transitions: Type.Record(Type.String(), Type.Number(), { description: "By `from>to`." }),
  }),
});
export const CacheVerified = Type.Object({
  ok: Type.Boolean(),
  keys_checked: Type.Integer(),
  violations: Type.Array(Type.Object({ invariant: Type.String(), namespace: Type.String(), key: Type.String(), detail: Type.String() })),
  silent: Type.Array(Type.String(), { description: "Nodes that did not answer; 503 when nothing is wrong with the others." }),
  truncated: Type.Array(Type.String(), {
    description: "Nodes with more than 100 000 copies, of which so many were looked at: of the rest nothing is known, and `ok` is false.",
  }),
});
