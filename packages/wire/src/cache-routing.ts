import { avalanche, hashText } from "./hash.ts";

/** The Raft group of a cached key. Fixed for ever: a value is looked for where it was put. */
export function cacheShardOf(namespace: number, key: string, shards: number): number {
  return 1 + ((avalanche(hashText(key) + Math.imul(namespace, 0x9e3779b1)) >>> 0) % shards);
}
