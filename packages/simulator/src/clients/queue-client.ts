import type { Settlement, HandedOut, NewMessage } from "@trivet/wire";
import { encodeUtf8 } from "@trivet/wire";

import { QueueCaller } from "./queue-caller.ts";
import { received } from "../checkers/queue-history.ts";
import type { QueueHistory } from "./queue-history.ts";
import { partitionsOf, type SimQueue } from "./queue-names.ts";
import type { VirtualClient } from "./virtual-client.ts";

const keys = ["", "", "k1", "k2", "k3"] as const;

/** One that produces, or one that consumes for a group, and sometimes does what an operator does. */
export class QueueClient {
  readonly caller: QueueCaller;
  private readonly client: VirtualClient;
  private readonly history: QueueHistory;
  private readonly queues: readonly SimQueue[];
  private readonly mayStart: () => boolean;
  private readonly produces: boolean;
  private budget: number;
  private serial = 0;

  constructor(
    client: VirtualClient,
    history: QueueHistory,
    queues: readonly SimQueue[],
    shards: number,
    budget: number,
    produces: boolean,
    mayStart: () => boolean,
  ) {
    this.client = client;
    this.history = history;
    this.queues = queues;
    this.budget = budget;
    this.produces = produces;
    this.mayStart = mayStart;
    this.caller = new QueueCaller(client, history, shards);
    client.after(2_000 + client.prng.below(1_500), () => this.next());
  }

  get settled(): boolean {
    return !this.client.alive || this.caller.idle;
  }

  private next(): void {
    const { client } = this;
    if (!this.mayStart() || this.budget <= 0) return;
    const known = this.queues.filter(({ queue }) => queue > 0);
    if (known.length === 0) {
      this.soon();
      return;
    }
    this.budget -= 1;
    const queue = client.prng.pick(known);
    if (client.prng.chance(0.04)) this.operate(queue);
    else if (this.produces) this.produce(queue);
    else this.consume(queue);
  }

  private soon(): void {
    this.client.after(50 + this.client.prng.below(700), () => this.next());
  }

  private partition(queue: SimQueue): number {
    return this.client.prng.below(partitionsOf(queue));
  }

  private produce(queue: SimQueue): void {
    const { prng } = this.client;
    const count = prng.chance(0.6) ? 1 : 1 + prng.below(6);
    const messages = Array.from({ length: count }, () => this.message());
    const partition = this.partition(queue);
    const command = { type: "produce", queue: queue.queue, partition, version: queue.version, messages, ifFence: null } as const;
    this.caller.send({ queue: queue.queue, partition }, command, prng.chance(0.8), null, () => this.soon());
  }

  private message(): NewMessage {
    const { client } = this;
    const { prng } = client;
    this.serial += 1;
    const key = prng.pick(keys);
    // A key's order is that of becoming ready: its messages are not delayed here, so that it is that of their produce.
    const delayed = key === "" && prng.chance(0.15);
    // The body of an id is the same whoever sends it: a second one is a repeat, not another message.
    const id = prng.chance(0.1) ? `id-${prng.below(12)}` : "";
    const body = id === "" ? `${client.name}-${this.serial}:${"x".repeat(prng.chance(0.1) ? 2_000 : 20)}` : `by-${id}:`;
    return {
      key: id === "" ? key : "",
      body: encodeUtf8(body),
      headers: prng.chance(0.2) ? [["type", "text/plain"]] : [],
      priority: prng.chance(0.7) ? 0 : prng.below(4),
      delayMs: delayed ? 100 + prng.below(4_000) : 0,
      dueAt: 0,
      ttlMs: 0,
      dedupId: id,
    };
  }

  private consume(queue: SimQueue): void {
    const { client } = this;
    const { prng } = client;
    const group = prng.pick(queue.groups);
    const partition = this.partition(queue);
    const visibilityMs = prng.chance(0.5) ? 0 : 300 + prng.below(2_000);
    const autoAck = !queue.strict && prng.chance(0.2);
    const command = {
      type: "consume",
      queue: queue.queue,
      partition,
      group,
      consumer: client.name,
      maxMessages: 1 + prng.below(6),
      maxBytes: 0,
      visibilityMs,
      autoAck,
      start: { type: "earliest" },
    } as const;
    const askedAt = client.localNow();
    this.caller.send({ queue: queue.queue, partition }, command, prng.chance(0.8), null, (result) => {
      if (result?.type !== "handed-out" || result.messages.length === 0) {
        this.soon();
        return;
      }
      const at = client.world.clock.now();
      for (const message of result.messages) this.history.received.push(received(queue.queue, group, message, at));
      if (!autoAck) this.rely(queue, group, result.messages, askedAt + result.leaseMs);
      if (autoAck) this.soon();
      else client.after(prng.below(Math.floor(result.leaseMs * 1.2)), () => this.settle(queue, partition, group, result.messages));
    });
  }

