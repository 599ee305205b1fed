import { LongestGap } from "./longest-gap.ts";
import { decodeMessage, encodeMessage } from "./message.ts";
import type { Consumption, Delivery, QueueClient } from "./queue-client.ts";

/** How far a long step is: others may look at it meanwhile. */
export interface BacklogProgress {
  done: number;
}

export interface BacklogFillOptions {
  readonly queue: string;
  /** Number of the first message. */
  readonly from: number;
  readonly messages: number;
  readonly inFlight: number;
  /** Ends with what there is after so long. */
  readonly maxMs: number;
  /** Gives up when nothing has been answered for so long. */
  readonly silenceMs: number;
}

export interface BacklogFillResult {
  readonly produced: number;
  /** Messages that were sent, by number from the first one on: all that may be in the queue. */
  readonly begun: number;
  /** Those of them that nobody has acknowledged: they are there, or they are not. */
  readonly unsure: readonly number[];
  readonly seconds: number;
  /** In which no produce was answered. */
  readonly longest_gap_ms: number;
  readonly errors: number;
  readonly first_error: string | null;
  /** Produced in second k. */
  readonly per_second: readonly number[];
}

export interface BacklogDrainOptions {
  readonly queue: string;
  readonly group: string;
  readonly from: number;
  /** As many as were begun. */
  readonly messages: number;
  readonly unsure: readonly number[];
  readonly credit: number;
  /** Gives up when nothing has come for so long. */
  readonly silenceMs: number;
  readonly maxMs: number;
}

export interface BacklogDrainResult {
  readonly seconds: number;
  /** From the start of the consumer. */
  readonly first_ms: number | null;
  /** In which no ack was answered, once the first message had come. */
  readonly longest_gap_ms: number;
  readonly acked: number;
  /** Null: its time was over before the queue was empty, so what is missing may be there. */
  readonly lost: number | null;
  /** Never delivered, be it lost or waiting. */
  readonly undelivered: number;
  readonly duplicates: number;
  readonly errors: number;
  readonly first_error: string | null;
  readonly per_second: readonly number[];
}

const retryMs = 20;
const lookEveryMs = 500;

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

/**
 * Produces so many messages, as far as the time allows, and consumes none. A failed produce is sent again: its message may then be there twice, never not at
 * all.
 */
export async function fillBacklog(
  client: QueueClient,
  options: BacklogFillOptions,
  progress: BacklogProgress = { done: 0 },
): Promise<BacklogFillResult> {
  const { queue, from, messages, inFlight, maxMs, silenceMs } = options;
  const perSecond = new PerSecond();
  const startedAt = performance.now();
  const gap = new LongestGap(startedAt);
  const unsure: number[] = [];
  let next = 0;
  let errors = 0;
  let firstError: string | null = null;
  progress.done = 0;
  const isOver = (): boolean => {
    const now = performance.now();
    return now - startedAt >= maxMs || now - gap.lastAt >= silenceMs;
  };
  const sendOnce = async (body: Uint8Array): Promise<boolean> => {
    try {
      await client.produce(queue, body, null);
    } catch (error) {
      errors++;
      firstError ??= reasonOf(error);
      await new Promise((resolve) => setTimeout(resolve, retryMs));
      return false;
    }
    gap.answered(performance.now());
    progress.done++;
    perSecond.count();
    return true;
  };
  const producer = async (): Promise<void> => {
    while (next < messages && !isOver()) {
      const id = from + next++;
      const body = encodeMessage({ id, key: 0, place: 0 });
      let isSafe = await sendOnce(body);
      while (!isSafe && !isOver()) isSafe = await sendOnce(body);
      if (!isSafe) unsure.push(id);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, producer));
  const endedAt = performance.now();
  const seconds = (endedAt - startedAt) / 1000;
  // A stall that lasts to the end is a gap too.
  if (progress.done < messages) gap.answered(endedAt);
  return {
    produced: progress.done,
    begun: next,
    unsure,
    seconds,
    longest_gap_ms: gap.ms,
    errors,
    first_error: firstError,
    per_second: perSecond.counts,
  };
}

const unseen = 0;
const seenBefore = 1;
/** Not expected, and welcome once. */
const unexpected = 2;

/** Which of the messages have come. */
class Arrivals {
  received = 0;
  duplicates = 0;
  readonly expected: number;
  readonly #from: number;
  readonly #states: Uint8Array;

  constructor({ from, messages, unsure }: BacklogDrainOptions) {
    this.#from = from;
    this.#states = new Uint8Array(messages);
    for (const id of unsure) this.#states[id - from] = unexpected;
    this.expected = messages - unsure.length;
  }

  saw(id: number): void {
    const index = id - this.#from;
    if (this.#states[index] === unseen) this.received++;
    else if (this.#states[index] !== unexpected) this.duplicates++;
    this.#states[index] = seenBefore;
  }

  get undelivered(): number {
    return this.expected - this.received;
  }
}

/** Consumes and acks until each of the messages has been delivered, and tells which never came. */
export async function drainBacklog(
  client: QueueClient,
  options: BacklogDrainOptions,
  progress: BacklogProgress = { done: 0 },
): Promise<BacklogDrainResult> {
  const { queue, group, credit, silenceMs, maxMs } = options;
  const perSecond = new PerSecond();
  const arrivals = new Arrivals(options);
  const startedAt = performance.now();
  const seen: { gap: LongestGap | null; firstMs: number | null; isOutOfTime: boolean } = { gap: null, firstMs: null, isOutOfTime: false };
  let acked = 0;
  let unsettled = 0;
  let errors = 0;
  let firstError: string | null = null;
  let lastAt = startedAt;
  let finish: (() => void) | null = null;
  progress.done = 0;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const onDelivery = (delivery: Delivery): void => {
    if (seen.gap === null) {
      const now = performance.now();
      seen.firstMs = now - startedAt;
      seen.gap = new LongestGap(now);
    }
    // At receipt, before the ack: an ack whose answer is lost is no lost message.
    arrivals.saw(decodeMessage(delivery.body).id);
    progress.done = arrivals.received;
    unsettled++;
    const settled = (): void => {
      unsettled--;
      lastAt = performance.now();
      if (arrivals.undelivered === 0 && unsettled === 0) finish?.();
    };
    delivery.ack().then(
      () => {
        acked++;
        perSecond.count();
        seen.gap?.answered(performance.now());
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
    const now = performance.now();
    seen.isOutOfTime = now - startedAt > maxMs;
    if (seen.isOutOfTime || now - lastAt > silenceMs) finish?.();
  }, lookEveryMs);
  try {
    consumer = await client.consume(queue, group, credit, onDelivery);
    await finished;
  } finally {
    clearInterval(watch);
    await consumer?.stop();
  }
  const { duplicates, undelivered } = arrivals;
  // A silence that lasts to the end is a gap too.
  if (undelivered > 0) seen.gap?.answered(performance.now());
  return {
    seconds: (lastAt - startedAt) / 1000,
    first_ms: seen.firstMs,
    longest_gap_ms: seen.gap?.ms ?? 0,
    acked,
    lost: undelivered > 0 && seen.isOutOfTime ? null : undelivered,
    undelivered,
    duplicates,
    errors,
    first_error: firstError,
    per_second: perSecond.counts,
  };
}
