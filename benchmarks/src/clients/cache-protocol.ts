import type { CacheOpenOptions } from "../driver/cache-client.ts";
import type { CacheHitOptions, CacheHitResult } from "../driver/cache-hits.ts";
import type { CacheMixedOptions, CacheMixedResult } from "../driver/cache-mixed.ts";
import type { CacheReadOptions, CacheReadResult } from "../driver/cache-reads.ts";
import type { CacheStaleOptions, CacheStaleResult } from "../driver/cache-stale.ts";

/** Calls of a client process that drives a cache. */
export interface CacheCalls {
  /** Before all others but those of `stale…`. */
  readonly cacheOpen: { readonly options: CacheOpenOptions; readonly result: null };
  readonly cacheFill: { readonly options: { readonly keys: readonly string[] }; readonly result: null };
  readonly cacheHits: { readonly options: CacheHitOptions; readonly result: CacheHitResult };
  readonly cacheReads: { readonly options: CacheReadOptions; readonly result: CacheReadResult };
  /** Reads until this process keeps a copy. */
  readonly cacheHold: { readonly options: { readonly keys: readonly string[]; readonly timeoutMs: number }; readonly result: null };
  /** How long one write took. */
  readonly cacheWrite: { readonly options: { readonly key: string }; readonly result: { readonly ms: number } };
  readonly cacheMixed: { readonly options: CacheMixedOptions; readonly result: CacheMixedResult };
  /** Two more connections: a writer, and a reader that comes by `readerUrls` and has copies of all keys. */
  readonly staleOpen: { readonly options: { readonly readerUrls: readonly string[]; readonly keys: number }; readonly result: null };
  readonly staleRun: { readonly options: CacheStaleOptions; readonly result: CacheStaleResult };
}
