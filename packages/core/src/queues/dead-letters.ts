import { mutant } from "#mutation";
import type { QueueDefinition, Redrive, ShardResult } from "@trivet/wire";
import { later } from "./calendar.ts";
import { finish } from "./delivery.ts";
import { keyOf, keysEnd, tables } from "./keys.ts";
import { readMessage } from "./messages.ts";
import type { Partition } from "./partition.ts";
import { fullFor } from "./produce.ts";
import { type DeadRecord, type DeliveryRecord, type GroupRecord, decodeDead, encodeDead } from "./records.ts";

/** Moves the message to the partition's dead letters with its history, in the transition that ends its last chance (rule Q2). */
export function bury(partition: Partition, group: GroupRecord, delivery: DeliveryRecord, reason: string): void {
  const { acquired, deliveries, sequence } = delivery;
  const message = readMessage(partition, delivery.lane, delivery.place);
  const dead: DeadRecord = { group: group.name, reason, acquired, deliveries, diedAt: partition.shard.now, message };
  if (!mutant("queue-dead-letter-lost")) {
    partition.shard.view.put(keyOf(tables.dead, partition.queue, partition.index, sequence, group.id), encodeDead(dead));
    partition.counters.dead++;
  }
  finish(partition, group, delivery, "dead");
}

/**
 * Dead letters become messages again, under new names; with several groups each goes only to the group it died in. A redrive stops where the queue is
 * full, so that the others stay dead letters; it is refused where not even the first fits.
 */
export function redrive(partition: Partition, definition: QueueDefinition, command: Redrive): ShardResult {
  const { shard } = partition;
  const asked = command.sequences.length > 0 ? command.sequences : null;
  const most = Math.min(asked === null ? command.limit : shard.limits.messagesPerCommand, shard.limits.messagesPerCommand);
  const found: DeadLetter[] = [];
  let bytes = 0;
  for (const prefix of asked === null ? [keyOf(tables.dead, partition.queue, partition.index)] : [...new Set(asked)].map(one)) {
    shard.view.scan(prefix, keysEnd(prefix), (key, value) => {
      if (found.length >= most || bytes >= shard.limits.redrivenBytes) return false;
      bytes += value.length;
      found.push({ key: key.slice(), dead: decodeDead(value) });
      return true;
    });
  }
  let count = 0;
  for (const { key, dead } of found) {
    const full = command.bounded ? fullFor(partition.counters, definition, 1, dead.message.body.length) : null;
    if (full !== null && !mutant("queue-redrive-over-length")) return count === 0 ? full : { type: "counted", count };
    shard.view.remove(key);
    partition.counters.dead--;
    again(partition, dead, definition.ttlMs);
    count++;
  }
  return { type: "counted", count };

  function one(sequence: number): Uint8Array {
    return keyOf(tables.dead, partition.queue, partition.index, sequence);
  }
}

interface DeadLetter {
  readonly key: Uint8Array;
  readonly dead: DeadRecord;
}

function again(partition: Partition, dead: DeadRecord, ttlMs: number): void {
  const { counters, shard } = partition;
  const group = partition.group(dead.group);
  const target = group === undefined || partition.groups().length === 1 || mutant("queue-redrive-to-all") ? 0 : group.id;
  counters.messages++;
  counters.bytes += dead.message.body.length;
  if (target === 0) counters.produced++;
  else if (group !== undefined) {
    counters.targeted++;
    counters.returned++;
    group.redriven++;
    partition.touch(group);
  }
  partition.enqueue({ ...dead.message, sequence: counters.next, expiresAt: ttlMs > 0 ? later(shard.now, ttlMs) : 0, target });
}

/** Removes up to so many dead letters. */
export function purgeDead(partition: Partition): ShardResult {
  const { shard } = partition;
  const keys: Uint8Array[] = [];
  const prefix = keyOf(tables.dead, partition.queue, partition.index);
  shard.view.scan(prefix, keysEnd(prefix), (key) => {
    keys.push(key.slice());
    return keys.length < shard.limits.messagesPerCommand;
  });
  for (const key of keys) shard.view.remove(key);
  partition.counters.dead -= keys.length;
  return { type: "counted", count: keys.length };
}
