import { type Cache, type CacheEntry, connect, type TrivetConnection } from "@trivet/client";
import type { CacheClient, CacheOpenOptions } from "../driver/cache-client.ts";
import type { ClientTarget } from "./protocol.ts";

/** The SDK as a program uses it: JSON values, copies in this process. */
export class TrivetCache implements CacheClient {
  readonly peek: (key: string) => unknown;
  readonly get: (key: string) => Promise<unknown>;
  readonly set: (key: string, value: string) => Promise<unknown>;
  readonly #connection: TrivetConnection;
  readonly #cache: Cache<string>;

  private constructor(connection: TrivetConnection, cache: Cache<string>) {
    this.#connection = connection;
    this.#cache = cache;
    this.peek = (key) => cache.peek(key);
    this.get = (key) => cache.get(key);
    this.set = (key, value) => cache.set(key, value);
  }

  static async connect({ urls, stay }: ClientTarget, { entries }: CacheOpenOptions): Promise<TrivetCache> {
    const routing = stay === true ? "any" : "leader";
    const connection = await connect(urls, { connectTimeoutMs: 30_000, label: "benchmark", routing });
    return new TrivetCache(connection, connection.cache<string>("default", { maxEntries: entries }));
  }

  textOf(answer: unknown): string | null {
    return (answer as CacheEntry<string>).value;
  }

  counts(): ReturnType<CacheClient["counts"]> {
    const { hits, misses } = this.#cache.statistics();
    return { hits, misses };
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}
