/** Answers of the shards to cache commands. Expected outcomes are values. */

export const cacheConflicts = ["exists", "absent", "version", "token"] as const;
/** Why a write changed nothing: a value is there, none is, it is another one, or something changed since the loader looked. */
export type CacheConflict = (typeof cacheConflicts)[number];

/** Numbers on the wire are places in this list, which only grows at its end. */
export const cacheFullThings = ["entries", "bytes", "shard", "behind"] as const;

export type CacheResult =
  /** The line has this version now; `number` of an increment what it came to. */
  | { readonly type: "cache-written"; readonly version: number; readonly number: number | null }
  /** Nothing was changed; the version that is there, 0 = nothing. */
  | { readonly type: "cache-conflict"; readonly reason: CacheConflict; readonly version: number }
  /** Nothing was stored: this would be beyond what the namespace or the shard may hold (rule M9), or what may wait for its origin. */
  | { readonly type: "cache-full"; readonly limit: (typeof cacheFullThings)[number]; readonly max: number }
  /** An increment of something that is no whole number, or to one that cannot be told exactly. */
  | { readonly type: "cache-not-a-number" }
  /** Where writes go behind to an origin: what is there is not known here, and this write depends on it. Load it, then send it again. */
  | { readonly type: "cache-unloaded" }
  /** `version` 0: there was nothing to delete. */
  | { readonly type: "cache-deleted"; readonly version: number }
  /** What carried the tag before this version is gone. */
  | { readonly type: "cache-invalidated"; readonly version: number }
  /** This shard has no, or only an older, definition of the namespace. */
  | { readonly type: "no-namespace"; readonly namespace: number; readonly version: number };
export type CacheResultType = CacheResult["type"];

/** In one sequence with the other results of shards. Append only; never reuse. */
export const cacheResultNumbers: Readonly<Record<CacheResultType, number>> = {
  "cache-written": 96,
  "cache-conflict": 97,
  "cache-full": 98,
  "cache-not-a-number": 99,
  "cache-deleted": 100,
  "cache-invalidated": 101,
  "no-namespace": 102,
  "cache-unloaded": 103,
};

export function isCacheResult(result: { readonly type: string }): result is CacheResult {
  return Object.hasOwn(cacheResultNumbers, result.type);
}
