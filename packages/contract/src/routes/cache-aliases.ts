import { Type } from "typebox";
import * as s from "../schemas/cache-aliases.ts";
import { CacheKey } from "../schemas/cache.ts";
import { cacheErrors, cacheReadErrors } from "./cache.ts";
import { cacheValueAliases, reservedCacheWords, route } from "./definition.ts";

const KeyParams = Type.Object({ key: CacheKey });
const reserved = `Not for keys called ${reservedCacheWords.map((word) => `\`${word}\``).join(", ")}: those are reached under /v1 and in S4's bodies only.`;

/** The cache paths of S0, S2 and S4, on the namespace `default`. */
export const cacheAliasRoutes = {
  s0CacheRead: route({
    method: "GET",
    path: "/cache/:key",
    tag: "S0 paths",
    summary: "Read a value",
    description: `\`data\` (S0) and \`value\` (S2) are the same; nothing there is 404. ${reserved}`,
    params: KeyParams,
    responses: { 200: s.S0Read },
    errors: ["cache_miss", ...cacheReadErrors],
    alias: { of: "/v1/cache/:key", source: "S0" },
  }),
  s0CacheWrite: route({
    method: "POST",
    path: "/cache/:key",
    tag: "S0 paths",
    summary: "Store a value",
    description: `\`data\` (S0) or \`value\` (S2). ${reserved}`,
    params: KeyParams,
    body: s.S0Write,
    responses: { 200: s.S0Written },
    errors: ["cache_full", "origin_behind", ...cacheErrors],
    fields: cacheValueAliases,
    idempotent: true,
    alias: { of: "/v1/cache/:key", source: "S0" },
  }),
  s4CacheGet: route({
    method: "GET",
    path: "/cache/get",
    tag: "S4 paths",
    summary: "Read a value",
    description: "`value` is null when there is nothing.",
    query: s.S4KeyQuery,
    responses: { 200: s.S4Read },
    errors: cacheReadErrors,
    alias: { of: "/v1/cache/:key", source: "S4" },
  }),
  s4CachePut: route({
    method: "POST",
    path: "/cache/put",
    tag: "S4 paths",
    summary: "Store a value",
    body: s.S4PutBody,
    responses: { 200: s.S4Written },
    errors: ["cache_full", "origin_behind", ...cacheErrors],
    fields: cacheValueAliases,
    idempotent: true,
    alias: { of: "/v1/cache/:key", source: "S4" },
  }),
  s4CacheInvalidate: route({
    method: "POST",
    path: "/cache/invalidate",
    tag: "S4 paths",
    summary: "Drop every copy of a value",
    description: "The stored value stays: the next read finds it.",
    body: s.S4InvalidateBody,
    responses: { 200: s.S4Invalidated },
    errors: cacheReadErrors,
    alias: { of: "/v1/cache/:key/invalidate", source: "S4" },
  }),
  s4CacheFetch: route({
    method: "GET",
    path: "/cache/fetch",
    tag: "S4 paths",
    summary: "Read another node's copy, without keeping it",
    description: "`value` is null and `state` I when no other node has a copy.",
    query: s.S4FetchQuery,
    responses: { 200: s.S4Fetched },
    errors: cacheReadErrors,
    alias: { of: "/v1/cache/:key", source: "S4" },
  }),
  s4CacheState: route({
    method: "GET",
    path: "/cache/state",
    tag: "S4 paths",
    summary: "Copies and numbers of the asked node",
    description: "At most 1000 keys a page.",
    query: s.S4StateQuery,
    responses: { 200: s.S4State },
    errors: [],
    alias: { of: "/v1/cache-state", source: "S4" },
  }),
} as const;
