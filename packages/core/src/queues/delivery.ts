import { mutant } from "#mutation";
import { shardRules } from "@trivet/wire";
import { invariant } from "../kernel/assert.ts";
import { schedule, unschedule } from "./calendar.ts";
import { keyOf, keysEnd, present, tables } from "./keys.ts";
import type { Partition } from "./partition.ts";
import { type DeliveryRecord, type GroupRecord, decodeDelivery, decodeIntegers, encodeDelivery, encodeIntegers } from "./records.ts";
import type { LeaseId } from "./sinks.ts";

/** How a group came to be done with a message. */
export type Ending = "settled" | "dead" | "expired" | "purged";

export function hasDelivery(partition: Partition, group: GroupRecord, sequence: number): boolean {
  return partition.shard.view.get(deliveryKey(partition, group, sequence)) !== undefined;
}

export function findDelivery(partition: Partition, group: GroupRecord, sequence: number): DeliveryRecord | undefined {
  const stored = partition.shard.view.get(deliveryKey(partition, group, sequence));
  return stored === undefined ? undefined : decodeDelivery(stored);
}

export function isLeased(delivery: DeliveryRecord): boolean {
  return delivery.state === "leased";
}

export function leaseId(partition: Partition, group: GroupRecord, delivery: DeliveryRecord): LeaseId {
  const { sequence, acquired, extended } = delivery;
  return { queue: partition.queue, partition: partition.index, group: group.name, incarnation: group.id, sequence, acquired, extended };
}

/** Hands it out: it is the head of its key from now on. One that the group hears of now finds its key free, or it were parked. */
export function lease(partition: Partition, group: GroupRecord, delivery: DeliveryRecord, consumer: string, leaseMs: number): void {
  const isNew = delivery.state === "unknown";
  const { view, leases } = partition.shard;
  delivery.state = "leased";
  delivery.consumer = consumer;
  delivery.extended = 0;
  delivery.leaseMs = leaseMs;
  putDelivery(partition, group, delivery, isNew);
  if (delivery.key !== "" && !mutant("queue-key-not-taken"))
    view.put(headKey(partition, group, delivery.key), encodeIntegers(delivery.sequence), isNew);
  if (consumer !== "") view.put(consumerKey(partition, group, delivery), orderOf(partition, group), true);
  group.leased++;
  partition.touch(group);
  leases.leased(leaseId(partition, group, delivery), leaseMs);
}

/** The place of a hand-out that is being made; what was handed out before it was told has none and is older. */
function orderOf({ shard }: Partition, group: GroupRecord): Uint8Array {
  return shard.follows(shardRules.begun) ? encodeIntegers(group.grants + 1) : present;
}

/** What `orderOf` stored. */
export function orderFrom(stored: Uint8Array): number {
  return stored.length === present.length ? 0 : (decodeIntegers(stored, 1)[0] as number);
}

/** Hand-outs that led to nothing. Their number is limited, as a message that makes its consumers hang never fails. */
export function spentHandOuts({ acquired, released }: DeliveryRecord): number {
  return acquired - released;
}

/** Ends a lease unharmed: the message is back at its place, and nothing of it counts. */
export function giveBack(partition: Partition, group: GroupRecord, delivery: DeliveryRecord): void {
  if (partition.shard.follows(shardRules.begun) && !mutant("queue-release-counted")) delivery.released++;
  putBack(partition, group, delivery);
}

export function extend(partition: Partition, group: GroupRecord, delivery: DeliveryRecord, leaseMs: number): void {
  delivery.extended++;
  delivery.leaseMs = leaseMs;
  putDelivery(partition, group, delivery);
  partition.shard.leases.leased(leaseId(partition, group, delivery), leaseMs);
}

/** The lease is over; what becomes of the message is the caller's to say at once. */
export function endLease(partition: Partition, group: GroupRecord, delivery: DeliveryRecord): void {
  const { view, leases } = partition.shard;
  if (delivery.consumer !== "") view.remove(consumerKey(partition, group, delivery));
  delivery.consumer = "";
  group.leased--;
  partition.touch(group);
  if (!mutant("queue-lease-timer-not-ended")) leases.ended(leaseId(partition, group, delivery));
  partition.wake(group, "leases");
}

/** To be handed out (again), at its old place. */
export function putBack(partition: Partition, group: GroupRecord, delivery: DeliveryRecord): void {
  delivery.state = "again";
  if (!mutant("queue-again-not-counted")) group.again++;
  partition.touch(group);
  putDelivery(partition, group, delivery);
  partition.shard.view.put(againKey(partition, group, delivery), encodeIntegers(delivery.sequence), true);
  partition.wake(group, "messages");
}

