import { decodeMessage, encodeMessage, keyName } from "./message.ts";
import type { Consumption, Delivery, QueueClient } from "./queue-client.ts";
import { monotonicMs, pause, waitFor } from "../waiting.ts";

export interface SteadyOptions {
  readonly queue: string;
  readonly group: string;
  /** A producer for each, which sends its next message when the one before is safe. */
  readonly keys: number;
  readonly credit: number;
  /** Whether messages carry their key: else order is nobody's promise. */
  readonly keyed: boolean;
}

/** What a fail-over looked like from outside; times on the monotonic clock of the machine. */
export interface Failover {
  /** First delivery of a message that was sent after the kill. */
  readonly first_consume_at_ms: number;
  /** A message that a consumer had in hand at the kill and gave back after it was handed out again; null: none was in hand. */
  readonly redelivered_at_ms: number | null;
}

export interface SteadyResult {
  readonly produced: number;
  readonly acked: number;
  /** Produced, as the producer was told, and never delivered. */
  readonly lost: number;
  readonly duplicates: number;
  /** Deliveries out of turn within a key, or while an earlier one was in hand. */
  readonly overtaken: number;
  /** Calls that failed meanwhile. */
  readonly errors: number;
}

/** Between two messages of one producer, and before a failed call is made again. */
const stepMs = 5;
const drainMs = 60_000;

/** What the producer and the consumer of one key know. */
interface Key {
  readonly name: string | null;
  /** The newest place that is safe; one more may be under way. */
  produced: number;
  /** The newest place that was sent, and when for the first time. */
  sent: number;
  sentAt: number;
  /** The newest place up to which all have been delivered. */
  delivered: number;
  /** Delivered beyond that (subjects without order). */
  readonly ahead: Set<number>;
  /** The newest place that was delivered. */
  newest: number;
}

interface Held {
  readonly key: number;
  readonly place: number;
  readonly delivery: Delivery;
}

/** A light load of small streams, each strictly in turn, while leaders die. */
export class SteadyStream {
  readonly #client: QueueClient;
  readonly #options: SteadyOptions;
  readonly #keys: Key[];
  readonly #producers: Promise<void>[] = [];
  #consumer: Consumption | null = null;
  #stopping = false;
  #acked = 0;
  #duplicates = 0;
  #overtaken = 0;
  #errors = 0;
  #held: Held | null = null;
  #holdNext = false;
  #killedAt = Number.POSITIVE_INFINITY;
  #firstConsumeAt: number | null = null;
  #redeliveredAt: number | null = null;

