import { mutant } from "#mutation";
import type { ShardResult } from "@trivet/wire";
import { unschedule } from "./calendar.ts";
import { KeyReader, keyOf, keysEnd, tables } from "./keys.ts";
import { laneCount } from "./limits.ts";
import { endForAll } from "./messages.ts";
import type { Partition } from "./partition.ts";
import { type MessageRecord, decodeDelayed, decodeMessageRecord } from "./records.ts";

/** Messages in memory at a time. */
const page = 32;

/** Removes up to so many messages that no group has leased; who gets that number asks again. */
export function purge(partition: Partition): ShardResult {
  const most = partition.shard.limits.messagesPerCommand;
  let count = purgeDelayed(partition, most);
  for (let lane = 0; lane < laneCount && count < most; lane++) {
    // Leased ones are passed by; there are no more of them than leases.
    for (let from = 0, ended = false; !ended && count < most;) {
      const found = messagesOf(partition, lane, from);
      ended = found.length < page;
      for (const { place, message } of found) {
        from = place + 1;
        if (count < most && endForAll(partition, lane, place, message, "purged")) count++;
      }
    }
  }
  return { type: "counted", count };
}

function purgeDelayed(partition: Partition, most: number): number {
  const { counters, shard } = partition;
  const prefix = keyOf(tables.delayed, partition.queue, partition.index);
  const found: { readonly key: Uint8Array; readonly size: number }[] = [];
  shard.view.scan(prefix, keysEnd(prefix), (key, value) => {
    if (mutant("queue-purge-leaves-delayed")) return false;
    found.push({ key: key.slice(), size: decodeDelayed(value).message.body.length });
    return found.length < most;
  });
  for (const { key, size } of found) {
    const reader = new KeyReader(key);
    reader.integer();
    reader.integer();
    const dueAt = reader.integer();
    shard.view.remove(key);
    unschedule(shard.view, dueAt, "promote", [partition.queue, partition.index, reader.integer()]);
    counters.delayed--;
    counters.messages--;
    counters.bytes -= size;
  }
  if (found.length === 0) return 0;
  partition.left("purged", found.length);
  for (const group of partition.groups()) {
    group.purged += found.length;
    partition.touch(group);
  }
  return found.length;
}

function messagesOf(partition: Partition, lane: number, from: number): { readonly place: number; readonly message: MessageRecord }[] {
  const { index, queue, shard } = partition;
  const found: { readonly place: number; readonly message: MessageRecord }[] = [];
  shard.view.scan(keyOf(tables.message, queue, index, lane, from), keysEnd(keyOf(tables.message, queue, index, lane)), (key, value) => {
    const reader = new KeyReader(key);
    reader.integer();
    reader.integer();
    reader.integer();
    found.push({ place: reader.integer(), message: decodeMessageRecord(value) });
    return found.length < page;
  });
  return found;
}
