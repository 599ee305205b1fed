import { cacheKeys, fillCache, valueOf, type CacheClient } from "../driver/cache-client.ts";
import { cacheHits } from "../driver/cache-hits.ts";
import { cacheMixed } from "../driver/cache-mixed.ts";
import { cacheReads } from "../driver/cache-reads.ts";
import { staleReads, warmReader } from "../driver/cache-stale.ts";
import { waitFor } from "../waiting.ts";
import type { CacheCalls } from "./cache-protocol.ts";
import { connectCache, hasAsyncHits } from "./connect-cache.ts";
import type { ClientTarget, Handlers } from "./protocol.ts";

/** The client's side of the calls about caches. Each workload wants another kind of connection, so the calls make them. */
export function cacheCalls(target: ClientTarget): Handlers<keyof CacheCalls> {
  let opened: CacheClient | null = null;
  let pair: { readonly reader: CacheClient; readonly writer: CacheClient } | null = null;
  let written = 0;
  const client = (): CacheClient => {
    if (opened === null) throw new Error("cacheOpen comes first");
    return opened;
  };
  return {
    cacheOpen: async (options) => {
      await opened?.close();
      opened = await connectCache(target, options);
      return null;
    },
    cacheFill: async ({ keys }) => {
      await fillCache(client(), keys);
      return null;
    },
    cacheHits: (options) => cacheHits(client(), hasAsyncHits(target.kind), options),
    cacheReads: (options) => cacheReads(client(), options),
    cacheHold: async ({ keys, timeoutMs }) => {
      for (const key of keys) await hold(client(), key, timeoutMs);
      return null;
    },
    cacheWrite: async ({ key }) => {
      const sentAt = performance.now();
      await client().set(key, valueOf(++written));
      return { ms: performance.now() - sentAt };
    },
    cacheMixed: (options) => cacheMixed(client(), options),
    staleOpen: async ({ readerUrls, keys }) => {
      await pair?.reader.close();
      await pair?.writer.close();
      const writer = await connectCache(target, { entries: 0 });
      const reader = await connectCache({ ...target, urls: readerUrls, stay: true }, { entries: keys * 2 });
      pair = { reader, writer };
      await warmReader(reader, writer, keys);
      for (const key of cacheKeys(keys)) await hold(reader, key, holdMs);
      return null;
    },
    staleRun: (options) => {
      if (pair === null) throw new Error("staleOpen comes first");
      return staleReads(pair.reader, pair.writer, options);
    },
  };
}

/** A reader gets its lease with its first reads. */
const holdMs = 10_000;

/** Reads until this process has a copy; a subject without `peek` has read it once more. */
async function hold(client: CacheClient, key: string, timeoutMs: number): Promise<void> {
  await client.get(key);
  const { peek } = client;
  if (peek === null) return;
  await waitFor(
    `a copy of ${key}`,
    timeoutMs,
    async () => {
      if (peek(key) !== undefined) return true;
      await client.get(key);
      return null;
    },
    1,
  );
}
