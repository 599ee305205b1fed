import { mutant } from "#mutation";
import type { ExpireLeases, QueueDefinition, Receipt, Settle, SettleOutcome, ShardResult } from "@trivet/wire";
import type { ShardContext } from "./context.ts";
import { bury } from "./dead-letters.ts";
import { endLease, extend, findDelivery, finish, giveBack, isLeased } from "./delivery.ts";
import { fail } from "./failure.ts";
import type { Partition } from "./partition.ts";
import { definitionOf } from "./queue-table.ts";
import type { DeliveryRecord, GroupRecord } from "./records.ts";

/** Each receipt is decided by itself. */
export function settle(shard: ShardContext, definition: QueueDefinition, command: Settle): ShardResult {
  let known = false;
  const outcomes: SettleOutcome[] = command.receipts.map((receipt) => {
    if (receipt.partition >= definition.partitions) return "unknown";
    const partition = shard.partition(command.queue, receipt.partition);
    const group = partition.group(command.group);
    if (group === undefined) return "unknown";
    known = true;
    // What a former group of the name handed out is not this one's.
    if (!isOf(group, receipt)) return "unknown";
    return settleOne(partition, definition, group, command, receipt);
  });
  return known ? { type: "settled", outcomes } : { type: "no-group", group: command.group };
}

function settleOne(
  partition: Partition,
  definition: QueueDefinition,
  group: GroupRecord,
  { settlement, delayMs, reason }: Settle,
  receipt: Receipt,
): SettleOutcome {
  const delivery = findDelivery(partition, group, receipt.sequence);
  if (delivery === undefined) return "unknown";
  if (!isHeldBy(delivery, receipt)) return "stale";
  if (settlement === "extend") {
    extend(partition, group, delivery, delayMs > 0 ? delayMs : definition.visibilityMs);
    return "settled";
  }
  endLease(partition, group, delivery);
  switch (settlement) {
    case "ack":
      finish(partition, group, delivery, "settled");
      break;
    case "nack":
      delivery.deliveries++;
      fail(partition, group, delivery, definition, reason, delayMs >= 0 ? delayMs : definition.backoffMs * delivery.deliveries);
      break;
    case "release":
      // A graceful shutdown is no failure and never makes a dead letter.
      giveBack(partition, group, delivery);
      break;
    case "dead":
      bury(partition, group, delivery, reason);
      break;
  }
  return "settled";
}

/** Leases that ran out: no failure of the message, but a hand-out that led to nothing. */
export function expireLeases(shard: ShardContext, { leases }: ExpireLeases): ShardResult {
  let count = 0;
  for (const { queue, group: name, receipt, extended } of leases) {
    const definition = definitionOf(shard, queue);
    if (definition === undefined || receipt.partition >= definition.partitions) continue;
    const partition = shard.partition(queue, receipt.partition);
    const group = partition.group(name);
    const delivery = group === undefined ? undefined : findDelivery(partition, group, receipt.sequence);
    if (group === undefined || delivery === undefined || !isLeased(delivery) || !isOf(group, receipt)) continue;
    // The timer of an earlier hand-out must not end a later one.
    if (delivery.acquired !== receipt.acquired && !mutant("queue-expiry-of-another-hand-out")) continue;
    // Rule L1: an extension that came to the log first was promised to its holder.
    if (delivery.extended !== extended && !mutant("queue-expiry-after-extension")) continue;
    endLease(partition, group, delivery);
    if (mutant("queue-timeout-is-a-failure")) delivery.deliveries++;
    fail(partition, group, delivery, definition, "its lease ran out", 0);
    count++;
  }
  return { type: "counted", count };
}

function isOf(group: GroupRecord, { incarnation }: Receipt): boolean {
  return incarnation === group.id || incarnation === 0 || mutant("queue-former-group-settles");
}

/** Fenced: only the hand-out that still holds the message may settle it. */
function isHeldBy(delivery: DeliveryRecord, receipt: Receipt): boolean {
  if (delivery.acquired !== receipt.acquired && !mutant("queue-stale-receipt-settles")) return false;
  return isLeased(delivery);
}
