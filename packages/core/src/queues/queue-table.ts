import { mutant } from "#mutation";
import { ByteReader, ByteWriter, type QueueDefinition, type ShardResult, decodeDefinition, encodeDefinition } from "@trivet/wire";
import { startClearing } from "./jobs.ts";
import type { ShardContext } from "./context.ts";
import { KeyReader, keyOf, keysEnd, tables } from "./keys.ts";
import type { Partition } from "./partition.ts";

const defined = 1;
/** The queue is gone for good: a late definition must not bring it back. */
const dropped = 2;

/** Undefined when the queue is not known here, or was dropped. */
export function definitionOf(shard: ShardContext, queue: number): QueueDefinition | undefined {
  const stored = shard.view.get(keyOf(tables.queue, queue));
  return stored === undefined || stored[0] !== defined ? undefined : decodeDefinition(new ByteReader(stored, 1));
}

/** Idempotent: an older definition than known changes nothing (rule G1). */
export function configureQueue(shard: ShardContext, queue: number, definition: QueueDefinition): ShardResult {
  const key = keyOf(tables.queue, queue);
  const state = shard.view.get(key)?.[0];
  const known = definitionOf(shard, queue);
  if (state === dropped && !mutant("queue-dropped-comes-back")) return { type: "counted", count: 0 };
  if (known !== undefined && known.version >= definition.version && !mutant("queue-older-definition-taken"))
    return { type: "counted", count: 0 };
  const writer = new ByteWriter();
  writer.u8(defined);
  encodeDefinition(writer, definition);
  shard.view.put(key, writer.finish());
  if (known?.paused === true && !definition.paused) wakeAll(shard, queue);
  if (known !== undefined && maxLeasedOf(shard, definition) > maxLeasedOf(shard, known)) hintToLeased(shard, queue);
  return { type: "counted", count: 1 };
}

export function dropQueue(shard: ShardContext, queue: number): ShardResult {
  const key = keyOf(tables.queue, queue);
  const state = shard.view.get(key)?.[0];
  if (state === dropped) return { type: "counted", count: 0 };
  shard.view.put(key, new Uint8Array([dropped]));
  if (state === defined) startClearing(shard, { type: "queue", queue });
  return { type: "counted", count: state === defined ? 1 : 0 };
}

/** Every queue this shard was told of, and the version it knows; 0 = dropped. */
export function knownDefinitions(shard: ShardContext): readonly (readonly [queue: number, version: number])[] {
  const known: (readonly [number, number])[] = [];
  const prefix = keyOf(tables.queue);
  shard.view.scan(prefix, keysEnd(prefix), (key, value) => {
    const queue = new KeyReader(key).integer();
    known.push([queue, value[0] === defined ? decodeDefinition(new ByteReader(value, 1)).version : 0]);
    return true;
  });
  return known;
}

/** Hand-outs of one group of a partition that may be open at a time. */
export function maxLeasedOf({ limits }: ShardContext, { maxLeased }: QueueDefinition): number {
  return maxLeased > 0 ? Math.min(maxLeased, limits.leasesPerGroup) : limits.leasesPerGroup;
}

function wakeAll(shard: ShardContext, queue: number): void {
  for (const partition of waitingPartitions(shard, queue)) for (const group of partition.groups()) partition.wake(group, "queue");
}

/**
 * More may be handed out at a time: groups that wait for the end of one may have more now. Told and no more than that: what they wait for is
 * state, which versions that tell nothing here must have alike (decision 0022). It is noted anew by the consume that follows.
 */
function hintToLeased(shard: ShardContext, queue: number): void {
  if (mutant("queue-higher-bound-not-told")) return;
  for (const partition of waitingPartitions(shard, queue)) {
    for (const group of partition.groups()) if (group.waiting === "leases") shard.ready.ready(queue, partition.index, group.name);
  }
}

/** Those with a group that was told that there is no more. */
function* waitingPartitions(shard: ShardContext, queue: number): Generator<Partition> {
  const indexes: number[] = [];
  const prefix = keyOf(tables.partition, queue);
  shard.view.scan(prefix, keysEnd(prefix), (key) => {
    const reader = new KeyReader(key);
    reader.integer();
    indexes.push(reader.integer());
    return true;
  });
  for (const index of indexes) {
    const partition = shard.partition(queue, index);
    if (partition.counters.waiting > 0) yield partition;
  }
}
