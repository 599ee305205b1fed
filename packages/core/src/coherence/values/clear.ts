import { mutant } from "#mutation";
import { later, schedule } from "../../queues/calendar.ts";
import type { ShardContext } from "../../queues/context.ts";
import { KeyReader, keyAfter, keyOf, keysEnd, tables } from "../../queues/keys.ts";
import { decodeClearing, encodeClearing, type ClearingRecord } from "./records.ts";
import { clearQueued } from "./outbox.ts";
import { invalidatedAt, noteRemoval, raiseTokenFloor, removeValue, storedValue } from "./value-table.ts";

/** One step of what an invalidation left behind; true when nothing is. */
export function clearTag(shard: ShardContext, namespace: number, tag: string, job: Uint8Array, stored: Uint8Array): boolean {
  const { next, version } = decodeClearing(stored);
  const prefix = tag === "" ? keyOf(tables.value, namespace) : keyOf(tables.tagged, namespace, tag);
  const { keys, rest } = someKeys(shard, next ?? prefix, keysEnd(prefix), tag === "" ? 1 : 2);
  for (const key of keys) {
    const record = storedValue(shard, namespace, key);
    if (record === undefined || (record.version > version && !mutant("cache-clearing-takes-newer"))) continue;
    // Of the namespace itself it is known for as long, whatever the key.
    if (tag !== "" && !mutant("cache-clearing-not-noted")) noteRemoval(shard, namespace, key, version);
    removeValue(shard, namespace, key, record);
  }
  if (rest !== null) {
    shard.view.put(job, encodeClearing({ version, next: rest } satisfies ClearingRecord));
    return false;
  }
  // Loaders that looked before it must still be refused.
  schedule(shard.view, later(shard.now, shard.limits.tagMemoryMs), "forget-tag", [namespace, tag, version]);
  return true;
}

/** From here on the floor refuses loaders of before, those of other tags as well: names are not kept for ever. */
export function forgetTag(shard: ShardContext, namespace: number, tag: string, version: number): void {
  // Invalidated again since, or its namespace is gone.
  if (invalidatedAt(shard, namespace, tag) !== version) return;
  if (!mutant("cache-token-floor-not-raised")) raiseTokenFloor(shard, namespace, version);
  shard.view.remove(keyOf(tables.invalidated, namespace, tag));
}

/** One step of what a dropped namespace left behind; true when nothing is. */
export function clearNamespace(shard: ShardContext, namespace: number): boolean {
  const prefix = keyOf(tables.value, namespace);
  const { keys, rest } = someKeys(shard, prefix, keysEnd(prefix), 1);
  for (const key of keys) {
    const record = storedValue(shard, namespace, key);
    if (record !== undefined) removeValue(shard, namespace, key, record);
  }
  if (rest !== null || !clearQueued(shard, namespace)) return false;
  for (const table of [tables.invalidated, tables.removed, tables.tokenFloor, tables.namespaceUse]) {
    const all = keyOf(table, namespace);
    const found: Uint8Array[] = [];
    shard.view.scan(all, keysEnd(all), (key) => {
      found.push(key.slice());
      return found.length < shard.limits.clearedPerEntry;
    });
    for (const key of found) shard.view.remove(key);
    if (found.length >= shard.limits.clearedPerEntry) return false;
  }
  return true;
}

/** Names of a bounded number of keys from `from` on, and where to go on; null = those were all. `parts`: what stands before the name. */
function someKeys(
  shard: ShardContext,
  from: Uint8Array,
  to: Uint8Array,
  parts: 1 | 2,
): { readonly keys: readonly string[]; readonly rest: Uint8Array | null } {
  const keys: string[] = [];
  let last: Uint8Array | null = null;
  shard.view.scan(from, to, (key) => {
    if (keys.length >= shard.limits.clearedPerEntry) return false;
    const reader = new KeyReader(key);
    reader.integer();
    if (parts === 2) reader.text();
    keys.push(reader.text());
    last = key.slice();
    return true;
  });
  return { keys, rest: keys.length < shard.limits.clearedPerEntry || last === null ? null : keyAfter(last) };
}
