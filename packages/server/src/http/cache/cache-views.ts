import type { cacheSchemas } from "@trivet/contract";
import type {
  CacheEntry,
  CacheStatePage,
  CacheStatistics,
  CopyView,
  Explained,
  LoadToken,
  NamespaceSettings,
  NamespaceView,
} from "@trivet/engine";
import { hitRatio } from "../../observability/cache-metrics.ts";
import { valueJson } from "./cache-content.ts";
import { decimal } from "../outcomes.ts";

type Json = Readonly<Record<string, unknown>>;

const whole = (value: number): number => Math.max(0, Math.round(value));
/** 0 = for ever. */
const timeJson = (ttlMs: number): number | null => (ttlMs === 0 ? null : whole(ttlMs));

export const tokenText = ({ version, asOf }: LoadToken): string => `${version}.${asOf}`;
/** Null when a part of it is beyond 2^53; the schema has checked the form. */
export function readToken(text: string): LoadToken | null {
  const [version = Number.NaN, asOf = Number.NaN] = text.split(".").map(Number);
  return Number.isSafeInteger(version) && Number.isSafeInteger(asOf) ? { version, asOf } : null;
}

export function entryJson(entry: CacheEntry, namespace: string, encoding: "json" | "base64" | undefined): Json {
  return {
    key: entry.key,
    namespace,
    found: entry.found,
    ...valueJson(entry.value, encoding),
    version: decimal(entry.version),
    state: entry.state,
    source: entry.source,
    tags: [...entry.tags],
    ttl_ms: timeJson(entry.ttlMs),
    token: tokenText(entry.token),
    ...(entry.isStale === true ? { stale: true } : {}),
  };
}

const copyJson = ({ node, state, version, leaseLeftMs, ageMs, transitions }: CopyView): Json => ({
  node,
  state,
  version: decimal(version),
  lease_left_ms: whole(leaseLeftMs),
  age_ms: whole(ageMs),
  transitions: transitions.map(({ from, to, at }) => ({ from, to, at })),
});

export function explainedJson(explained: Explained): Json {
  return {
    key: explained.key,
    namespace: explained.namespace,
    shard: explained.shard,
    home: explained.home,
    term: explained.term,
    phase: explained.phase,
    version: decimal(explained.version),
    state: explained.copies[0]?.state ?? "I",
    tags: [...explained.tags],
    ttl_ms: timeJson(explained.ttlMs),
    directory: explained.directory,
    owner: explained.owner,
    sharers: explained.sharers.map(({ holder, incarnation, leaseLeftMs }) => ({
      node: holder,
      incarnation: decimal(incarnation),
      lease_left_ms: whole(leaseLeftMs),
    })),
    queued: explained.queued,
    waiting_for: [...explained.waitingFor],
    behind:
      explained.behind === null
        ? null
        : { version: decimal(explained.behind.version), deleted: explained.behind.deleted, for_ms: whole(explained.behind.forMs) },
    copies: explained.copies.map(copyJson),
    silent: [...explained.silent],
  };
}

/** Fields of the API and of the settings. */
const names = {
  mode: "mode",
  stale_ms: "staleMs",
  ttl_ms: "ttlMs",
  negative_ttl_ms: "negativeTtlMs",
  max_entries: "maxEntries",
  max_bytes: "maxBytes",
  copy_entries: "copyEntries",
  copy_bytes: "copyBytes",
  policy: "policy",
  origin: "origin",
  write: "write",
  max_behind: "maxBehind",
  revalidate_ms: "revalidateMs",
  compress_over: "compressOver",
} as const satisfies Readonly<Record<keyof Omit<cacheSchemas.NamespaceBody, "request_id">, keyof NamespaceSettings>>;

/** The settings that a body names. */
export function namespaceSettings(body: cacheSchemas.NamespaceBody): Partial<NamespaceSettings> {
  const given: Json = body;
  return Object.fromEntries(Object.entries(names).flatMap(([field, name]) => (given[field] === undefined ? [] : [[name, given[field]]])));
}

export function namespaceJson({ namespace, name, version, createdAt, settings }: NamespaceView): Json {
  return {
    name,
    id: decimal(namespace),
    version,
    created_at: createdAt === 0 ? null : createdAt,
    settings: Object.fromEntries(Object.entries(names).map(([field, own]) => [field, settings[own]])),
  };
}

export const statisticsJson = (statistics: CacheStatistics): Json => ({
  hits: statistics.hits,
  misses: statistics.misses,
  hit_ratio: hitRatio(statistics),
  writes: statistics.writes,
  evictions: statistics.evictions,
  invalidations_sent: statistics.invalidationsSent,
  invalidations_received: statistics.invalidationsReceived,
  lease_lapses: statistics.lapses,
  behind_keys: statistics.behind.keys,
  behind_bytes: statistics.behind.bytes,
  behind_ms: whole(statistics.behind.forMs),
  states: { ...statistics.states },
  transitions: { ...statistics.transitions },
});

export const copiesJson = (page: CacheStatePage): readonly Json[] =>
  page.keys.map(({ namespace, key, state, version, ageMs }) => ({
    namespace,
    key,
    state,
    version: decimal(version),
    age_ms: whole(ageMs),
  }));
