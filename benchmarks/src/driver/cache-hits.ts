import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { zipfKeys } from "../eviction/zipf.ts";
import { waitFor } from "../waiting.ts";
import { cacheKeys, fillCache, turn, type CacheClient } from "./cache-client.ts";
import { median } from "./statistics.ts";

export interface CacheHitOptions {
  /** All of them are kept by the process. */
  readonly keys: number;
  /** Reads that are measured, of each kind. */
  readonly requests: number;
}

/** One way of reading what the process keeps. Medians over batches. */
export interface HitCost {
  readonly ns: number;
  /** Of the heap, for each hit. */
  readonly heap_bytes: number;
  readonly requests: number;
  readonly seconds: number;
  /** Batches in which some read found no copy, which is no hit: they do not count, and are made again. */
  readonly spoilt: number;
}

export interface CacheHitResult {
  readonly peek: HitCost | null;
  /** Null where the subject's only call is synchronous. */
  readonly get: HitCost | null;
}

/** Reads between two turns of the loop: a few milliseconds, far less than a lease lasts. */
const batch = 20_000;
/** A machine that is busy with other things costs leases now and then. */
const mostSpoilt = 50;
const keepMs = 60_000;
const seed = 11;
const exponent = 0.99;

type Batch = (from: number, to: number) => void | Promise<void>;

/** Keys by Zipf, so that processor caches see what a program's would. */
export async function cacheHits(client: CacheClient, hasAsync: boolean, options: CacheHitOptions): Promise<CacheHitResult> {
  const keys = cacheKeys(options.keys);
  await fillCache(client, keys);
  await keepAll(client, keys);
  const order = [...zipfKeys(options.keys, exponent, batch, seed)].map((place) => keys[place] ?? "");
  const { peek } = client;
  let misses = 0;
  const peeks: Batch = (from, to) => {
    if (peek === null) return;
    for (let at = from; at < to; at++) if (peek(order[at] ?? "") === undefined) misses++;
  };
  const gets: Batch = async (from, to) => {
    for (let at = from; at < to; at++) if ((await client.get(order[at] ?? "")) === undefined) misses++;
  };
  /** Whether all reads since the last question were hits; else all keys are read again. */
  let counted = client.counts()?.misses ?? 0;
  const wereHits = async (): Promise<boolean> => {
    const now = client.counts()?.misses ?? 0;
    const spoilt = misses > 0 || now > counted;
    if (spoilt) await keepAll(client, keys);
    misses = 0;
    counted = client.counts()?.misses ?? 0;
    return !spoilt;
  };
  const { requests } = options;
  return {
    peek: peek === null ? null : await inBatches(peeks, requests, wereHits),
    get: hasAsync ? await inBatches(gets, requests, wereHits) : null,
  };
}

/** Reads until every key is in this process. */
async function keepAll(client: CacheClient, keys: readonly string[]): Promise<void> {
  const { peek } = client;
  if (peek === null) {
    for (const key of keys) await client.get(key);
    return;
  }
  await waitFor("every key to have a copy in this process", keepMs, async () => {
    const missing = keys.filter((key) => peek(key) === undefined);
    await Promise.all(missing.map((key) => client.get(key)));
    return missing.length === 0 ? true : null;
  });
}

async function inBatches(run: Batch, requests: number, wereHits: () => Promise<boolean>): Promise<HitCost> {
  const collect = collector();
  // Once over everything first: what is measured is compiled code.
  for (let done = 0; done < requests; done += batch) {
    await run(0, Math.min(batch, requests - done));
    await turn();
  }
  await wereHits();
  const nanoseconds: number[] = [];
  const bytes: number[] = [];
  let seconds = 0;
  let spoilt = 0;
  for (let done = 0; done < requests;) {
    const size = Math.min(batch, requests - done);
    collect();
    await turn();
    const heapBefore = process.memoryUsage().heapUsed;
    const startedAt = performance.now();
    await run(0, size);
    const ms = performance.now() - startedAt;
    const added = process.memoryUsage().heapUsed - heapBefore;
    if (!(await wereHits())) {
      if (++spoilt > mostSpoilt) throw new Error("this process could not keep its copies while it read them");
      continue;
    }
    done += size;
    bytes.push(added / size);
    nanoseconds.push((ms * 1e6) / size);
    seconds += ms / 1000;
    await turn();
  }
  return { ns: median(nanoseconds) ?? 0, heap_bytes: Math.max(0, median(bytes) ?? 0), requests, seconds, spoilt };
}

/** Only the young generation: the heap is small, and what is of interest is what one batch adds. */
function collector(): () => void {
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as (options: { readonly type: "minor" }) => void;
  return () => {
    gc({ type: "minor" });
  };
}
