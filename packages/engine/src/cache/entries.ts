import type { CachedRecord } from "@trivet/wire";
import type { CacheEntry, CacheSource } from "./cache-api.ts";

/** Of a namespace that the shard does not have, or of a shard that has no value yet: whoever asked may take the namespace for one that is gone. */
export function isOfNothing({ asOf, version }: CachedRecord): boolean {
  return version === 0 && asOf === 0;
}

/** A record as a caller gets it. */
export function entryOf(key: string, record: CachedRecord, state: CacheEntry["state"], source: CacheSource): CacheEntry {
  const { asOf, tags, ttlMs, value, version } = record;
  const found = value !== null ? "value" : version > 0 ? "negative" : "absent";
  return { type: "entry", key, found, value, version, tags, ttlMs, state, source, token: { version, asOf } };
}
