import type { LeaseId } from "@trivet/core";
import type { Receipt } from "@trivet/wire";

import type { NamedMessage } from "../checkers/dedupe.ts";
import type { RanOut } from "../checkers/lease-kept.ts";
import { type Delivery, nameOf, type Produced, valueOf } from "../checkers/queue-history.ts";
import type { ReceiptEvent } from "../checkers/receipts.ts";
import type { GoldenShard, ShardStep } from "../watch/golden-shard.ts";

/** What the log of one shard did to its messages, in its order. */
export class QueueChronicle {
  readonly produced: Produced[] = [];
  readonly named: NamedMessage[] = [];
  readonly deliveries: Delivery[] = [];
  readonly receipts: ReceiptEvent[] = [];
  readonly ranOut: RanOut[] = [];
  /** By "queue/partition" and then group. */
  readonly settled: Map<string, Map<string, number>> = new Map();
  /** Places of which dead letters came back, or groups came late. */
  readonly mixed: Set<string> = new Set();
  private readonly held = new Map<string, Delivery>();
  private order = 0;

  constructor(golden: GoldenShard) {
    for (const step of golden.steps) this.add(step);
  }

  leased(place: string): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { group, partition, queue } of this.held.values()) {
      if (`${queue}/${partition}` === place) counts.set(group, (counts.get(group) ?? 0) + 1);
    }
    return counts;
  }

  private add(step: ShardStep): void {
    const { answer, command } = step;
    this.order += 1;
    if (command.type === "produce" && answer.type === "produced") this.addProduce(step);
    else if (command.type === "consume" && answer.type === "handed-out") this.addHandOut(step);
    else if (command.type === "settle" && answer.type === "settled") {
      command.receipts.forEach((receipt, at) => {
        if (answer.outcomes[at] === "settled") this.addSettled(command.queue, command.group, receipt, command.settlement);
      });
    } else if (command.type === "redrive") this.mixed.add(`${command.queue}/${command.partition}`);
    if (command.type === "expire-leases") for (const lease of step.ended) this.ranOut.push({ ...lease, at: step.at });
    for (const lease of step.ended) this.end(lease);
  }

  private addProduce({ answer, command, request }: ShardStep): void {
    if (command.type !== "produce" || answer.type !== "produced") return;
    const { partition, queue } = command;
    command.messages.forEach(({ body, dedupId, key }, at) => {
      const given = answer.messages[at];
      if (given === undefined) return;
      const { duplicate, sequence } = given;
      const value = valueOf(body);
      this.named.push({ id: `${queue}/${partition} ${dedupId === "" ? value : `id ${dedupId}`}`, sequence, duplicate, by: request });
      if (!duplicate) this.produced.push({ queue, partition, sequence, value, key, order: this.order });
    });
  }

  private addHandOut({ answer, at, command }: ShardStep): void {
    if (command.type !== "consume" || answer.type !== "handed-out") return;
    const { group, partition, queue } = command;
    for (const { acquired, key, sequence } of answer.messages) {
      const delivery: Delivery = { queue, partition, sequence, group, acquired, key, order: this.order, at, endedAt: null };
      this.deliveries.push(delivery);
      this.receipts.push({ type: "given", queue, partition, sequence, group, acquired, order: this.order, extends: false });
      if (!command.autoAck) {
        this.held.set(heldName(delivery), delivery);
        continue;
      }
      delivery.endedAt = this.order;
      this.receipts.push({ type: "ended", queue, partition, sequence, group, acquired, order: this.order, extends: false });
      this.count(`${queue}/${partition}`, group);
    }
  }

  private addSettled(queue: number, group: string, { acquired, partition, sequence }: Receipt, settlement: string): void {
    this.receipts.push({
      type: "settled",
      queue,
      partition,
      sequence,
      group,
      acquired,
      order: this.order,
      extends: settlement === "extend",
    });
    if (settlement === "ack") this.count(`${queue}/${partition}`, group);
  }

  private end(lease: LeaseId): void {
    const name = heldName(lease);
    const delivery = this.held.get(name);
    this.receipts.push({ ...lease, type: "ended", order: this.order, extends: false });
    if (delivery === undefined || delivery.acquired !== lease.acquired) return;
    delivery.endedAt = this.order;
    this.held.delete(name);
  }

  private count(place: string, group: string): void {
    const counts = this.settled.get(place) ?? new Map<string, number>();
    counts.set(group, (counts.get(group) ?? 0) + 1);
    this.settled.set(place, counts);
  }
}

const heldName = (of: { readonly queue: number; readonly partition: number; readonly sequence: number; readonly group: string }): string =>
  `${nameOf(of)} ${of.group}`;
