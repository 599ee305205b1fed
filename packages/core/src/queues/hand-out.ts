import { mutant } from "#mutation";
import type { Consume, HandedOut, QueueDefinition, ShardResult } from "@trivet/wire";
import { invariant } from "../kernel/assert.ts";
import { bury } from "./dead-letters.ts";
import { findDelivery, finish, headOf, lease, park, spentHandOuts, unindex } from "./delivery.ts";
import { type Head, LaneHeads } from "./lane-heads.ts";
import { placed, readMessage } from "./messages.ts";
import type { Partition } from "./partition.ts";
import { maxLeasedOf } from "./queue-table.ts";
import { pay, rateAllows } from "./rate.ts";
import type { DeliveryRecord, GroupRecord, MessageRecord, Waiting } from "./records.ts";

/** Hands out what is there. Never waits: a group that gets no `more` is told when that changes. */
export function consume(partition: Partition, definition: QueueDefinition, command: Consume): ShardResult {
  const group = partition.group(command.group) ?? partition.createGroup(command.group, command.start.type === "latest");
  if (group === null) return { type: "no-group", group: command.group };
  const leaseMs = command.visibilityMs > 0 ? command.visibilityMs : definition.visibilityMs;
  if (definition.paused && !mutant("queue-pause-ignored")) {
    partition.setWaiting(group, "queue");
    return { type: "handed-out", leaseMs, messages: [], more: false };
  }
  const round = new Round(partition, definition, group, command, leaseMs);
  const waiting = round.run();
  partition.setWaiting(group, waiting);
  partition.touch(group);
  return { type: "handed-out", leaseMs, messages: round.messages, more: waiting === "nothing" };
}

/** One consume of one group. */
class Round {
  readonly messages: HandedOut[] = [];
  private readonly partition: Partition;
  private readonly definition: QueueDefinition;
  private readonly group: GroupRecord;
  private readonly command: Consume;
  private readonly leaseMs: number;
  private readonly heads: LaneHeads;
  private readonly maxBytes: number;
  private readonly maxLeased: number;
  private bytes = 0;
  private passed = 0;

  constructor(partition: Partition, definition: QueueDefinition, group: GroupRecord, command: Consume, leaseMs: number) {
    const { limits } = partition.shard;
    this.partition = partition;
    this.definition = definition;
    this.group = group;
    this.command = command;
    this.leaseMs = leaseMs;
    this.heads = new LaneHeads(partition, group, command.maxMessages);
    this.maxBytes = command.maxBytes > 0 ? Math.min(command.maxBytes, limits.handOutBytes) : limits.handOutBytes;
    this.maxLeased = maxLeasedOf(partition.shard, definition);
  }

  /** What the group waits for after it; "nothing" = there may be more. */
  run(): Waiting {
    const { command, group, heads, partition } = this;
    for (;;) {
      const head = heads.next();
      if (head === null) return "messages";
      if (this.messages.length >= command.maxMessages) return "nothing";
      if (this.passed >= partition.shard.limits.passedPerConsume) return "nothing";
      if (!command.autoAck && group.leased >= this.maxLeased && !mutant("queue-leases-unbounded")) return "leases";
      if (!rateAllows(partition, this.definition.ratePerSecond)) return "nothing";
      if (!(head.type === "fresh" ? this.fresh(head) : this.again(head))) return "nothing";
    }
  }

  /** False when it does not fit into the answer. */
  private fresh(head: Head & { readonly type: "fresh" }): boolean {
    const { group, heads, partition } = this;
    const { message, lane, place, weight } = head;
    const where = placed(lane, place, message);
    if (message.target !== 0 && message.target !== group.id && !mutant("queue-target-ignored")) {
      heads.take(head);
      this.passed++;
      return true;
    }
    if (this.isOver(message.expiresAt)) {
      heads.take(head);
      this.passed++;
      group.expired++;
      partition.release(group, where, "expired");
      return true;
    }
    const isBusy = message.key !== "" && headOf(partition, group, message.key) !== 0 && !mutant("queue-key-order-ignored");
    if (!isBusy && !this.fits(weight)) return false;
    heads.take(head);
    if (isBusy) {
      this.passed++;
      park(partition, group, unknownYet(head));
      return true;
    }
    if (!this.command.autoAck) this.give(unknownYet(head), message);
    else {
      group.settled++;
      partition.release(group, where, "settled");
      this.answer(message, 1, 0, weight);
    }
    return true;
  }

  private again(head: Head & { readonly type: "again" }): boolean {
    const { definition, group, heads, partition } = this;
    const delivery = findDelivery(partition, group, head.sequence);
    invariant(delivery?.state === "again", "queue-again-has-delivery", `message ${head.sequence} of group ${group.name}`);
    const used = definition.maxAcquired > 0 && spentHandOuts(delivery) >= definition.maxAcquired && !mutant("queue-acquired-uncapped");
    if (this.isOver(delivery.expiresAt) || used) {
      unindex(partition, group, delivery);
      if (used) bury(partition, group, delivery, `handed out ${delivery.acquired} times`);
      else finish(partition, group, delivery, "expired");
      this.passed++;
      heads.changed();
      return true;
    }
    if (!this.fits(delivery.weight)) return false;
    const message = readMessage(partition, delivery.lane, delivery.place);
    heads.take(head);
    unindex(partition, group, delivery);
    if (!this.command.autoAck) {
      this.give(delivery, message);
      return true;
    }
    finish(partition, group, delivery, "settled");
    heads.changed();
    this.answer(message, delivery.acquired + 1, delivery.deliveries, delivery.weight);
    return true;
  }

  private give(delivery: DeliveryRecord, message: MessageRecord): void {
    if (!mutant("queue-acquired-not-raised")) delivery.acquired++;
    lease(this.partition, this.group, delivery, this.command.consumer, this.leaseMs);
    this.answer(message, delivery.acquired, delivery.deliveries, delivery.weight);
  }

  private answer(message: MessageRecord, acquired: number, deliveries: number, weight: number): void {
    const { sequence, key, priority, producedAt, headers, body } = message;
    const { index: partition } = this.partition;
    // Written out: spreads cost more than all else of an answer.
    this.messages.push({
      partition,
      sequence,
      acquired,
      incarnation: this.group.id,
      deliveries,
      key,
      priority,
      producedAt,
      headers,
      body,
    });
    this.bytes += weight;
    this.group.grants++;
    pay(this.partition, this.definition.ratePerSecond);
  }

  private isOver(expiresAt: number): boolean {
    return expiresAt > 0 && expiresAt <= this.partition.shard.now && !mutant("queue-expired-handed-out");
  }

  /** A single message larger than the limit is handed out alone. */
  private fits(weight: number): boolean {
    return this.messages.length === 0 || this.bytes + weight <= this.maxBytes || mutant("queue-hand-out-bytes-unbounded");
  }
}

function unknownYet({ lane, place, weight, message }: Head & { readonly type: "fresh" }): DeliveryRecord {
  const { sequence, expiresAt, key, body, target } = message;
  // Field by field: spreading what `placed` says costs more than all else of a hand-out.
  return {
    sequence,
    state: "unknown",
    lane,
    place,
    weight,
    size: body.length,
    expiresAt,
    targeted: target !== 0,
    key,
    acquired: 0,
    released: 0,
    deliveries: 0,
    consumer: "",
    leaseMs: 0,
    extended: 0,
    until: 0,
  };
}