  private settle(queue: SimQueue, partition: number, group: string, messages: readonly HandedOut[]): void {
    const { client } = this;
    const { prng } = client;
    const roll = prng.next();
    if (roll < 0.06) {
      // Forgets them: their leases run out.
      this.soon();
      return;
    }
    const settlement: Settlement =
      roll < 0.74 ? "ack" : roll < 0.82 ? "nack" : roll < 0.9 ? "release" : roll < 0.97 || !queue.strict ? "extend" : "dead";
    const receipts = messages.map(({ sequence, acquired, incarnation }) => ({ partition, sequence, acquired, incarnation }));
    const delayMs = settlement === "extend" ? 400 + prng.below(1_000) : settlement === "nack" ? prng.pick([-1, 0, 300]) : 0;
    const command = { type: "settle", queue: queue.queue, group, settlement, delayMs, reason: "", receipts } as const;
    const askedAt = client.localNow();
    // An extension may also be shorter than what is left.
    this.cease(queue, messages);
    this.caller.send({ queue: queue.queue, partition }, command, prng.chance(0.8), null, (result) => {
      if (settlement === "extend" && result?.type === "settled") {
        const extended = messages.filter((_, i) => result.outcomes[i] === "settled");
        this.rely(queue, group, extended, askedAt + delayMs);
      }
      if (settlement === "extend") this.client.after(prng.below(1_200), () => this.settle(queue, partition, group, messages));
      else if (prng.chance(0.1)) this.settleLate(queue, partition, group, messages);
      else this.soon();
    });
  }

  /** By its own clock, from the moment it asked. */
  private rely(queue: SimQueue, group: string, messages: readonly HandedOut[], untilLocal: number): void {
    const { client, history } = this;
    const [from, until] = [client.world.clock.now(), client.virtualTime(untilLocal)];
    for (const { acquired, partition, sequence } of messages) {
      history.relied.push({ queue: queue.queue, partition, sequence, group, acquired, from, until });
    }
  }

  private cease(queue: SimQueue, messages: readonly HandedOut[]): void {
    const now = this.client.world.clock.now();
    for (const hold of this.history.relied) {
      const isIt = messages.some(
        (message) => message.sequence === hold.sequence && message.acquired === hold.acquired && message.partition === hold.partition,
      );
      if (isIt && hold.queue === queue.queue) hold.until = Math.min(hold.until, now);
    }
  }

  /** Once more with a receipt that is over: must be refused visibly. */
  private settleLate(queue: SimQueue, partition: number, group: string, messages: readonly HandedOut[]): void {
    const { prng } = this.client;
    const receipts = messages.map(({ sequence, acquired, incarnation }) => ({ partition, sequence, acquired, incarnation }));
    const settlement = prng.pick(["ack", "nack", "extend"] as const);
    const command = { type: "settle", queue: queue.queue, group, settlement, delayMs: 0, reason: "late", receipts } as const;
    this.client.after(prng.below(2_500), () => this.caller.send({ queue: queue.queue, partition }, command, true, null, () => this.soon()));
  }

  private operate(queue: SimQueue): void {
    const { client } = this;
    const { prng } = client;
    const partition = this.partition(queue);
    const place = { queue: queue.queue, partition };
    const roll = prng.next();
    const then = (): void => this.soon();
    if (roll < 0.5 || queue.strict) {
      // By its budget, not by the dice: runs of former seeds stay what they were.
      const begun = this.budget % 2 === 0 ? null : { messages: 1, partitions: [partition] };
      this.caller.send(place, { type: "consumer-gone", queue: queue.queue, consumer: client.name, begun }, true, null, then);
    } else if (roll < 0.7) {
      this.caller.send(place, { type: "purge-queue", ...place, dead: prng.chance(0.5) }, true, null, then);
    } else if (roll < 0.9) {
      this.caller.send(place, { type: "redrive", ...place, sequences: [], limit: 5, bounded: true }, true, null, then);
    } else this.caller.send(place, { type: "raise-fence", lock: "f", fence: 1 + prng.below(50) }, true, null, then);
  }
}
