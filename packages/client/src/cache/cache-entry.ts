import type { CachedRecord, LoadToken } from "@trivet/wire";
import { TrivetError } from "../errors.ts";
import type { QueueCodec } from "../queues/codec.ts";

/** What is stored under a key. */
export interface CacheEntry<T> {
  readonly key: string;
  /** `negative`: somebody stored that there is nothing. `absent`: nothing is stored. */
  readonly found: "value" | "negative" | "absent";
  /** Null unless `found` is `value`. The same object for all who read this copy: do not change it. */
  readonly value: T | null;
  /** Rises with every change of the key, also across deletion; for `compareAndSet`. */
  readonly version: number;
  readonly tags: readonly string[];
  /** Of this process, without any call; or an answer, by the home or by a node that has a copy. */
  readonly source: "copy" | "home";
  /** Its time is nearly over (`revalidate_ms` of the namespace), and it is being loaded again. Left out = it is not. */
  readonly isStale?: true;
  /** For a loader's `set` (rule M8). */
  readonly token: LoadToken;
}

export function entryOf<T>(key: string, record: CachedRecord, source: CacheEntry<T>["source"], codec: QueueCodec<T>): CacheEntry<T> {
  const { asOf, packing, tags, value, version } = record;
  if (packing !== undefined) throw new TrivetError("internal", `The value of ${key} is stored compressed, and cannot be unpacked`);
  const found = value !== null ? "value" : version > 0 ? "negative" : "absent";
  return { key, found, value: value === null ? null : codec.decode(value), version, tags, source, token: { version, asOf } };
}
