import { type Defined, defineQueue } from "./define-queue.ts";
import { QueueCaller } from "./queue-caller.ts";
import type { QueueHistory } from "./queue-history.ts";
import { partitionsOf, type SimQueue } from "./queue-names.ts";
import type { VirtualClient } from "./virtual-client.ts";

const changeEveryMs = 9_000;

/** The owner of the queues: defines them, makes the groups of those in which nothing may be missed, and changes a setting now and then. */
export class QueueSetup {
  private readonly client: VirtualClient;
  private readonly caller: QueueCaller;
  private readonly queues: readonly SimQueue[];
  private readonly mayChange: () => boolean;

  constructor(client: VirtualClient, history: QueueHistory, queues: readonly SimQueue[], shards: number, mayChange: () => boolean) {
    this.client = client;
    this.mayChange = mayChange;
    this.caller = new QueueCaller(client, history, shards);
    this.queues = queues;
  }

  start(): void {
    const { client, queues } = this;
    for (const queue of queues)
      client.after(1_000 + client.prng.below(500), () => this.define(queue, {}, (at) => this.makeGroups(queue, at)));
    const [, loose] = queues;
    if (loose !== undefined) client.after(changeEveryMs, () => this.change(loose));
  }

  private define(queue: SimQueue, changed: Partial<SimQueue["settings"]>, defined: (at: Defined) => void): void {
    defineQueue(this.client, queue.name, { ...queue.settings, ...changed }, defined);
  }

  private makeGroups(queue: SimQueue, at: Defined): void {
    const wanted = Array.from({ length: partitionsOf(queue) }, (_, partition) =>
      queue.groups.map((group) => ({ partition, group })),
    ).flat();
    const next = (): void => {
      const one = queue.strict ? wanted.shift() : undefined;
      if (one === undefined) {
        if (at.version > queue.version) Object.assign(queue, at);
        return;
      }
      const { group, partition } = one;
      const command = { type: "create-group", queue: at.queue, partition, group, start: { type: "earliest" } } as const;
      this.caller.send({ queue: at.queue, partition }, command, true, null, (result) => {
        if (result?.type !== "counted") wanted.unshift(one);
        this.client.after(10, next);
      });
    };
    next();
  }

  private change(queue: SimQueue): void {
    const { client } = this;
    if (!this.mayChange()) return;
    this.define(queue, { maxMessages: client.prng.pick([20, 40, 80]), ratePerSecond: client.prng.pick([0, 0, 20]) }, (at) => {
      client.world.totals.add("queues redefined");
      if (at.version > queue.version) Object.assign(queue, at);
    });
    client.after(changeEveryMs, () => this.change(queue));
  }
}
