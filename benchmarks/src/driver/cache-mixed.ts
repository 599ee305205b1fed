import { zipfKeys } from "../eviction/zipf.ts";
import { type CacheClient, cacheKeys, valueOf } from "./cache-client.ts";
import { Histogram, type HistogramData } from "./histogram.ts";

export interface CacheMixedOptions {
  readonly keys: number;
  readonly callers: number;
  readonly durationMs: number;
}

export interface CacheMixedResult {
  readonly operations: number;
  readonly seconds: number;
  readonly errors: number;
  readonly first_error: string | null;
  readonly reads: HistogramData;
  readonly writes: HistogramData;
  /** Reads that copies of this process answered, in parts of all; null where nobody counts. */
  readonly hit_ratio: number | null;
}

const exponent = 0.99;
const requests = 1_000_000;
const seed = 7;
/** Every twentieth operation is a write. */
const writeEvery = 20;

/** Callers of one process read by Zipf and write now and then, each its next operation when the one before is answered. */
export async function cacheMixed(client: CacheClient, { keys: count, callers, durationMs }: CacheMixedOptions): Promise<CacheMixedResult> {
  const keys = cacheKeys(count);
  const order = zipfKeys(count, exponent, requests, seed);
  const reads = new Histogram();
  const writes = new Histogram();
  const before = client.counts();
  let next = 0;
  let operations = 0;
  let errors = 0;
  let firstError: string | null = null;
  const startedAt = performance.now();
  const endsAt = startedAt + durationMs;
  const caller = async (): Promise<void> => {
    for (let sentAt = performance.now(); sentAt < endsAt; sentAt = performance.now()) {
      const number = next++;
      const key = keys[order[number % requests] ?? 0] ?? "";
      const isWrite = number % writeEvery === 0;
      try {
        await (isWrite ? client.set(key, valueOf(number)) : client.get(key));
        (isWrite ? writes : reads).record(performance.now() - sentAt);
        operations++;
      } catch (error) {
        errors++;
        firstError ??= error instanceof Error ? error.message : String(error);
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const seconds = (performance.now() - startedAt) / 1000;
  const after = client.counts();
  const hits = (after?.hits ?? 0) - (before?.hits ?? 0);
  const misses = (after?.misses ?? 0) - (before?.misses ?? 0);
  const ratio = hits + misses > 0 ? hits / (hits + misses) : null;
  return { operations, seconds, errors, first_error: firstError, reads: reads.toData(), writes: writes.toData(), hit_ratio: ratio };
}
