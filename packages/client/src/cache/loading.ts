import type { LoadToken } from "@trivet/wire";
import { TrivetError } from "../errors.ts";
import type { CacheEntry } from "./cache-entry.ts";
import type { CacheReadOptions, CacheWriteOptions, LoadOptions } from "./cache.ts";

export interface LoadingCache<T> {
  readonly name: string;
  get(key: string, options: CacheReadOptions): Promise<CacheEntry<T>>;
  /** After another process's loader. */
  reread(key: string, options: CacheReadOptions): Promise<CacheEntry<T>>;
  /** See `NearCache.claim`. */
  claim(key: string, deadline: number): Promise<(() => void) | null>;
  deadline(options: CacheReadOptions): number;
  setLoaded(key: string, value: T | null, token: LoadToken, options: CacheWriteOptions): Promise<boolean>;
}

type Loader<T> = (key: string) => Promise<T | null> | T | null;

const defaultTries = 5;
const maxWaits = 5;

interface Flight<T> {
  readonly value: Promise<T | null>;
  /** Its value is not yet on its way into the store. */
  isOpen: boolean;
}

/** Loaders of one handle: one at a time for each key, here and, by claims, in the cluster; and nothing is stored that a change has overtaken (rule M8). */
export class Loading<T> {
  private readonly cache: LoadingCache<T>;
  private readonly flights = new Map<string, Flight<T>>();

  constructor(cache: LoadingCache<T>) {
    this.cache = cache;
  }

  async load(key: string, loader: Loader<T>, options: LoadOptions): Promise<T | null> {
    for (;;) {
      // Read first, each caller for itself: a loader that began earlier may be joined only by who finds that there is still nothing.
      const entry = await this.cache.get(key, options);
      if (entry.found !== "absent") return entry.value;
      const flight = this.flights.get(key);
      if (flight === undefined) return this.begin(key, loader, options, entry);
      if (flight.isOpen) return flight.value;
      // Once a value is on its way into the store a change may come after it, be answered, and be unknown here: who asks now reads again when it is stored.
      await flight.value.catch(() => undefined);
    }
  }

  private begin(key: string, loader: Loader<T>, options: LoadOptions, first: CacheEntry<T>): Promise<T | null> {
    const flight: Flight<T> = {
      isOpen: true,
      value: this.run(key, loader, options, first, () => {
        flight.isOpen = false;
      }).finally(() => this.flights.delete(key)),
    };
    this.flights.set(key, flight);
    return flight.value;
  }

  private async run(key: string, loader: Loader<T>, options: LoadOptions, first: CacheEntry<T>, loaded: () => void): Promise<T | null> {
    const { tries = defaultTries } = options;
    let entry = first;
    // For all loaders of others together.
    const deadline = this.cache.deadline(options);
    let waits = 0;
    for (let left = tries; left > 0;) {
      // A loader elsewhere that failed leaves nothing behind: who has waited for so many does not wait for the next.
      const release = waits < maxWaits ? await this.cache.claim(key, deadline) : () => {};
      if (release === null) {
        waits++;
        entry = await this.cache.reread(key, options);
        if (entry.found !== "absent") return entry.value;
        continue;
      }
      try {
        // In a later turn: the flight is known by then.
        const value = await Promise.resolve(key).then(loader);
        loaded();
        if (await this.cache.setLoaded(key, value, entry.token, options)) return value;
      } finally {
        release();
      }
      left--;
      // A copy may be right and its token old: only the store knows what has changed since.
      entry = await this.cache.get(key, { ...options, strict: true });
      if (entry.found !== "absent") return entry.value;
    }
    throw new TrivetError(
      "conflict",
      `${key} in namespace ${this.cache.name} changed ${tries} times while it was loaded; nothing was stored`,
      {
        retryable: true,
      },
    );
  }
}
