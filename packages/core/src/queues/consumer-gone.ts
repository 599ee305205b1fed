import { mutant } from "#mutation";
import type { Begun, ConsumerGone, QueueDefinition, ShardResult } from "@trivet/wire";
import type { ShardContext } from "./context.ts";
import { endLease, findDelivery, giveBack, isLeased, orderFrom } from "./delivery.ts";
import { fail } from "./failure.ts";
import { KeyReader, keyOf, keysEnd, tables } from "./keys.ts";

/** A hand-out that the consumer holds, by its key. */
interface Held {
  readonly partition: number;
  /** Its id. */
  readonly group: number;
  readonly sequence: number;
  readonly order: number;
}

/**
 * Rule Q3: what the consumer holds is handed out again at once. What it may have begun counts as a failure, for that may be why the consumer is gone; the
 * rest is given back unharmed, or one message that kills its consumers would bury all that lies beside it. Of more than one command looks at, those
 * that may have been begun stay for the last: only then it is known which are the oldest.
 */
export function consumerGone(shard: ShardContext, definition: QueueDefinition, command: ConsumerGone): ShardResult {
  const { begun, queue } = command;
  const held = heldBy(shard, command);
  const charged = begun === null ? new Set(held) : oldest(held, begun);
  const isAll = held.length < shard.limits.messagesPerCommand || charged.size === held.length || mutant("queue-begun-of-a-part");
  for (const each of held) {
    const isCharged = charged.has(each);
    if (isCharged && !isAll) continue;
    const partition = shard.partition(queue, each.partition);
    const group = partition.groups().find((other) => other.id === each.group);
    const delivery = group === undefined ? undefined : findDelivery(partition, group, each.sequence);
    if (group === undefined || delivery === undefined || !isLeased(delivery)) continue;
    endLease(partition, group, delivery);
    if (!isCharged && !mutant("queue-unbegun-counted")) {
      giveBack(partition, group, delivery);
      continue;
    }
    if (!mutant("queue-lost-consumer-not-counted")) delivery.deliveries++;
    fail(partition, group, delivery, definition, "its consumer was lost", 0);
  }
  return { type: "counted", count: held.length };
}

/** Some of what it holds, as much as one command looks at, in the order of partitions and groups. */
function heldBy(shard: ShardContext, { consumer, queue }: ConsumerGone): readonly Held[] {
  const held: Held[] = [];
  const prefix = keyOf(tables.consumer, queue, consumer);
  shard.view.scan(prefix, keysEnd(prefix), (key, value) => {
    const reader = new KeyReader(key);
    reader.integer();
    reader.text();
    held.push({ partition: reader.integer(), group: reader.integer(), sequence: reader.integer(), order: orderFrom(value) });
    return held.length < shard.limits.messagesPerCommand;
  });
  return held;
}

/** Consumers begin in the order of the hand-outs, whose places are those of one group of a partition. */
function oldest(held: readonly Held[], begun: Begun): ReadonlySet<Held> {
  const partitions = new Set(begun.partitions);
  const byGroup = new Map<string, Held[]>();
  for (const each of held) {
    if (!partitions.has(each.partition) && !mutant("queue-begun-elsewhere")) continue;
    const name = `${each.partition}/${each.group}`;
    const others = byGroup.get(name);
    if (others === undefined) byGroup.set(name, [each]);
    else others.push(each);
  }
  const found = new Set<Held>();
  for (const others of byGroup.values()) {
    // By their place in the queue where none is told, as it is also when they were handed out at once.
    if (!mutant("queue-begun-by-place")) others.sort((a, b) => a.order - b.order || a.sequence - b.sequence);
    for (const each of others.slice(0, begun.messages)) found.add(each);
  }
  return found;
}
