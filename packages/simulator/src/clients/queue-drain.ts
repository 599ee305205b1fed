import type { HandedOut } from "@trivet/wire";

import { received } from "../checkers/queue-history.ts";
import type { Machine } from "../world/machine.ts";
import type { Program } from "../world/program.ts";
import { QueueCaller } from "./queue-caller.ts";
import type { QueueHistory } from "./queue-history.ts";
import { partitionsOf, type SimQueue } from "./queue-names.ts";
import type { VirtualClient } from "./virtual-client.ts";

/**
 * After the heal: takes and acknowledges what there is, of every group and partition, through one machine. As a consumer that waits does: where it
 * found nothing more it does not ask again until it is told that there may be something.
 */
export class QueueDrain {
  private readonly client: VirtualClient;
  private readonly machine: Machine;
  private readonly history: QueueHistory;
  private readonly caller: QueueCaller;
  private readonly places: readonly { readonly queue: number; readonly partition: number; readonly group: string }[];
  private readonly done: () => boolean;
  private turn = 0;
  /** Numbers of the places that may have something. */
  private readonly mayHave = new Set<number>();
  /** The program whose hints are heard; another one has told nobody anything yet. */
  private heard: Program | null = null;

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
    this.listen();
    const number = this.choose();
    const place = number === null ? undefined : this.places[number];
    if (number === null || place === undefined) {
      this.later();
      return;
    }
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
      // Answers and hints of a machine come in the order in which it said them: what is raised from here on is news.
      if (result?.type === "handed-out" && !result.more) this.mayHave.delete(number);
      if (result?.type !== "handed-out" || result.messages.length === 0) this.later();
      else this.took(place, result.messages);
    });
  }

  private listen(): void {
    const { client, machine } = this;
    const program = machine.running?.program ?? null;
    if (program === null || program === this.heard) return;
    this.heard = program;
    program.storage.watchReady((queue, partition, group) =>
      client.arrive(machine, () => {
        if (this.heard === program) this.raise(queue, partition, group);
      }),
    );
    this.raise(-1, -1, "");
  }

  private raise(queue: number, partition: number, group: string): void {
    this.client.world.totals.add("ready hints");
    this.places.forEach((place, number) => {
      const isIt = place.queue === queue && place.partition === partition && place.group === group;
      if (isIt || partition < 0) this.mayHave.add(number);
    });
  }

  /** The next in turn. */
  private choose(): number | null {
    for (let tried = 0; tried < this.places.length; tried += 1) {
      this.turn = (this.turn + 1) % this.places.length;
      if (this.mayHave.has(this.turn)) return this.turn;
    }
    return null;
  }

  private took(
    { group, partition, queue }: { readonly queue: number; readonly partition: number; readonly group: string },
    messages: readonly HandedOut[],
  ): void {
    const { client } = this;
    const at = client.world.clock.now();
    for (const message of messages) this.history.received.push(received(queue, group, message, at));
    client.world.totals.add("messages drained", messages.length);
    const receipts = messages.map(({ acquired, incarnation, sequence }) => ({ partition, sequence, acquired, incarnation }));
    const command = { type: "settle", queue, group, settlement: "ack", delayMs: 0, reason: "", receipts } as const;
    this.caller.send({ queue, partition }, command, true, this.machine, () => this.later());
  }
}
