import { mutant } from "#mutation";
import { later } from "./calendar.ts";
import { bury } from "./dead-letters.ts";
import { putBack, putOff, spentHandOuts } from "./delivery.ts";
import type { Partition } from "./partition.ts";
import type { DeliveryRecord, GroupRecord } from "./records.ts";

/** A genuine failure or a lost lease: again, unless it has had its chances (dead in the same transition, rule Q2). */
export function fail(
  partition: Partition,
  group: GroupRecord,
  delivery: DeliveryRecord,
  caps: Caps,
  reason: string,
  delayMs: number,
): void {
  const tooOften = caps.maxAcquired > 0 && spentHandOuts(delivery) >= caps.maxAcquired && !mutant("queue-acquired-uncapped");
  const failed = caps.maxDeliveries > 0 && delivery.deliveries >= caps.maxDeliveries && !mutant("queue-deliveries-uncapped");
  if (tooOften || failed) return bury(partition, group, delivery, reason);
  if (delayMs > 0) putOff(partition, group, delivery, later(partition.shard.now, delayMs));
  else putBack(partition, group, delivery);
}
export interface Caps {
  readonly maxDeliveries: number;
  readonly maxAcquired: number;
}
