import { Histogram, type HistogramData } from "./histogram.ts";
import { decodeMessage, encodeMessage, keyName } from "./message.ts";
import { closedOperations, openOperations, type OperationsResult } from "./operations.ts";
import type { Consumption, Delivery, QueueClient } from "./queue-client.ts";

export interface RoundTripOptions {
  readonly queue: string;
  readonly groups: readonly string[];
  /** 0 = messages have no keys. */
  readonly keys: number;
  /** Messages that are on their way at a time. */
  readonly inFlight: number;
  /** Of each group's consumer. */
  readonly credit: number;
  readonly durationMs: number;
  /** Messages per second; null = a closed loop. */
  readonly rate: number | null;
}

export interface RoundTripResult {
  /** Of whole trips: produced, consumed and acked in every group. Latency runs from the due time (closed: the call of produce) to the last ack. */
  readonly trips: OperationsResult;
  /** From the same start to the consumer's handler, in the first group that gets it. */
  readonly received: HistogramData;
  readonly deliveries: number;
  /** Deliveries of a message that the group had been handed before. */
  readonly duplicates: number;
  /** First deliveries that came after a later message of their key. */
  readonly overtaken: number;
}

interface Trip {
  readonly startedAt: number;
  readonly missing: Set<string>;
  received: boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

class RoundTrips {
  readonly received: Histogram = new Histogram();
  deliveries = 0;
  duplicates = 0;
  overtaken = 0;
  readonly #client: QueueClient;
  readonly #options: RoundTripOptions;
  readonly #trips = new Map<number, Trip>();
  readonly #places: Float64Array;
  /** Per group: the highest place that was handed out, by key. */
  readonly #seen = new Map<string, Float64Array>();
  #sent = 0;

  constructor(client: QueueClient, options: RoundTripOptions) {
    this.#client = client;
    this.#options = options;
    this.#places = new Float64Array(options.keys);
    for (const group of options.groups) this.#seen.set(group, new Float64Array(options.keys));
  }

  /** One message from here through every group. */
  trip(startedAt: number): Promise<void> {
    const { queue, groups, keys } = this.#options;
    const id = this.#sent++;
    // A stride that has no factor in common with the number of keys: neighbours in time are of different keys, and all keys are used alike.
    const key = keys === 0 ? 0 : (id * 7919) % keys;
    let place = 0;
    if (keys > 0) {
      place = (this.#places[key] ?? 0) + 1;
      this.#places[key] = place;
    }
    return new Promise((resolve, reject) => {
      this.#trips.set(id, { startedAt, missing: new Set(groups), received: false, resolve, reject });
      this.#client.produce(queue, encodeMessage({ id, key, place }), keys === 0 ? null : keyName(key)).catch((error: unknown) => {
        this.#trips.delete(id);
        reject(error instanceof Error ? error : new Error(String(error)));
      });
    });
  }

  readonly onDelivery = (group: string, delivery: Delivery): void => {
    const now = performance.now();
    this.deliveries++;
    const { id, key, place } = decodeMessage(delivery.body);
    const trip = this.#trips.get(id);
    // Unknown: its produce failed and took effect all the same, or its last ack is done. It must leave the queue.
    const isNew = trip?.missing.has(group) === true;
    if (!isNew) this.duplicates++;
    else if (this.#options.keys > 0) this.#checkOrder(group, key, place);
    if (trip !== undefined && !trip.received) {
      trip.received = true;
      this.received.record(Math.max(0, now - trip.startedAt));
    }
    delivery.ack().then(
      () => {
        if (trip === undefined || !trip.missing.delete(group) || trip.missing.size > 0) return;
        this.#trips.delete(id);
        trip.resolve();
      },
      (error: unknown) => {
        this.#trips.delete(id);
        trip?.reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  };

  #checkOrder(group: string, key: number, place: number): void {
    const seen = this.#seen.get(group);
    if (seen === undefined) return;
    if (place < (seen[key] ?? 0)) this.overtaken++;
    else seen[key] = place;
  }
}

/** Messages through the queue and out of it again, producer and consumers in this process, so that one clock sees both ends. */
export async function roundTrips(client: QueueClient, options: RoundTripOptions): Promise<RoundTripResult> {
  const run = new RoundTrips(client, options);
  const consumers: Consumption[] = [];
  try {
    for (const group of options.groups) {
      const handler = (delivery: Delivery): void => {
        run.onDelivery(group, delivery);
      };
      consumers.push(await client.consume(options.queue, group, options.credit, handler));
    }
    const { durationMs, rate, inFlight } = options;
    const trips =
      rate === null
        ? await closedOperations(inFlight, durationMs, () => run.trip(performance.now()), true)
        : await openOperations({ rate, durationMs, callers: inFlight }, (dueMs) => run.trip(dueMs));
    const { received, deliveries, duplicates, overtaken } = run;
    return { trips, received: received.toData(), deliveries, duplicates, overtaken };
  } finally {
    for (const consumer of consumers) await consumer.stop();
  }
}
