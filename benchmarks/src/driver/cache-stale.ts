import { type CacheClient, cacheKeys, turn, valueOf, writeOf } from "./cache-client.ts";
import { Histogram, type HistogramData } from "./histogram.ts";

export interface CacheStaleOptions {
  readonly keys: number;
  /** Acknowledged writes, each followed by one read. */
  readonly writes: number;
  /** The reader hears nothing: what its process does not answer at once counts as no answer. */
  readonly isCut: boolean;
}

export interface CacheStaleResult {
  readonly reads: number;
  /** Reads of keys that the reader had a copy of just before the write: only these could be stale. Null where the subject cannot be asked. */
  readonly held: number | null;
  /** Reads that gave an older value than the one acknowledged before they began. */
  readonly stale: number;
  /** Reads that gave nothing: refused, or not answered from memory while the link was cut. */
  readonly no_answer: number;
  readonly write: HistogramData;
  readonly seconds: number;
  /** When the last stale read was, counted from the first write. */
  readonly last_stale_ms: number;
}

/** The number of each write: it goes on over the runs of a process, so that what an earlier one wrote is old. */
let written = 0;

/** Every key has a value of this run, which the reader has read. */
export async function warmReader(reader: CacheClient, writer: CacheClient, keys: number): Promise<void> {
  for (const key of cacheKeys(keys)) {
    await writer.set(key, valueOf(++written));
    await reader.get(key);
  }
}

/** `writer` and `reader` are two connections of this process: the read begins in the very turn in which the acknowledgement was heard. */
export async function staleReads(
  reader: CacheClient,
  writer: CacheClient,
  { keys: count, writes, isCut }: CacheStaleOptions,
): Promise<CacheStaleResult> {
  const keys = cacheKeys(count);
  const write = new Histogram();
  const { peek } = reader;
  const startedAt = performance.now();
  let held = 0;
  let stale = 0;
  let noAnswer = 0;
  let lastStaleMs = 0;
  for (let number = 0; number < writes; number++) {
    const key = keys[number % count] ?? "";
    const value = ++written;
    if (peek !== null && peek(key) !== undefined) held++;
    const sentAt = performance.now();
    await writer.set(key, valueOf(value));
    write.record(performance.now() - sentAt);
    const text = await read(reader, key, isCut);
    if (text === undefined) noAnswer++;
    else if (writeOf(text) < value) {
      stale++;
      lastStaleMs = performance.now() - startedAt;
    }
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const counted = { reads: writes, held: peek === null ? null : held, stale, no_answer: noAnswer };
  return { ...counted, write: write.toData(), seconds, last_stale_ms: lastStaleMs };
}

/** Undefined = no answer. */
async function read(reader: CacheClient, key: string, isCut: boolean): Promise<string | null | undefined> {
  const answer = reader.get(key).then(
    (value) => reader.textOf(value),
    () => undefined,
  );
  return isCut ? Promise.race([answer, turn().then(() => undefined)]) : answer;
}
