import { Type } from "typebox";
import type { ErrorCode } from "../errors.ts";
import * as s from "../schemas/cache.ts";
import { Limit } from "../schemas/common.ts";
import { cacheValueAliases, commandErrors, readErrors, route } from "./definition.ts";

const KeyParams = Type.Object({ key: s.CacheKey });
const NamespaceParams = Type.Object({ namespace: s.Namespace });
const closed = { additionalProperties: false } as const;
const Cursor = Type.String({ maxLength: 8_192, description: "`next_cursor` of the page before." });

/** Errors of every write of a cached value. */
export const cacheErrors = ["namespace_unknown", ...commandErrors] as const satisfies readonly ErrorCode[];
/** Of writes that are queued for an origin, or depend on what it has. */
const behindErrors = ["origin_behind", "origin_unavailable"] as const satisfies readonly ErrorCode[];
/** Errors of every question about one. */
export const cacheReadErrors = [
  "namespace_unknown",
  "conflict",
  "origin_unavailable",
  "storage_unavailable",
  "commit_timeout",
  ...readErrors,
] as const satisfies readonly ErrorCode[];

/** Keys own everything below /v1/cache/, so what is not a key has paths beside it. */
export const cacheRoutes = {
  getCached: route({
    method: "GET",
    path: "/v1/cache/:key",
    tag: "cache",
    summary: "Read a value",
    description:
      "Linearizable through every node, from this node's own copy where it has one. Nothing there: 404, with the `token` for a loader. " +
      "With `explain=1` nothing is read: the answer says where the value and its copies are, and who waits for whom.",
    params: KeyParams,
    query: s.ReadQuery,
    responses: { 200: s.CacheReadAnswer },
    errors: ["cache_miss", "cache_full", ...cacheReadErrors],
  }),
  putCached: route({
    method: "PUT",
    path: "/v1/cache/:key",
    tag: "cache",
    summary: "Store a value",
    description:
      "Answered when it is on the disks of a majority and no other copy can be read any more. `if_version` is compare-and-set (0 = only if there is nothing). " +
      "With `token` it is stored only if nothing has changed since the read the token is of.",
    params: KeyParams,
    query: s.NamespaceQuery,
    body: s.PutBody,
    responses: { 200: s.CacheWritten },
    errors: ["version_mismatch", "load_stale", "cache_full", ...behindErrors, "fence_behind", ...cacheErrors],
    fields: cacheValueAliases,
    idempotent: true,
  }),
  deleteCached: route({
    method: "DELETE",
    path: "/v1/cache/:key",
    tag: "cache",
    summary: "Delete a value",
    params: KeyParams,
    query: s.DeleteQuery,
    responses: { 200: s.CacheDeleted },
    errors: ["version_mismatch", ...behindErrors, "fence_behind", ...cacheErrors],
    idempotent: true,
  }),
  incrementCached: route({
    method: "POST",
    path: "/v1/cache/:key/increment",
    tag: "cache",
    summary: "Add to a whole number",
    description: "What is absent counts as 0. Decided in the log: no increment is lost, and a repeat with its Idempotency-Key counts once.",
    params: KeyParams,
    query: s.NamespaceQuery,
    body: s.IncrementBody,
    bodyOptional: true,
    responses: { 200: s.CacheIncremented },
    errors: ["not_a_number", "cache_full", ...behindErrors, "fence_behind", ...cacheErrors],
    fields: cacheValueAliases.filter(({ to }) => to === "ttl_ms"),
    idempotent: true,
  }),
  invalidateCached: route({
    method: "POST",
    path: "/v1/cache/:key/invalidate",
    tag: "cache",
    summary: "Drop every copy of a value",
    description: "The stored value stays; DELETE removes that.",
    params: KeyParams,
    query: s.NamespaceQuery,
    responses: { 200: s.CopiesDropped },
    errors: cacheReadErrors,
  }),
  readCachedKeys: route({
    method: "POST",
    path: "/v1/cache-bulk",
    tag: "cache",
    summary: "Read several values",
    description: "Each key for itself: not one moment for all.",
    body: s.BulkBody,
    responses: { 200: s.BulkRead },
    errors: cacheReadErrors,
  }),
  warmCache: route({
    method: "POST",
    path: "/v1/cache-warm",
    tag: "cache",
    summary: "Warm keys up",
    description:
      "Reads the keys without answering their values: what only the namespace's origin has is loaded, once in the whole cluster, and this node keeps copies, as with any read. " +
      "Ask again with the next keys; `trivet cache warm` does that, with progress.",
    body: s.WarmBody,
    responses: { 200: s.Warmed },
    errors: cacheReadErrors,
  }),
  invalidateCache: route({
    method: "POST",
    path: "/v1/cache-invalidate",
    tag: "cache",
    summary: "End all values with a tag, or of a namespace",
    description:
      "Answered when every shard has applied it and no copy of theirs can be read any more. Not one moment over all shards. A loader that read before it stores nothing.",
    body: s.InvalidateBody,
    responses: { 200: s.Invalidated },
    errors: cacheErrors,
    idempotent: true,
  }),
  watchCache: route({
    method: "GET",
    path: "/v1/cache-watch",
    tag: "cache",
    summary: "Follow changes (server-sent events)",
    description:
      "Events `put`, `delete`, `expire` and `invalidate` after they were applied, each shard in its own order; the event id is the position to go on from. " +
      "A position that is too old is 410 (or an event `closed`, when that is known later). A reader that is too slow is disconnected after an event `closed` with the reason.",
    query: s.WatchQuery,
    responses: { 200: Type.String() },
    contentType: "text/event-stream",
    errors: ["position_gone", ...cacheReadErrors],
  }),
  putNamespace: route({
    method: "PUT",
    path: "/v1/cache-namespaces/:namespace",
    tag: "cache",
    summary: "Make a namespace, or give it these settings",
    administers: "anchored",
    description:
      "Settings left out keep their value, or get the default. 201 when the namespace is new. With `If-None-Match: *` an existing one is 409. `mode` is fixed: another one is 409.",
    params: NamespaceParams,
    body: s.NamespaceBody,
    bodyOptional: true,
    responses: { 200: s.NamespaceDefined, 201: s.NamespaceDefined },
    errors: ["namespace_exists", "namespace_fixed", ...cacheErrors],
    idempotent: true,
  }),
  patchNamespace: route({
    method: "PATCH",
    path: "/v1/cache-namespaces/:namespace",
    tag: "cache",
    summary: "Change settings of a namespace",
    administers: "anchored",
    params: NamespaceParams,
    body: s.NamespaceBody,
    responses: { 200: s.NamespaceSummary },
    errors: ["namespace_fixed", ...cacheErrors],
    idempotent: true,
  }),
  deleteNamespace: route({
    method: "DELETE",
    path: "/v1/cache-namespaces/:namespace",
    tag: "cache",
    summary: "Delete a namespace with all its values",
    administers: "anchored",
    description: "`default` cannot go.",
    params: NamespaceParams,
    responses: { 200: s.NamespaceDeleted },
    errors: cacheErrors,
    idempotent: true,
  }),
  getNamespace: route({
    method: "GET",
    path: "/v1/cache-namespaces/:namespace",
    tag: "cache",
    summary: "Settings of a namespace",
    params: NamespaceParams,
    responses: { 200: s.NamespaceSummary },
    errors: cacheReadErrors,
  }),
  listNamespaces: route({
    method: "GET",
    path: "/v1/cache-namespaces",
    tag: "cache",
    summary: "Namespaces by name",
    query: Type.Object(
      { prefix: Type.Optional(Type.String({ maxLength: 512 })), cursor: Type.Optional(Cursor), limit: Type.Optional(Limit) },
      closed,
    ),
    responses: { 200: s.NamespaceList },
    errors: cacheReadErrors,
  }),
  cacheState: route({
    method: "GET",
    path: "/v1/cache-state",
    tag: "cache",
    summary: "Copies and numbers of the asked node",
    query: Type.Object({ cursor: Type.Optional(Cursor), limit: Type.Optional(Limit) }, closed),
    responses: { 200: s.CacheState },
    errors: [],
  }),
  cacheVerify: route({
    method: "GET",
    path: "/v1/cache-verify",
    tag: "cache",
    summary: "Check the invariants over all nodes, now",
    description:
      "For every key that somebody has a copy of: at most one M or E, the copies equal the stored value, the home knows of every copy. 503 names a node that does not answer; `ok` is false, too, when a node has more copies than are looked at of one.",
    responses: { 200: s.CacheVerified },
    errors: ["peer_silent", ...cacheReadErrors],
  }),
} as const;
