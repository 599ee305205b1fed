import { Histogram, type HistogramData } from "./histogram.ts";
import { pause } from "../waiting.ts";

/** A queue behind three plain calls; `take` yields null when it is empty. */
export interface PlainQueue {
  put(id: number): Promise<void>;
  take(): Promise<{ readonly id: number; readonly token: string } | null>;
  acknowledge(token: string): Promise<void>;
}

export interface AliasLoopOptions {
  readonly queue: string;
  readonly workers: number;
  readonly durationMs: number;
}

export interface AliasLoopResult {
  /** Messages that were produced, consumed and acked. */
  readonly messages: number;
  readonly seconds: number;
  readonly errors: number;
  readonly first_error: string | null;
  readonly produce: HistogramData;
  readonly consume: HistogramData;
  readonly ack: HistogramData;
  readonly produced: number;
  /** Produced, as the answer said, and never handed out. */
  readonly lost: number;
  readonly duplicates: number;
}

const maxErrors = 10_000;
/** The queue is taken for empty when it has been so for as long as this. */
const emptyForMs = 5000;

async function timed<T>(histogram: Histogram, call: () => Promise<T>): Promise<T> {
  const sentAt = performance.now();
  const value = await call();
  histogram.record(performance.now() - sentAt);
  return value;
}

/** Workers that produce one message, consume one and ack it, in turn, for a while; then the queue is emptied and everything accounted for. */
export async function aliasLoop(queue: PlainQueue, options: AliasLoopOptions): Promise<AliasLoopResult> {
  const times = { produce: new Histogram(), consume: new Histogram(), ack: new Histogram() };
  const waiting = new Set<number>();
  const done = new Set<number>();
  let next = 0;
  let messages = 0;
  let produced = 0;
  let duplicates = 0;
  const failures: { count: number; first: string | null } = { count: 0, first: null };
  const startedAt = performance.now();
  const endsAt = startedAt + options.durationMs;
  const failed = (error: unknown): void => {
    failures.count++;
    failures.first ??= error instanceof Error ? error.message : String(error);
  };
  /** Null: there was nothing. */
  const takeOne = async (): Promise<boolean | null> => {
    const message = await timed(times.consume, () => queue.take());
    if (message === null) return null;
    // At receipt, before the ack: an ack whose answer is lost is no lost message.
    const isNew = !done.has(message.id);
    if (!isNew) duplicates++;
    done.add(message.id);
    waiting.delete(message.id);
    await timed(times.ack, () => queue.acknowledge(message.token));
    return isNew;
  };
  const worker = async (): Promise<void> => {
    while (performance.now() < endsAt && failures.count < maxErrors) {
      try {
        const id = next++;
        await timed(times.produce, () => queue.put(id));
        produced++;
        if (!done.has(id)) waiting.add(id);
        if ((await takeOne()) === true && performance.now() < endsAt) messages++;
      } catch (error) {
        failed(error);
        await pause(1);
      }
    }
  };
  await Promise.all(Array.from({ length: options.workers }, worker));
  const seconds = Math.min(performance.now() - startedAt, options.durationMs) / 1000;
  let lastAt = performance.now();
  while (waiting.size > 0 && performance.now() - lastAt < emptyForMs && failures.count < maxErrors) {
    try {
      if ((await takeOne()) === null) await pause(50);
      else lastAt = performance.now();
    } catch (error) {
      failed(error);
      await pause(50);
    }
  }
  const histograms = { produce: times.produce.toData(), consume: times.consume.toData(), ack: times.ack.toData() };
  return {
    messages,
    seconds,
    errors: failures.count,
    first_error: failures.first,
    ...histograms,
    produced,
    lost: waiting.size,
    duplicates,
  };
}
