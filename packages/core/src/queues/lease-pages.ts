import type { ShardContext } from "./context.ts";
import { leaseId } from "./delivery.ts";
import { KeyReader, keyAfter, keyOf, keysEnd, tables } from "./keys.ts";
import { type DeliveryRecord, decodeDelivery } from "./records.ts";
import type { LeaseId } from "./sinks.ts";

/** Some of the leases there are. */
export interface LeasePage {
  readonly leases: readonly { readonly id: LeaseId; readonly leaseMs: number }[];
  /** Where to go on; null = nothing is left. */
  readonly next: Uint8Array | null;
}

/** Looks at up to `most` deliveries from `from` on: a new leader restarts each lease in full (rule L3). */
export function leasesFrom(shard: ShardContext, from: Uint8Array | null, most: number): LeasePage {
  const prefix = keyOf(tables.delivery);
  const found: { readonly queue: number; readonly partition: number; readonly group: number; readonly delivery: DeliveryRecord }[] = [];
  let last: Uint8Array | null = null;
  let seen = 0;
  shard.view.scan(from ?? prefix, keysEnd(prefix), (key, value) => {
    last = key.slice();
    const reader = new KeyReader(key);
    const delivery = decodeDelivery(value);
    const where = { queue: reader.integer(), partition: reader.integer(), group: reader.integer() };
    if (delivery.state === "leased") found.push({ ...where, delivery });
    return ++seen < most;
  });
  const leases = found.flatMap(({ queue, partition: index, group: id, delivery }) => {
    const partition = shard.partition(queue, index);
    const group = partition.groups().find((other) => other.id === id);
    return group === undefined ? [] : [{ id: leaseId(partition, group, delivery), leaseMs: delivery.leaseMs }];
  });
  shard.flush();
  return { leases, next: last === null || seen < most ? null : keyAfter(last) };
}
