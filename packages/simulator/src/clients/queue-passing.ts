import type { StorageCommand } from "@trivet/engine";
import { encodeUtf8, type HandedOut, type NewMessage } from "@trivet/wire";

import { type Defined, defineQueue, tellGroup0 } from "./define-queue.ts";
import { QueueCaller } from "./queue-caller.ts";
import type { QueueHistory } from "./queue-history.ts";
import type { VirtualClient } from "./virtual-client.ts";

const partitions = 2;
const names = ["passing-1", "passing-2"] as const;

/**
 * Queues that come and go: one is made and used by two groups, of which one is deleted; then it is deleted with all that is left in it, and the
 * next of its name is another. Of those that are gone nothing may stay in any shard.
 */
export class QueuePassing {
  /** Numbers of the queues that are deleted. */
  readonly gone: number[] = [];
  private readonly client: VirtualClient;
  private readonly caller: QueueCaller;
  private readonly mayStart: () => boolean;
  private rounds = 0;
  private busy = false;

  constructor(client: VirtualClient, history: QueueHistory, shards: number, mayStart: () => boolean) {
    this.client = client;
    this.mayStart = mayStart;
    this.caller = new QueueCaller(client, history, shards);
  }

  start(): void {
    this.later(3_000);
  }

  get settled(): boolean {
    return !this.busy && this.caller.idle;
  }

  private later(ms: number): void {
    this.client.after(ms + this.client.prng.below(2_000), () => this.round());
  }

  private round(): void {
    if (!this.mayStart()) return;
    this.busy = true;
    this.rounds += 1;
    const name = names[this.rounds % names.length] as string;
    defineQueue(this.client, name, { partitions, visibilityMs: 2_000, maxDeliveries: 3 }, (at) => this.use(name, at));
  }

  private use(name: string, at: Defined): void {
    const steps: (() => void)[] = [];
    const next = (): void => steps.shift()?.();
    const say = (partition: number, command: StorageCommand, heard: (messages: readonly HandedOut[]) => void = () => {}): void =>
      this.caller.send({ queue: at.queue, partition }, command, true, null, (result) => {
        if (result?.type === "handed-out") heard(result.messages);
        next();
      });
    for (let partition = 0; partition < partitions; partition += 1) {
      steps.push(
        () => say(partition, this.produce(at, partition)),
        () => say(partition, consume(at, partition, "goes")),
        () =>
          say(partition, consume(at, partition, "stays"), (messages) => {
            if (messages.length > 0) steps.unshift(() => say(partition, ack(at, partition, messages)));
          }),
        () => this.deleteGroup(at, partition, next),
      );
    }
    steps.push(() => this.deleteQueue(name, at.queue));
    next();
  }

  private produce({ queue, version }: Defined, partition: number): StorageCommand {
    const messages = Array.from({ length: 1 + this.client.prng.below(6) }, (_, at): NewMessage => {
      const body = encodeUtf8(`${this.client.name}-${this.rounds}-${partition}-${at}:`);
      const delayMs = at % 3 === 2 ? 30_000 : 0;
      return { key: at % 2 === 0 ? "k" : "", body, headers: [], priority: 0, delayMs, dueAt: 0, ttlMs: 0, dedupId: "" };
    });
    return { type: "produce", queue, partition, version, messages, ifFence: null };
  }

  /** Until it is answered: what is never deleted would be waited for at the end. */
  private deleteGroup(at: Defined, partition: number, then: () => void): void {
    const command = { type: "delete-group", queue: at.queue, partition, group: "goes" } as const;
    this.caller.send({ queue: at.queue, partition }, command, true, null, (result) => {
      if (result?.type === "counted") this.client.world.totals.add("groups deleted");
      if (result === null) this.client.after(500, () => this.deleteGroup(at, partition, then));
      else then();
    });
  }

  private deleteQueue(name: string, queue: number): void {
    const command = { type: "delete-queue", name, principal: this.client.name } as const;
    tellGroup0(
      this.client,
      command,
      // Refused is who asks again for what is done.
      ({ type }) => (type === "queue-deleted" || type === "queue-refused" ? type : null),
      () => {
        this.client.world.totals.add("queues deleted");
        this.gone.push(queue);
        this.busy = false;
        this.later(500);
      },
    );
  }

  /** Everywhere a message of these could be. */
  places(): readonly { readonly queue: number; readonly partition: number }[] {
    return this.gone.flatMap((queue) => Array.from({ length: partitions }, (_, partition) => ({ queue, partition })));
  }
}

function consume({ queue }: Defined, partition: number, group: string): StorageCommand {
  const start = { type: "earliest" } as const;
  const most = { maxMessages: 2, maxBytes: 0, visibilityMs: 0, autoAck: false };
  return { type: "consume", queue, partition, group, consumer: "passing", ...most, start };
}

function ack({ queue }: Defined, partition: number, messages: readonly HandedOut[]): StorageCommand {
  const receipts = messages.map(({ acquired, incarnation, sequence }) => ({ partition, sequence, acquired, incarnation }));
  return { type: "settle", queue, group: "stays", settlement: "ack", delayMs: 0, reason: "", receipts };
}
