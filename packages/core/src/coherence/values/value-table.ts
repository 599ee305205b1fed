import { mutant } from "#mutation";
import { encodeUtf8, hashText } from "@trivet/wire";
import type { ShardContext } from "../../queues/context.ts";
import { keyOf, present, tables } from "../../queues/keys.ts";
import { decodeIntegers, encodeIntegers } from "../../queues/records.ts";
import { decodeValue, encodeValue, type ValueRecord } from "./records.ts";

/** Removals are remembered by so many buckets of keys in each namespace: enough to refuse a loader, not to name what it loaded. */
const removalBuckets = 4096;
const counterKey: Uint8Array = keyOf(tables.meta, 3);
const bytesKey: Uint8Array = keyOf(tables.meta, 4);

/** Entries and bytes of one namespace in this shard. What is gone counts until it is cleared. */
export interface NamespaceUse {
  readonly entries: number;
  readonly bytes: number;
}

/** The latest version given: one counter for all lines of the shard, so that no version names two things, also across deletion. */
export function latestVersion(shard: ShardContext): number {
  return integerAt(shard, counterKey);
}

export function nextVersion(shard: ShardContext): number {
  const version = latestVersion(shard) + 1;
  shard.view.put(counterKey, encodeIntegers(version));
  return version;
}

export function shardBytes(shard: ShardContext): number {
  return integerAt(shard, bytesKey);
}

export function useOf(shard: ShardContext, namespace: number): NamespaceUse {
  const stored = shard.view.get(keyOf(tables.namespaceUse, namespace));
  const [entries = 0, bytes = 0] = stored === undefined ? [] : decodeIntegers(stored, 2);
  return { entries, bytes };
}

/** As it lies in the store, whether or not an invalidation has ended it. */
export function storedValue(shard: ShardContext, namespace: number, key: string): ValueRecord | undefined {
  const stored = shard.view.get(keyOf(tables.value, namespace, key));
  return stored === undefined ? undefined : decodeValue(stored);
}

/** What readers see: nothing, when an invalidation of its namespace or of one of its tags is newer (rule M8). */
export function liveValue(shard: ShardContext, namespace: number, key: string): ValueRecord | undefined {
  const record = storedValue(shard, namespace, key);
  if (record === undefined || mutant("cache-invalidated-value-read")) return record;
  const isGone = ["", ...record.tags].some((tag) => invalidatedAt(shard, namespace, tag) > record.version);
  return isGone ? undefined : record;
}

/** Version of the latest invalidation of this tag ("" = of the namespace) that is still known by its name; 0 = none. */
export function invalidatedAt(shard: ShardContext, namespace: number, tag: string): number {
  return integerAt(shard, keyOf(tables.invalidated, namespace, tag));
}

/** Version below which a loader's token is refused whatever it loaded: invalidations up to there are cleared and forgotten. */
export function tokenFloor(shard: ShardContext, namespace: number): number {
  return integerAt(shard, keyOf(tables.tokenFloor, namespace));
}

export function raiseTokenFloor(shard: ShardContext, namespace: number, version: number): void {
  if (version > tokenFloor(shard, namespace)) shard.view.put(keyOf(tables.tokenFloor, namespace), encodeIntegers(version));
}

/** Version of the latest removal of this key, or of another one of its bucket. */
export function removedAt(shard: ShardContext, namespace: number, key: string): number {
  return integerAt(shard, removalKey(namespace, key));
}

export function noteRemoval(shard: ShardContext, namespace: number, key: string, version: number): void {
  if (version <= removedAt(shard, namespace, key)) return;
  shard.view.put(removalKey(namespace, key), encodeIntegers(version));
}

function removalKey(namespace: number, key: string): Uint8Array {
  return keyOf(tables.removed, namespace, (hashText(key) >>> 0) % removalBuckets);
}

/** Bytes that a value takes, its key included. */
export function weightOf(key: string, record: ValueRecord): number {
  return encodeUtf8(key).length + encodeValue(record).length;
}

/** Puts the record in the place of the one there is, with its tags and its end. */
export function storeValue(shard: ShardContext, namespace: number, key: string, record: ValueRecord): void {
  const former = storedValue(shard, namespace, key);
  if (former !== undefined) unindex(shard, namespace, key, former);
  shard.view.put(keyOf(tables.value, namespace, key), encodeValue(record));
  for (const tag of record.tags) shard.view.put(keyOf(tables.tagged, namespace, tag, key), present);
  if (record.endsAt > 0) shard.view.put(keyOf(tables.valueEnd, record.endsAt, namespace, key), encodeIntegers(record.version));
  count(shard, namespace, former === undefined ? 1 : 0, weightOf(key, record) - (former === undefined ? 0 : weightOf(key, former)));
}

export function removeValue(shard: ShardContext, namespace: number, key: string, record: ValueRecord): void {
  unindex(shard, namespace, key, record);
  shard.view.remove(keyOf(tables.value, namespace, key));
  count(shard, namespace, -1, -weightOf(key, record));
}

function unindex(shard: ShardContext, namespace: number, key: string, { endsAt, tags }: ValueRecord): void {
  for (const tag of tags) shard.view.remove(keyOf(tables.tagged, namespace, tag, key));
  if (endsAt > 0) shard.view.remove(keyOf(tables.valueEnd, endsAt, namespace, key));
}

function count(shard: ShardContext, namespace: number, entries: number, bytes: number): void {
  const use = useOf(shard, namespace);
  shard.view.put(keyOf(tables.namespaceUse, namespace), encodeIntegers(use.entries + entries, use.bytes + bytes));
  shard.view.put(bytesKey, encodeIntegers(shardBytes(shard) + bytes));
}

function integerAt(shard: ShardContext, key: Uint8Array): number {
  const stored = shard.view.get(key);
  return stored === undefined ? 0 : (decodeIntegers(stored, 1)[0] as number);
}