  constructor(client: QueueClient, options: SteadyOptions) {
    this.#client = client;
    this.#options = options;
    this.#keys = Array.from({ length: options.keys }, (_, key) => {
      return {
        name: options.keyed ? keyName(key) : null,
        produced: 0,
        sent: 0,
        sentAt: 0,
        delivered: 0,
        ahead: new Set<number>(),
        newest: 0,
      };
    });
  }

  async start(): Promise<void> {
    const { queue, group, credit } = this.#options;
    this.#consumer = await this.#client.consume(queue, group, credit, this.#onDelivery);
    for (const [index, key] of this.#keys.entries()) this.#producers.push(this.#produce(index, key));
  }

  async #produce(index: number, key: Key): Promise<void> {
    const { queue, keys } = this.#options;
    while (!this.#stopping) {
      const place = key.produced + 1;
      const body = encodeMessage({ id: place * keys + index, key: index, place });
      key.sent = place;
      key.sentAt = monotonicMs();
      // Whether a failed produce took effect is unknown: it is sent again until it is known to have.
      for (let safe = false; !safe;) {
        try {
          await this.#client.produce(queue, body, key.name);
          safe = true;
        } catch {
          this.#errors++;
          await pause(stepMs);
        }
      }
      key.produced = place;
      await pause(stepMs);
    }
  }

  readonly #onDelivery = (delivery: Delivery): void => {
    const now = monotonicMs();
    const { key: index, place } = decodeMessage(delivery.body);
    const key = this.#keys[index];
    if (key === undefined) throw new Error(`a message of key ${index}, which nobody produces`);
    if (this.#held?.key === index && this.#held.place === place && this.#killedAt < now) this.#redeliveredAt ??= now;
    const isNew = this.#delivered(key, index, place);
    if (place === key.sent && key.sentAt > this.#killedAt) this.#firstConsumeAt ??= now;
    if (this.#holdNext && isNew && this.#held === null) {
      this.#holdNext = false;
      this.#held = { key: index, place, delivery };
      return;
    }
    delivery.ack().then(
      () => {
        this.#acked++;
      },
      () => {
        // It comes again, or the ack took effect and only its answer was lost.
        this.#errors++;
      },
    );
  };

  /**
   * Whether it is the first delivery. Within a key the places of deliveries must never fall and never skip one, and none may follow one that is still in
   * hand. (A produce of unknown outcome is sent again before the next, so its second copy stands right behind the first.)
   */
  #delivered(key: Key, index: number, place: number): boolean {
    const isNew = place > key.delivered && !key.ahead.has(place);
    const inHand = this.#held !== null && this.#held.key === index && this.#killedAt === Number.POSITIVE_INFINITY;
    if (!isNew) this.#duplicates++;
    if (isNew ? place > key.delivered + 1 || inHand : place < key.newest) this.#overtaken++;
    if (isNew) {
      key.ahead.add(place);
      while (key.ahead.delete(key.delivered + 1)) key.delivered++;
    }
    key.newest = Math.max(key.newest, place);
    return isNew;
  }

  /** Takes the next message in hand and keeps it, so that the kill finds one leased. */
  async hold(timeoutMs: number): Promise<void> {
    this.#held = null;
    this.#redeliveredAt = null;
    this.#firstConsumeAt = null;
    this.#killedAt = Number.POSITIVE_INFINITY;
    this.#holdNext = true;
    await waitFor("a message to hold", timeoutMs, () => Promise.resolve(this.#held), stepMs);
  }

  /** The leader was killed at `killedAtMs`: gives back what is in hand, and waits for what comes. */
  async afterKill(killedAtMs: number, timeoutMs: number): Promise<Failover> {
    this.#killedAt = killedAtMs;
    const held = this.#held;
    if (held !== null) void this.#giveBack(held);
    const first = await waitFor("a message is consumed", timeoutMs, () => Promise.resolve(this.#firstConsumeAt), stepMs);
    if (held === null) return { first_consume_at_ms: first, redelivered_at_ms: null };
    const redelivered = await waitFor("the message in hand comes again", timeoutMs, () => Promise.resolve(this.#redeliveredAt), stepMs);
    this.#held = null;
    return { first_consume_at_ms: first, redelivered_at_ms: redelivered };
  }

  async #giveBack(held: Held): Promise<void> {
    while (this.#held === held && this.#redeliveredAt === null) {
      try {
        await held.delivery.release();
        return;
      } catch {
        this.#errors++;
        await pause(stepMs);
      }
    }
  }

  /** Ends the producers, waits until the consumer has all there is, and tells what is missing. */
  async stop(): Promise<SteadyResult> {
    this.#stopping = true;
    await Promise.all(this.#producers);
    const missing = (): number =>
      this.#keys.reduce((sum, { produced, delivered, ahead }) => sum + Math.max(0, produced - delivered - ahead.size), 0);
    const endsAt = performance.now() + drainMs;
    while (missing() > 0 && performance.now() < endsAt) await pause(50);
    await this.#consumer?.stop();
    const produced = this.#keys.reduce((sum, key) => sum + key.produced, 0);
    const lost = missing();
    return { produced, acked: this.#acked, lost, duplicates: this.#duplicates, overtaken: this.#overtaken, errors: this.#errors };
  }
}
