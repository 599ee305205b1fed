import { invariant } from "../kernel/assert.ts";
import { findDelivery, forget, unindex } from "./delivery.ts";
import type { Ending } from "./delivery.ts";
import { keyOf, tables } from "./keys.ts";
import type { Partition, Placed } from "./partition.ts";
import { type MessageRecord, decodeMessageRecord } from "./records.ts";

export function findMessage(partition: Partition, lane: number, place: number): MessageRecord | undefined {
  const stored = partition.shard.view.get(keyOf(tables.message, partition.queue, partition.index, lane, place));
  return stored === undefined ? undefined : decodeMessageRecord(stored);
}

/** A group that has not settled a message keeps it there. */
export function readMessage(partition: Partition, lane: number, place: number): MessageRecord {
  const message = findMessage(partition, lane, place);
  invariant(message !== undefined, "queue-delivery-has-message", `lane ${lane}, place ${place} of partition ${partition.index}`);
  return message;
}

export function placed(lane: number, place: number, message: MessageRecord): Placed {
  const { sequence, expiresAt, key, body, target } = message;
  return { sequence, lane, place, size: body.length, expiresAt, targeted: target !== 0, key };
}

/** Ends a message for all groups at once; false, and nothing happens, when one has it leased. */
export function endForAll(partition: Partition, lane: number, place: number, message: MessageRecord, ending: Ending): boolean {
  const where = placed(lane, place, message);
  const known = partition.groups().map((group) => ({ group, delivery: findDelivery(partition, group, message.sequence) }));
  if (known.some(({ delivery }) => delivery?.state === "leased")) return false;
  for (const { group, delivery } of known) {
    if (delivery !== undefined) {
      unindex(partition, group, delivery);
      forget(partition, group, delivery, ending);
    } else if ((group.cursors[lane] as number) <= place && (message.target === 0 || message.target === group.id)) {
      group[ending]++;
      partition.touch(group);
    }
  }
  partition.remove(where, ending);
  return true;
}
