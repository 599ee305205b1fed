import { decodeMessage, encodeMessage } from "./message.ts";
import type { Consumption, Delivery, QueueClient } from "./queue-client.ts";

export interface BacklogFillOptions {
  readonly queue: string;
  /** Number of the first message. */
  readonly from: number;
  readonly messages: number;
  readonly inFlight: number;
}

export interface BacklogFillResult {
  readonly produced: number;
  readonly seconds: number;
  readonly errors: number;
  readonly first_error: string | null;
  /** Produced in second k. */
  readonly per_second: readonly number[];
}

export interface BacklogDrainOptions {
  readonly queue: string;
  readonly group: string;
  readonly from: number;
  readonly messages: number;
  readonly credit: number;
  /** Gives up when nothing has come for so long. */
  readonly silenceMs: number;
}

export interface BacklogDrainResult {
  readonly seconds: number;
  /** From the start of the consumer. */
  readonly first_ms: number | null;
  readonly acked: number;
  readonly lost: number;
  readonly duplicates: number;
  readonly errors: number;
  readonly first_error: string | null;
  readonly per_second: readonly number[];
}

const maxErrors = 10_000;
const retryMs = 20;

class PerSecond {
  readonly counts: number[] = [];
  readonly #startedAt: number = performance.now();

  count(): void {
    const second = Math.floor((performance.now() - this.#startedAt) / 1000);
    while (this.counts.length <= second) this.counts.push(0);
    this.counts[second] = (this.counts[second] ?? 0) + 1;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Produces exactly so many messages and consumes none. A failed produce is sent again: its message may then be there twice, never not at all. */
export async function fillBacklog(client: QueueClient, options: BacklogFillOptions): Promise<BacklogFillResult> {
  const { queue, from, messages, inFlight } = options;
  const perSecond = new PerSecond();
  const startedAt = performance.now();
  let next = 0;
  let produced = 0;
  let errors = 0;
  let firstError: string | null = null;
  const producer = async (): Promise<void> => {
    while (next < messages && errors < maxErrors) {
      const body = encodeMessage({ id: from + next++, key: 0, place: 0 });
      for (let sent = false; !sent && errors < maxErrors;) {
        try {
          await client.produce(queue, body, null);
          sent = true;
          produced++;
          perSecond.count();
        } catch (error) {
          errors++;
          firstError ??= reasonOf(error);
          await new Promise((resolve) => setTimeout(resolve, retryMs));
        }
      }
    }
  };
  await Promise.all(Array.from({ length: inFlight }, producer));
  const seconds = (performance.now() - startedAt) / 1000;
  return { produced, seconds, errors, first_error: firstError, per_second: perSecond.counts };
}

/** Consumes and acks until each of the messages has been delivered, and tells which never came. */
export async function drainBacklog(client: QueueClient, options: BacklogDrainOptions): Promise<BacklogDrainResult> {
  const { queue, group, from, messages, credit, silenceMs } = options;
  const perSecond = new PerSecond();
  const seen = new Uint8Array(messages);
  const startedAt = performance.now();
  let firstMs: number | null = null;
  let received = 0;
  let acked = 0;
  let unsettled = 0;
  let duplicates = 0;
  let errors = 0;
  let firstError: string | null = null;
  let lastAt = startedAt;
  let finish: (() => void) | null = null;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const onDelivery = (delivery: Delivery): void => {
    firstMs ??= performance.now() - startedAt;
    const index = decodeMessage(delivery.body).id - from;
    // At receipt, before the ack: an ack whose answer is lost is no lost message.
    if (seen[index] === 0) received++;
    else duplicates++;
    seen[index] = 1;
    unsettled++;
    const settled = (): void => {
      unsettled--;
      lastAt = performance.now();
      if (received === messages && unsettled === 0) finish?.();
    };
    delivery.ack().then(
      () => {
        acked++;
        perSecond.count();
        settled();
      },
      (error: unknown) => {
        errors++;
        firstError ??= reasonOf(error);
        settled();
      },
    );
  };
  let consumer: Consumption | null = null;
  const watch = setInterval(() => {
    if (performance.now() - lastAt > silenceMs) finish?.();
  }, 500);
  try {
    consumer = await client.consume(queue, group, credit, onDelivery);
    await finished;
  } finally {
    clearInterval(watch);
    await consumer?.stop();
  }
  const seconds = (lastAt - startedAt) / 1000;
  const lost = messages - received;
  return { seconds, first_ms: firstMs, acked, lost, duplicates, errors, first_error: firstError, per_second: perSecond.counts };
}
