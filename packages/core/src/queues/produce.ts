import { mutant } from "#mutation";
import type { NewMessage, Produce, ProducedMessage, QueueDefinition, ShardResult } from "@trivet/wire";
import { later, schedule } from "./calendar.ts";
import { checkFence } from "./fences.ts";
import { keyOf, tables } from "./keys.ts";
import type { Partition } from "./partition.ts";
import { type MessageRecord, type PartitionRecord, decodeIntegers, encodeDelayed, encodeIntegers } from "./records.ts";

/** All messages or none. */
export function produce(partition: Partition, definition: QueueDefinition, command: Produce): ShardResult {
  const behind = command.ifFence === null ? null : checkFence(partition.shard, command.ifFence.lock, command.ifFence.fence);
  if (behind !== null) return behind;
  const known = command.messages.map((message) => (message.dedupId === "" ? 0 : knownSequence(partition, message.dedupId)));
  const full = room(partition, definition, command.messages, known);
  if (full !== null) return full;
  const messages: ProducedMessage[] = command.messages.map((message, at) => {
    // A copy within the batch is known only by now.
    const first = known[at] !== 0 || message.dedupId === "" ? (known[at] as number) : knownSequence(partition, message.dedupId);
    if (first !== 0 && !mutant("queue-dedupe-ignored")) return { sequence: first, duplicate: true };
    return { sequence: accept(partition, definition, message), duplicate: false };
  });
  return { type: "produced", partition: partition.index, messages };
}

/** Null when they fit: a full queue refuses, it never drops. */
function room(
  { counters }: Partition,
  definition: QueueDefinition,
  messages: readonly NewMessage[],
  known: readonly number[],
): ShardResult | null {
  const ids = new Set<string>();
  let count = 0;
  let bytes = 0;
  messages.forEach(({ dedupId, body }, at) => {
    const isCopy = definition.dedupeWindowMs > 0 && ids.has(dedupId);
    if (known[at] !== 0 || isCopy) return;
    if (dedupId !== "") ids.add(dedupId);
    count++;
    bytes += body.length;
  });
  if (count === 0 || mutant("queue-length-unbounded")) return null;
  return fullFor(counters, definition, count, bytes);
}

/** Null when so many messages with so many bytes fit. */
export function fullFor(counters: PartitionRecord, definition: QueueDefinition, count: number, bytes: number): ShardResult | null {
  const { maxMessages, maxBytes } = definition;
  if (maxMessages > 0 && counters.messages + count > maxMessages) return { type: "queue-full", limit: "messages", max: maxMessages };
  if (maxBytes > 0 && counters.bytes + bytes > maxBytes) return { type: "queue-full", limit: "bytes", max: maxBytes };
  return null;
}

function accept(partition: Partition, definition: QueueDefinition, message: NewMessage): number {
  const { counters, shard } = partition;
  const sequence = counters.next;
  const dueAt = message.dueAt > 0 ? message.dueAt : later(shard.now, message.delayMs);
  const ttlMs = message.ttlMs > 0 ? message.ttlMs : definition.ttlMs;
  const delayed = dueAt > shard.now && !mutant("queue-delay-ignored");
  const { key, headers, priority, body } = message;
  const record: MessageRecord = {
    sequence,
    priority,
    producedAt: shard.now,
    expiresAt: delayed || ttlMs === 0 ? 0 : later(shard.now, ttlMs),
    target: 0,
    key,
    headers,
    body,
  };
  counters.produced++;
  counters.messages++;
  counters.bytes += body.length;
  if (message.dedupId !== "" && definition.dedupeWindowMs > 0) remember(partition, message.dedupId, sequence, definition.dedupeWindowMs);
  if (!delayed) partition.enqueue(record);
  else {
    partition.nextNumber();
    counters.delayed++;
    shard.view.put(keyOf(tables.delayed, partition.queue, partition.index, dueAt, sequence), encodeDelayed({ ttlMs, message: record }));
    schedule(shard.view, dueAt, "promote", [partition.queue, partition.index, sequence]);
  }
  return sequence;
}

/** The sequence that a dedupe id stands for within its window; 0 = none. */
function knownSequence(partition: Partition, id: string): number {
  const stored = partition.shard.view.get(keyOf(tables.dedupe, partition.queue, partition.index, id));
  if (stored === undefined) return 0;
  const [sequence = 0, endsAt = 0] = decodeIntegers(stored, 2);
  return endsAt > partition.shard.now || mutant("queue-dedupe-for-ever") ? sequence : 0;
}

function remember(partition: Partition, id: string, sequence: number, windowMs: number): void {
  const { now, view } = partition.shard;
  const endsAt = later(now, windowMs);
  view.put(keyOf(tables.dedupe, partition.queue, partition.index, id), encodeIntegers(sequence, endsAt));
  schedule(view, endsAt, "forget-id", [partition.queue, partition.index, id]);
}
