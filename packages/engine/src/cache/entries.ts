import type { CachedRecord } from "@trivet/wire";
import type { CacheEntry, CacheSource } from "./cache-api.ts";

/** A record as a caller gets it. */
export function entryOf(key: string, record: CachedRecord, state: CacheEntry["state"], source: CacheSource): CacheEntry {
  const { asOf, tags, ttlMs, value, version } = record;
  const found = value !== null ? "value" : version > 0 ? "negative" : "absent";
  return { type: "entry", key, found, value, version, tags, ttlMs, state, source, token: { version, asOf } };
}
