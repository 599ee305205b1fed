import { cacheShardOf, encodeUtf8, limits, lineName, type LineName, namespaceOf } from "@trivet/wire";

/**
 * A line is a key of a numbered namespace: the name of a namespace may be given again after it was deleted, its number never is, so that copies
 * of one are never taken for copies of the other.
 */
export function lineOfKey(namespace: number, key: string): LineName {
  return lineName(String(namespace), key);
}

export function keyOfLine(line: LineName): readonly [namespace: number, key: string] {
  const namespace = namespaceOf(line);
  return [Number(namespace), line.slice(namespace.length + 1)];
}

/** In the one spelling that a key has: another would be a line of its own for the same value, whose copies no write would withdraw. */
export function isLine(line: LineName): boolean {
  const [namespace, key] = keyOfLine(line);
  if (!Number.isSafeInteger(namespace) || namespace < 0 || key === "" || encodeUtf8(key).length > limits.maxCacheKeyBytes) return false;
  return lineOfKey(namespace, key) === line;
}

export function shardOfLine(line: LineName, shards: number): number {
  const [namespace, key] = keyOfLine(line);
  return cacheShardOf(namespace, key, shards);
}
