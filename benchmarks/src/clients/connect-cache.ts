import type { CacheClient, CacheOpenOptions } from "../driver/cache-client.ts";
import { connectCacheable, connectLruCache } from "./memory-caches.ts";
import { NodeRedisCache } from "./node-redis-cache.ts";
import type { ClientTarget } from "./protocol.ts";
import { TrivetHttpCache } from "./trivet-cache-http.ts";
import { TrivetCache } from "./trivet-cache.ts";

/** The cache client of a subject, connected. */
export function connectCache(target: ClientTarget, options: CacheOpenOptions): Promise<CacheClient> {
  switch (target.kind) {
    case "trivet":
      return TrivetCache.connect(target, options);
    case "trivet-http":
      return Promise.resolve(new TrivetHttpCache(target.urls));
    case "redis":
      return NodeRedisCache.connect(target.urls, null);
    case "node-redis":
      return NodeRedisCache.connect(target.urls, options);
    case "lru-cache":
      return Promise.resolve(connectLruCache(options));
    case "cacheable":
      return connectCacheable(options);
    default:
      return Promise.reject(new Error(`${target.kind} is no cache`));
  }
}

/** lru-cache has synchronous calls only. */
export function hasAsyncHits(kind: ClientTarget["kind"]): boolean {
  return kind !== "lru-cache";
}
