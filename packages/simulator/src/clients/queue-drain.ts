import type { HandedOut } from "@trivet/wire";

import { received } from "../checkers/queue-history.ts";
import type { Machine } from "../world/machine.ts";
import { QueueCaller } from "./queue-caller.ts";
import type { QueueHistory } from "./queue-history.ts";
import { partitionsOf, type SimQueue } from "./queue-names.ts";
import type { VirtualClient } from "./virtual-client.ts";

/** After the heal: takes and acknowledges what there is, of every group and partition, through one machine. */
export class QueueDrain {
  private readonly client: VirtualClient;
  private readonly machine: Machine;
  private readonly history: QueueHistory;
  private readonly caller: QueueCaller;
  private readonly places: readonly { readonly queue: number; readonly partition: number; readonly group: string }[];
  private readonly done: () => boolean;
  private turn = 0;

  constructor(
    client: VirtualClient,
    machine: Machine,
    history: QueueHistory,
    queues: readonly SimQueue[],
    shards: number,
    done: () => boolean,
  ) {
    this.client = client;
    this.machine = machine;
    this.history = history;
    this.done = done;
    this.caller = new QueueCaller(client, history, shards);
    this.places = queues
      .filter(({ queue }) => queue > 0)
      .flatMap((queue) =>
        Array.from({ length: partitionsOf(queue) }, (_, partition) =>
          queue.groups.map((group) => ({ queue: queue.queue, partition, group })),
        ).flat(),
      );
    this.turn = client.prng.below(Math.max(1, this.places.length));
    this.later();
  }

  get settled(): boolean {
    return this.caller.idle;
  }

  private later(): void {
    this.client.after(20 + this.client.prng.below(150), () => this.next());
  }

  private next(): void {
    if (this.done() || this.machine.spare) return;
    this.turn += 1;
    const place = this.places[this.turn % this.places.length];
    if (place === undefined) return;
    const { group, partition, queue } = place;
    const command = {
      type: "consume",
      queue,
      partition,
      group,
      consumer: this.client.name,
      maxMessages: 50,
      maxBytes: 0,
      visibilityMs: 5_000,
      autoAck: false,
      start: { type: "earliest" },
    } as const;
    this.caller.send({ queue, partition }, command, true, this.machine, (result) => {
      if (result?.type !== "handed-out" || result.messages.length === 0) this.later();
      else this.took(place, result.messages);
    });
  }

  private took(
    { group, partition, queue }: { readonly queue: number; readonly partition: number; readonly group: string },
    messages: readonly HandedOut[],
  ): void {
    const { client } = this;
    const at = client.world.clock.now();
    for (const message of messages) this.history.received.push(received(queue, group, message, at));
    client.world.totals.add("messages drained", messages.length);
    const receipts = messages.map(({ acquired, sequence }) => ({ partition, sequence, acquired }));
    const command = { type: "settle", queue, group, settlement: "ack", delayMs: 0, reason: "", receipts } as const;
    this.caller.send({ queue, partition }, command, true, this.machine, () => this.later());
  }
}