/** To be handed out again at group time `until`; its key stays busy (rule Q1). */
export function putOff(partition: Partition, group: GroupRecord, delivery: DeliveryRecord, until: number): void {
  delivery.state = "later";
  delivery.until = until;
  putDelivery(partition, group, delivery);
  schedule(partition.shard.view, until, "retry", [partition.queue, partition.index, group.id, delivery.sequence]);
  if (mutant("queue-retry-frees-key")) freeKey(partition, group, delivery);
}

/** Waits until its key is free. */
export function park(partition: Partition, group: GroupRecord, delivery: DeliveryRecord): void {
  const isNew = delivery.state === "unknown";
  delivery.state = "parked";
  putDelivery(partition, group, delivery, isNew);
  partition.shard.view.put(parkedKey(partition, group, delivery), encodeIntegers(delivery.sequence), true);
}

/** The message whose hand-outs the key waits for; 0 = the key is free. */
export function headOf(partition: Partition, group: GroupRecord, key: string): number {
  const stored = partition.shard.view.get(headKey(partition, group, key));
  return stored === undefined ? 0 : (decodeIntegers(stored, 1)[0] as number);
}

/** Takes the delivery out of the set its state names; the record stays. */
export function unindex(partition: Partition, group: GroupRecord, delivery: DeliveryRecord): void {
  const { view } = partition.shard;
  switch (delivery.state) {
    case "leased":
      return endLease(partition, group, delivery);
    case "again":
      group.again--;
      partition.touch(group);
      view.remove(againKey(partition, group, delivery));
      return;
    case "parked":
      view.remove(parkedKey(partition, group, delivery));
      return;
    case "later":
      return unschedule(view, delivery.until, "retry", [partition.queue, partition.index, group.id, delivery.sequence]);
    case "unknown":
      // In no set.
      return;
  }
}

/** The group is done with the message, which is in none of its sets any more: its key is free, its body goes unless another group needs it. */
export function finish(partition: Partition, group: GroupRecord, delivery: DeliveryRecord, ending: Ending): void {
  forget(partition, group, delivery, ending);
  partition.release(group, delivery, ending);
}

/** As `finish`, but the body is the caller's. */
export function forget(partition: Partition, group: GroupRecord, delivery: DeliveryRecord, ending: Ending): void {
  partition.shard.view.remove(deliveryKey(partition, group, delivery.sequence));
  group[ending]++;
  partition.touch(group);
  freeKey(partition, group, delivery);
}

export function putDelivery(partition: Partition, group: GroupRecord, delivery: DeliveryRecord, isNew = false): void {
  partition.shard.view.put(deliveryKey(partition, group, delivery.sequence), encodeDelivery(delivery), isNew);
}

/** The oldest message parked behind the key becomes its head. */
function freeKey(partition: Partition, group: GroupRecord, delivery: DeliveryRecord): void {
  const { view } = partition.shard;
  if (delivery.key === "" || headOf(partition, group, delivery.key) !== delivery.sequence) return;
  const prefix = keyOf(tables.parked, partition.queue, partition.index, group.id, delivery.key);
  let next = 0;
  view.scan(prefix, keysEnd(prefix), (_key, value) => {
    next = decodeIntegers(value, 1)[0] as number;
    return mutant("queue-newest-of-key-first");
  });
  if (next === 0) {
    view.remove(headKey(partition, group, delivery.key));
    return;
  }
  if (mutant("queue-parked-forgotten")) return;
  const freed = findDelivery(partition, group, next);
  invariant(freed?.state === "parked", "queue-parked-has-delivery", `message ${next} of group ${group.name}`);
  unindex(partition, group, freed);
  view.put(headKey(partition, group, delivery.key), encodeIntegers(next));
  putBack(partition, group, freed);
}

function deliveryKey(partition: Partition, group: GroupRecord, sequence: number): Uint8Array {
  return keyOf(tables.delivery, partition.queue, partition.index, group.id, sequence);
}

function againKey(partition: Partition, group: GroupRecord, delivery: DeliveryRecord): Uint8Array {
  return keyOf(tables.again, partition.queue, partition.index, group.id, delivery.lane, delivery.place);
}

function headKey(partition: Partition, group: GroupRecord, key: string): Uint8Array {
  return keyOf(tables.head, partition.queue, partition.index, group.id, key);
}

function parkedKey(partition: Partition, group: GroupRecord, delivery: DeliveryRecord): Uint8Array {
  return keyOf(tables.parked, partition.queue, partition.index, group.id, delivery.key, delivery.place);
}

function consumerKey(partition: Partition, group: GroupRecord, delivery: DeliveryRecord): Uint8Array {
  return keyOf(tables.consumer, partition.queue, delivery.consumer, partition.index, group.id, delivery.sequence);
}
