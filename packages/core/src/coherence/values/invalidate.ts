import { mutant } from "#mutation";
import type { CacheExpire, CacheInvalidate, ExpiredValue, ShardResult } from "@trivet/wire";
import type { ShardContext } from "../../queues/context.ts";
import { startJob, tagJob } from "../../queues/jobs.ts";
import { KeyReader, keyOf, keysEnd, tables } from "../../queues/keys.ts";
import { decodeIntegers, encodeIntegers } from "../../queues/records.ts";
import { later } from "../../queues/calendar.ts";
import { encodeClearing } from "./records.ts";
import { nextVersion, noteRemoval, removeValue, storedValue } from "./value-table.ts";

/** Everything with the tag is gone as of this version, at once; what it took is cleared afterwards, in bounded steps (rule M8). */
export function invalidate(shard: ShardContext, { namespace, tag }: CacheInvalidate): ShardResult {
  const version = nextVersion(shard);
  shard.view.put(keyOf(tables.invalidated, namespace, tag), encodeIntegers(version));
  startJob(shard, tagJob, [namespace, tag], encodeClearing({ version, next: null }));
  return { type: "cache-invalidated", version };
}

/** Of each only the version that the leader saw, and only when its time is over by the log's own clock (rule L3). */
export function expire(shard: ShardContext, { values }: CacheExpire): ShardResult {
  let count = 0;
  for (const { key, namespace, version } of values) {
    const record = storedValue(shard, namespace, key);
    if (record === undefined || (record.version !== version && !mutant("cache-expiry-of-another-version"))) continue;
    if (record.endsAt === 0 || (record.endsAt > shard.now && !mutant("cache-expiry-early"))) continue;
    noteRemoval(shard, namespace, key, nextVersion(shard));
    removeValue(shard, namespace, key, record);
    count++;
  }
  return { type: "counted", count };
}

/** Values whose time is over at `now`, the earliest first; for the leader, which withdraws their copies before it proposes their end. */
export function dueValues(shard: ShardContext, now: number, most: number): readonly ExpiredValue[] {
  const due: ExpiredValue[] = [];
  shard.view.scan(keyOf(tables.valueEnd), keyOf(tables.valueEnd, later(now, 1)), (key, value) => {
    const reader = new KeyReader(key);
    reader.integer();
    const [namespace, name] = [reader.integer(), reader.text()];
    due.push({ namespace, key: name, version: decodeIntegers(value, 1)[0] as number });
    return due.length < most;
  });
  return due;
}

/** When the earliest value is over, in group time; 0 = none is ever. */
export function nextValueEnd(shard: ShardContext): number {
  let next = 0;
  const prefix = keyOf(tables.valueEnd);
  shard.view.scan(prefix, keysEnd(prefix), (key) => {
    next = new KeyReader(key).integer();
    return false;
  });
  return next;
}
