import { mutant } from "#mutation";
import { forgetTag } from "../coherence/values/clear.ts";
import { deadlineKind, later, schedule } from "./calendar.ts";
import type { ShardContext } from "./context.ts";
import { findDelivery, putBack } from "./delivery.ts";
import { forgetCaller } from "./dedupe.ts";
import { KeyReader, keyOf, keysEnd, tables } from "./keys.ts";
import { endForAll, findMessage } from "./messages.ts";
import { decodeDelayed, decodeIntegers } from "./records.ts";

/** Meets calendar deadlines that have come, earliest first, a bounded number with each entry (rule L3). */
export function sweep(shard: ShardContext): void {
  const due: Uint8Array[] = [];
  const end = mutant("queue-deadline-early") ? keysEnd(keyOf(tables.calendar)) : keyOf(tables.calendar, later(shard.now, 1));
  shard.view.scan(keyOf(tables.calendar), end, (key) => {
    due.push(key.slice());
    return due.length < shard.limits.deadlinesPerEntry;
  });
  for (const key of due) {
    shard.view.remove(key);
    meet(shard, new KeyReader(key));
  }
}

function meet(shard: ShardContext, reader: KeyReader): void {
  const at = reader.integer();
  switch (deadlineKind(reader.integer())) {
    case "promote":
      return promote(shard, reader.integer(), reader.integer(), at, reader.integer());
    case "retry":
      return retry(shard, reader.integer(), reader.integer(), reader.integer(), reader.integer());
    case "expire":
      return expire(shard, reader.integer(), reader.integer(), reader.integer(), reader.integer());
    case "forget-id":
      return forgetId(shard, reader.integer(), reader.integer(), reader.text(), at);
    case "forget-caller":
      return forgetCaller(shard, reader.text(), at);
    case "forget-tag":
      return forgetTag(shard, reader.integer(), reader.text(), reader.integer());
    case null:
  }
}

/** Rule Q1: its place in the order is that of becoming ready. Its time to live begins now. */
function promote(shard: ShardContext, queue: number, index: number, dueAt: number, sequence: number): void {
  const key = keyOf(tables.delayed, queue, index, dueAt, sequence);
  const stored = shard.view.get(key);
  // Purged, or its queue was dropped.
  if (stored === undefined) return;
  const { ttlMs, message } = decodeDelayed(stored);
  shard.view.remove(key);
  const partition = shard.partition(queue, index);
  partition.counters.delayed--;
  partition.enqueue({ ...message, expiresAt: ttlMs === 0 ? 0 : later(shard.now, ttlMs) });
}

function retry(shard: ShardContext, queue: number, index: number, id: number, sequence: number): void {
  const partition = shard.partition(queue, index);
  const group = partition.groups().find((other) => other.id === id);
  const delivery = group === undefined ? undefined : findDelivery(partition, group, sequence);
  if (group === undefined || delivery?.state !== "later" || mutant("queue-retry-forgotten")) return;
  putBack(partition, group, delivery);
}

/** What a consumer has in hand is not taken away: a leased message is looked at again later. */
function expire(shard: ShardContext, queue: number, index: number, lane: number, place: number): void {
  const partition = shard.partition(queue, index);
  const message = findMessage(partition, lane, place);
  if (message === undefined || mutant("queue-never-expires")) return;
  if (endForAll(partition, lane, place, message, "expired")) return;
  schedule(shard.view, later(shard.now, shard.limits.leasedExpiryMs), "expire", [queue, index, lane, place]);
}

function forgetId(shard: ShardContext, queue: number, index: number, id: string, at: number): void {
  const key = keyOf(tables.dedupe, queue, index, id);
  const stored = shard.view.get(key);
  // The id may have begun another window since.
  if (stored !== undefined && decodeIntegers(stored, 2)[1] === at) shard.view.remove(key);
}
