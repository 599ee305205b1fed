import type { CacheClient, CacheOpenOptions } from "../driver/cache-client.ts";
import { requirePeer } from "./peer-modules.ts";

interface SideCache {
  stats(): { readonly hitCount: number; readonly missCount: number };
}
interface RedisConnection {
  connect(): Promise<unknown>;
  get(key: string): Promise<string | null>;
  set(key: string, value: string): Promise<unknown>;
  on(event: "error", listener: (error: Error) => void): void;
  destroy(): void;
}
interface RedisModule {
  createClient(
    this: void,
    options: {
      readonly url: string;
      readonly RESP: 3;
      readonly pingInterval: number;
      readonly socket: { readonly connectTimeout: number; readonly socketTimeout: number };
      readonly clientSideCache?: SideCache;
    },
  ): RedisConnection;
  readonly BasicClientSideCache: new (options: {
    readonly ttl: number;
    readonly maxEntries: number;
    readonly evictPolicy: "LRU";
  }) => SideCache;
}

/** Finds out about a dead link as well as this client can: it pings every second, and gives up a socket on which nothing moves. */
const pingMs = 1000;
const silenceMs = 5000;

/** @redis/client: one connection which pipelines the calls of a turn; with its client-side cache (invalidations pushed by the server) or without. */
export class NodeRedisCache implements CacheClient {
  readonly peek: null = null;
  readonly #connection: RedisConnection;
  readonly #copies: SideCache | null;

  private constructor(connection: RedisConnection, copies: SideCache | null) {
    this.#connection = connection;
    this.#copies = copies;
  }

  static async connect([url]: readonly string[], copies: CacheOpenOptions | null): Promise<NodeRedisCache> {
    if (url === undefined) throw new Error("a client needs an address");
    const { createClient, BasicClientSideCache } = requirePeer("@redis/client") as RedisModule;
    const keeps = copies !== null && copies.entries > 0;
    const side = keeps ? new BasicClientSideCache({ ttl: 0, maxEntries: copies.entries, evictPolicy: "LRU" }) : null;
    const connection = createClient({
      url,
      RESP: 3,
      pingInterval: pingMs,
      socket: { connectTimeout: silenceMs, socketTimeout: silenceMs },
      ...(side === null ? {} : { clientSideCache: side }),
    });
    connection.on("error", (error) => {
      process.stderr.write(`redis: ${error.message}\n`);
    });
    await connection.connect();
    return new NodeRedisCache(connection, side);
  }

  get(key: string): Promise<unknown> {
    return this.#connection.get(key);
  }

  set(key: string, value: string): Promise<unknown> {
    return this.#connection.set(key, value);
  }

  textOf(answer: unknown): string | null {
    return typeof answer === "string" ? answer : null;
  }

  counts(): ReturnType<CacheClient["counts"]> {
    const stats = this.#copies?.stats();
    return stats === undefined ? null : { hits: stats.hitCount, misses: stats.missCount };
  }

  close(): Promise<void> {
    this.#connection.destroy();
    return Promise.resolve();
  }
}
