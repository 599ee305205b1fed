import { mutant } from "#mutation";
import type { ShardContext } from "./context.ts";
import { leaseId, unindex } from "./delivery.ts";
import { fenceFloor } from "./fences.ts";
import { clearNamespace, clearTag } from "../coherence/values/clear.ts";
import { fencesJob, groupJob, namespaceJob, queueJob, tagJob } from "./jobs.ts";
import { KeyReader, keyAfter, keyOf, keysEnd, present, queueTables, tables } from "./keys.ts";
import { laneCount } from "./limits.ts";
import { placed } from "./messages.ts";
import type { Placed } from "./partition.ts";
import { type GroupRecord, decodeDelivery, decodeGroupRecord, decodeIntegers, decodeMessageRecord, encodeGroup } from "./records.ts";

/** One bounded step of the first job there is. */
export function clearSome(shard: ShardContext): void {
  const prefix = keyOf(tables.job);
  let job: Uint8Array | null = null;
  let value: Uint8Array = present;
  shard.view.scan(prefix, keysEnd(prefix), (key, stored) => {
    job = key.slice();
    value = stored.slice();
    return false;
  });
  if (job === null || mutant("queue-never-cleared")) return;
  const reader = new KeyReader(job);
  switch (reader.integer()) {
    case queueJob:
      if (clearQueue(shard, reader.integer())) shard.view.remove(job);
      return;
    case groupJob: {
      const [queue, index] = [reader.integer(), reader.integer()];
      reader.integer();
      if (clearGroup(shard, queue, index, value, job, reader.integer())) shard.view.remove(job);
      return;
    }
    case fencesJob:
      return clearFences(shard, value, job);
    case tagJob:
      if (clearTag(shard, reader.integer(), reader.text(), job, value)) shard.view.remove(job);
      return;
    case namespaceJob:
      if (clearNamespace(shard, reader.integer())) shard.view.remove(job);
  }
}

function clearQueue(shard: ShardContext, queue: number): boolean {
  let left = shard.limits.clearedPerEntry;
  for (const table of queueTables) {
    const prefix = keyOf(table, queue);
    const keys: Uint8Array[] = [];
    const leased: { readonly partition: number; readonly group: number; readonly value: Uint8Array }[] = [];
    shard.view.scan(prefix, keysEnd(prefix), (key, value) => {
      if (keys.length >= left) return false;
      keys.push(key.slice());
      if (table === tables.delivery && decodeDelivery(value).state === "leased") {
        const reader = new KeyReader(key);
        reader.integer();
        leased.push({ partition: reader.integer(), group: reader.integer(), value: value.slice() });
      }
      return true;
    });
    for (const lease of leased) {
      const partition = shard.partition(queue, lease.partition);
      const group = partition.groups().find(({ id }) => id === lease.group) ?? deletedGroup(shard, queue, lease.partition, lease.group);
      if (group !== undefined) shard.leases.ended(leaseId(partition, group, decodeDelivery(lease.value)));
    }
    for (const key of keys) shard.view.remove(key);
    left -= keys.length;
    if (left === 0) return false;
  }
  return true;
}

/** One whose own clearing has not come to its end: the queue goes first. */
function deletedGroup(shard: ShardContext, queue: number, partition: number, id: number): GroupRecord | undefined {
  if (mutant("queue-deleted-group-keeps-timers")) return undefined;
  const prefix = keyOf(tables.job, groupJob, queue, partition, id);
  let found: GroupRecord | undefined;
  shard.view.scan(prefix, keysEnd(prefix), (_key, value) => {
    found = decodeGroupRecord(value);
    return false;
  });
  return found;
}

/** Deliveries first, then the messages that only this group had still to settle. */
function clearGroup(shard: ShardContext, queue: number, index: number, value: Uint8Array, job: Uint8Array, end: number): boolean {
  const partition = shard.partition(queue, index);
  const group = decodeGroupRecord(value);
  let left = shard.limits.clearedPerEntry;
  const deliveries: Uint8Array[] = [];
  const prefix = keyOf(tables.delivery, queue, index, group.id);
  shard.view.scan(prefix, keysEnd(prefix), (_key, stored) => {
    deliveries.push(stored.slice());
    return deliveries.length < left;
  });
  for (const stored of deliveries) {
    const delivery = decodeDelivery(stored);
    unindex(partition, group, delivery);
    shard.view.remove(keyOf(tables.delivery, queue, index, group.id, delivery.sequence));
    if (delivery.key !== "") shard.view.remove(keyOf(tables.head, queue, index, group.id, delivery.key));
    if (delivery.targeted || partition.groups().length > 0) partition.release(group, delivery, "dropped");
  }
  partition.leaveOut(group);
  left -= deliveries.length;
  for (let lane = 0; lane < laneCount && left > 0; lane++) {
    const found: { readonly target: number; readonly where: Placed }[] = [];
    const from = keyOf(tables.message, queue, index, lane, group.cursors[lane] as number);
    shard.view.scan(from, keyOf(tables.message, queue, index, lane, end), (key, stored) => {
      const reader = new KeyReader(key);
      reader.integer();
      reader.integer();
      reader.integer();
      const message = decodeMessageRecord(stored);
      found.push({ target: message.target, where: placed(lane, reader.integer(), message) });
      return found.length < left;
    });
    for (const { target, where } of found) {
      group.cursors[lane] = where.place + 1;
      const mine = target === group.id;
      if (mine || (target === 0 && partition.groups().length > 0)) partition.release(group, where, "dropped");
    }
    left -= found.length;
  }
  if (left > 0) return true;
  shard.view.put(job, encodeGroup(group));
  return false;
}

function clearFences(shard: ShardContext, from: Uint8Array, job: Uint8Array): void {
  const floor = fenceFloor(shard);
  const below: Uint8Array[] = [];
  let last: Uint8Array | null = null;
  let seen = 0;
  shard.view.scan(from, keysEnd(keyOf(tables.fence)), (key, value) => {
    last = key.slice();
    if ((decodeIntegers(value, 1)[0] as number) < floor || mutant("queue-fence-cleared-at-floor")) below.push(last);
    return ++seen < shard.limits.clearedPerEntry;
  });
  for (const key of below) shard.view.remove(key);
  if (last === null || seen < shard.limits.clearedPerEntry) shard.view.remove(job);
  else shard.view.put(job, keyAfter(last));
}
