import { LRUCache } from "lru-cache";
import type { CacheClient, CacheOpenOptions } from "../driver/cache-client.ts";

/** Caches of one process: they share nothing with anybody, and there is nothing to be stale against. */

export function connectLruCache({ entries }: CacheOpenOptions): CacheClient {
  const cache = new LRUCache<string, string>({ max: entries });
  return {
    peek: (key) => cache.get(key),
    get: (key) => Promise.resolve(cache.get(key)),
    set: (key, value) => {
      cache.set(key, value);
      return Promise.resolve();
    },
    textOf,
    counts: () => null,
    close: () => Promise.resolve(),
  };
}

/** Its memory level alone, for `peek`, and the whole of it, with that level as its first and only one, for `get`. Statistics off, as by default. */
export async function connectCacheable({ entries }: CacheOpenOptions): Promise<CacheClient> {
  const { Cacheable, CacheableMemory, KeyvCacheableMemory, Keyv } = await import("cacheable");
  const memory = new CacheableMemory({ lruSize: entries, useClone: false });
  const cache = new Cacheable({ primary: new Keyv({ store: new KeyvCacheableMemory({ lruSize: entries, useClone: false }) }) });
  return {
    peek: (key) => memory.get(key),
    get: (key) => cache.get(key),
    set: (key, value) => {
      memory.set(key, value);
      return cache.set(key, value);
    },
    textOf,
    counts: () => null,
    close: () => cache.disconnect(),
  };
}

function textOf(answer: unknown): string | null {
  return typeof answer === "string" ? answer : null;
}
