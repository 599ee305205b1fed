// Not the global of this name: that is a getter, and a hit reads the clock each time.
import { performance } from "node:perf_hooks";
import { evictionLimits, type PolicyName, policyNames, readableCopy } from "@trivet/core/holder";
import { type CachePut, limits, type LoadToken, type ShardCommand, type WriteCondition } from "@trivet/wire";
import { check, isText, isWhole } from "../checks.ts";
import type { ShardAnswer } from "../command-stream.ts";
import { TrivetError } from "../errors.ts";
import { type QueueCodec, jsonCodec } from "../queues/codec.ts";
import { fenceOf, heldFence } from "../queues/new-message.ts";
import { type ClientSpan, ended, type SpanAttributes } from "../tracing/tracing.ts";
import { cacheError } from "./answers.ts";
import { type CacheEntry, entryOf } from "./cache-entry.ts";
import { Loading } from "./loading.ts";
import type { Kept } from "./near-copies.ts";
import type { Near, NearCache } from "./near-cache.ts";
import { packedPut } from "./packing.ts";

export interface CacheOptions<T> {
  /** How values become bytes and back; default JSON, as HTTP stores and shows it. What it cannot decode, reads throw. */
  readonly codec?: QueueCodec<T>;
  /** Copies that this process keeps of the namespace; default 10 000. 0 = none: it is told its node's in mode `write-through`, else asks the home; no write waits for what it was told. */
  readonly maxEntries?: number;
  /** Their bytes, with about 256 for each beside its value; default 64 MiB. Decoded values come on top. */
  readonly maxBytes?: number;
  /** Which go when there is no room; default `wtinylfu`. */
  readonly policy?: PolicyName;
}
export interface CacheCallOptions {
  /** Fail after so long; default the connection's `commandTimeoutMs`. */
  readonly timeoutMs?: number;
}
export interface CacheReadOptions extends CacheCallOptions {
  /** A quorum confirms this one read; no copy answers it. */
  readonly strict?: boolean;
  /**
   * In a namespace with an origin: have the value loaded from there again, whatever is left of its time. `wait`: before this read, which gives what the origin
   * said after the call began, or what was written since. `behind`: after it; the node does it once a second for each key at most.
   */
  readonly revalidate?: "behind" | "wait";
}
export interface CacheChangeOptions extends CacheCallOptions {
  /** Only if no later holder of the lock has written (rule K5); a held `Lock` fits. */
  readonly ifFence?: { readonly name: string; readonly fence: bigint };
}
export interface CacheWriteOptions extends CacheChangeOptions {
  /** Gone after so long; default the namespace's. */
  readonly ttlMs?: number;
  /** For `invalidateTag`. */
  readonly tags?: readonly string[];
}
export interface LoadOptions extends CacheWriteOptions {
  /** How often the loader is called when its value was overtaken by a change; default 5. */
  readonly tries?: number;
}
/** What became of a compare-and-set: `version` is the new one, or the one that is there (0 = nothing). */
export interface CompareAndSet {
  readonly swapped: boolean;
  readonly version: number;
}
export interface CacheStatistics {
  readonly hits: number;
  readonly misses: number;
  /** Copies that this process has of the namespace, over all handles. */
  readonly entries: number;
  readonly bytes: number;
}

const defaultBounds = { maxEntries: 10_000, maxBytes: 64 * 1024 * 1024, policy: "wtinylfu" } as const;
const defaultCodec: QueueCodec<unknown> = jsonCodec();
const always: WriteCondition = { type: "always" };
const nothing = (): SpanAttributes => ({});
const writtenAs = ({ type }: ShardAnswer): SpanAttributes => ({ "trivet.outcome": type });
/** No value ever has this version. */
const never: WriteCondition = { type: "version", version: Number.MAX_SAFE_INTEGER };

/**
 * Cached values of one namespace. This process keeps copies under leases from the keys' homes, as nodes do: a hit touches no network, and no read that
 * begins after a write was answered, anywhere, gives an older value.
 */
export class Cache<T = unknown> {
  readonly name: string;
  private readonly near: NearCache;
  private readonly namespace: Near;
  private readonly codec: QueueCodec<T>;
  private readonly loading: Loading<T>;
  private hits = 0;
  private misses = 0;

  /** Use `connection.cache(name)`. */
  constructor(name: string, near: NearCache, options: CacheOptions<T>) {
    const { codec, ...bounds } = options;
    // eslint-disable-next-line no-control-regex
    check("namespace", name !== "" && isText(name, limits.maxNameBytes) && !/[\u0000-\u001f\u007f]/.test(name), "a name of a namespace");
    if (bounds.maxEntries !== undefined)
      check("maxEntries", isWhole(bounds.maxEntries, evictionLimits.entries), `0 to ${evictionLimits.entries}`);
    if (bounds.maxBytes !== undefined) check("maxBytes", bounds.maxBytes >= 0, "a number of bytes");
    if (bounds.policy !== undefined) check("policy", policyNames.includes(bounds.policy), policyNames.join(", "));
    this.name = name;
    this.near = near;
    this.namespace = near.namespace(name, bounds, defaultBounds);
    this.codec = codec ?? (defaultCodec as QueueCodec<T>);
    this.loading = new Loading<T>({
      name,
      // Its loader is what the key comes from.
      get: (key, read) => this.stored(key, read),
      reread: (key, read) => this.stored(key, this.afterChange(read)),
      deadline: (read) => this.deadline(read),
      claim: (key, deadline) => near.claim(this.namespace, key, deadline),
      setLoaded: (key, value, token, write) => this.setLoaded(key, value, token, write),
    });
  }

  /**
   * The copy that may be read at this moment, without waiting; undefined when there is none, then `get` finds out. A copy may say that nothing is stored, also
   * of what an origin has. The same object is given to all who read this copy.
   */
  peek(key: string): CacheEntry<T> | undefined {
    const { copies } = this.namespace;
    const kept = copies.find(key);
    if (kept === undefined) return undefined;
    const steady = performance.now();
    const copy = readableCopy(kept.holder.state, kept.line, steady, Date.now());
    if (copy === undefined) return undefined;
    this.hits++;
    copies.hit(kept);
    // No codec, no entry yet.
    if (kept.codec !== this.codec) {
      copies.readAs(key, kept);
      kept.entry = entryOf(key, copy.record, "copy", this.codec);
      kept.codec = this.codec;
    }
    const { until } = copy;
    if (until !== null && until.steady - steady <= (this.namespace.known?.revalidateMs ?? 0)) this.revalidate(key, kept);
    return kept.entry as CacheEntry<T>;
  }

  /** It is read until its end all the same. */
  private revalidate(key: string, kept: Kept): void {
    if (kept.entry?.found !== "value") return;
    if (kept.entry.isStale !== true) kept.entry = { ...kept.entry, isStale: true };
    this.near.loadBehind(this.namespace, key, "absent");
  }

  /** What is stored, from a copy or from the key's home, or else what its namespace's origin has. Rejects with TrivetError. */
  get(key: string, options: CacheReadOptions = {}): Promise<CacheEntry<T>> {
    return this.find(key, options, null);
  }

  /** `shared`: a span of others, too; null = what is asked for it has spans of its own. */
  private async find(key: string, options: CacheReadOptions, shared: ClientSpan | null): Promise<CacheEntry<T>> {
    const { revalidate } = options;
    if (revalidate === "wait") {
      checkKey(key);
      return this.loaded(key, "wait", options, shared);
    }
    const entry = await this.stored(key, options, shared);
    if (revalidate === "behind" && entry.found !== "absent") this.near.loadBehind(this.namespace, key, "behind");
    if (entry.found !== "absent" || !this.near.hasOrigin(this.namespace)) return entry;
    return this.loaded(key, "absent", options, shared);
  }

  private async loaded(key: string, how: "absent" | "wait", options: CacheReadOptions, shared: ClientSpan | null): Promise<CacheEntry<T>> {
    const span = shared === null ? this.begin("load") : null;
    const traces = (span ?? shared)?.traces ?? null;
    await ended(span, this.near.load(this.namespace, key, how, this.deadline(options), traces), nothing);
    return this.stored(key, this.afterChange(options), shared);
  }

  /** A copy of mode `ttl` outlives what was stored since. */
  private afterChange(options: CacheReadOptions): CacheReadOptions {
    return this.namespace.known?.mode.type === "ttl" ? { ...options, strict: true } : options;
  }

  /** Each key for itself: not one moment for all. In the order of the keys. */
  getMany(keys: readonly string[], options: CacheReadOptions = {}): Promise<CacheEntry<T>[]> {
    const span = this.near.tracing.isOn ? this.begin("getMany", { "db.operation.batch.size": keys.length }) : null;
    return ended(span, Promise.all(keys.map((key) => this.find(key, options, span))), nothing);
  }

  /** Stores a value; null = a negative entry. Resolves with its version when no older copy can be read anywhere. Rejects with TrivetError. */
  async set(key: string, value: T | null, options: CacheWriteOptions = {}): Promise<number> {
    const answer = await this.put("set", key, value, always, null, options);
    if (answer.type !== "cache-written") throw cacheError(this.name, key, answer);
    return answer.version;
  }

  /** Stores a value if the key has this version; 0 = if there is nothing. Rejects with TrivetError. */
  async compareAndSet(key: string, version: number, value: T | null, options: CacheWriteOptions = {}): Promise<CompareAndSet> {
    const answer = await this.put("compareAndSet", key, value, { type: "version", version }, null, options);
    if (answer.type === "cache-written") return { swapped: true, version: answer.version };
    if (answer.type === "cache-conflict") return { swapped: false, version: answer.version };
    throw cacheError(this.name, key, answer);
  }

  /** Stores what a loader brought, if nothing has changed since the read that `token` is of (rule M8); false = something has. */
  async setLoaded(key: string, value: T | null, token: LoadToken, options: CacheWriteOptions = {}): Promise<boolean> {
    const answer = await this.put("setLoaded", key, value, always, token, options);
    if (answer.type === "cache-written") return true;
    if (answer.type === "cache-conflict") return false;
    throw cacheError(this.name, key, answer);
  }

  /** True = there was something. Rejects with TrivetError. */
  async delete(key: string, options: CacheChangeOptions = {}): Promise<boolean> {
    checkKey(key);
    const ifFence = fenceOf(options.ifFence);
    const answer = await this.write("delete", key, options, (namespace) => ({
      type: "cache-delete",
      ...namespace,
      key,
      condition: always,
      ifFence,
    }));
    if (answer.type !== "cache-deleted") throw cacheError(this.name, key, answer);
    return answer.version > 0;
  }

  /**
   * Shuts out who held the lock before: from here on no write of this key under a lower fence of it is stored (rule K5). Whoever was granted the lock does this
   * before its first read; nothing stored changes. Rejects with FenceBehindError when a later holder was here; after any other error: again.
   */
  async raiseFence(key: string, lock: NonNullable<CacheChangeOptions["ifFence"]>, options: CacheCallOptions = {}): Promise<void> {
    checkKey(key);
    const ifFence = heldFence("lock", lock);
    // A write is judged by its fence first: one that comes to nothing raises it, also in a cluster that keeps its queues elsewhere, and while the origin is away.
    const raise = (namespace: { readonly namespace: number; readonly version: number }): ShardCommand => {
      return { type: "cache-delete", ...namespace, key, condition: never, ifFence };
    };
    const answer = await this.write("raiseFence", key, options, raise, false);
    if (answer.type !== "cache-conflict" && answer.type !== "cache-unloaded") throw cacheError(this.name, key, answer);
  }

  /** Of a whole number in decimal, as JSON writes it; what is absent counts as 0. Resolves with what it came to. Rejects with TrivetError. */
  async increment(key: string, by = 1, options: Omit<CacheWriteOptions, "tags"> = {}): Promise<number> {
    checkKey(key);
    check("by", Number.isSafeInteger(by), "a whole number below 2^53");
    const [ifFence, ttlMs] = [fenceOf(options.ifFence), ttlOf(options)];
    const answer = await this.write("increment", key, options, (namespace) => ({
      type: "cache-increment",
      ...namespace,
      key,
      by,
      ttlMs,
      ifFence,
    }));
    if (answer.type !== "cache-written" || answer.number === null) throw cacheError(this.name, key, answer);
    return answer.number;
  }

  /**
   * What is stored (null: a negative entry says that there is nothing), else what `loader` brings, stored for all. Calls of this handle that come while a loader
   * runs share it; those of other processes wait for it, as long as its home is the same and its process connected, and then read. A value that a change or invalidation has overtaken is not stored, and the loader is called again. Rejects with TrivetError, or as the loader does.
   */
  getOrLoad(key: string, loader: (key: string) => Promise<T | null> | T | null, options: LoadOptions = {}): Promise<T | null> {
    const copy = this.peek(key);
    if (copy !== undefined && copy.found !== "absent") return Promise.resolve(copy.value);
    return this.loading.load(key, loader, options);
  }

  /** Everything that carries the tag is gone, and nobody can read it any more (rule M8). Resolves with the number of shards. Rejects with TrivetError. */
  async invalidateTag(tag: string, options: CacheCallOptions = {}): Promise<number> {
    checkTag(tag);
    return this.invalidateAll(tag, options);
  }

  /** The same of everything in the namespace. */
  invalidate(options: CacheCallOptions = {}): Promise<number> {
    return this.invalidateAll("", options);
  }

  private invalidateAll(tag: string, options: CacheCallOptions): Promise<number> {
    const span = this.begin("invalidate");
    const shards = this.near.invalidate(this.namespace, tag, this.deadline(options), span?.traces ?? null);
    return ended(span, shards, nothing);
  }

  statistics(): CacheStatistics {
    const { entries, bytes } = this.namespace.copies;
    return { hits: this.hits, misses: this.misses, entries, bytes };
  }

  /** Without asking the origin. */
  private async stored(key: string, options: CacheReadOptions, shared: ClientSpan | null = null): Promise<CacheEntry<T>> {
    const { strict = false } = options;
    const copy = strict ? undefined : this.peek(key);
    if (copy !== undefined) return copy;
    checkKey(key);
    this.misses++;
    const span = shared === null ? this.begin("get") : null;
    const read = this.near.read(this.namespace, key, strict, this.deadline(options), (span ?? shared)?.traces ?? null);
    const { record, source } = await ended(span, read, nothing);
    const entry = entryOf(key, record, source, this.codec);
    const isStale = entry.found === "value" && record.ttlMs > 0 && record.ttlMs <= (this.namespace.known?.revalidateMs ?? 0);
    if (!isStale) return entry;
    this.near.loadBehind(this.namespace, key, "absent");
    return { ...entry, isStale };
  }

  /** Null = nobody records it. Hits have none: they take less than a span does. Keys stay out of it. */
  private begin(operation: string, told: SpanAttributes | null = null): ClientSpan | null {
    const { tracing } = this.near;
    if (!tracing.isOn) return null;
    const attributes = { "db.system.name": "trivet", "db.namespace": this.name, "db.operation.name": operation, ...told };
    return tracing.begin("client", `${operation} ${this.name}`, attributes, "caller");
  }

  private write(
    operation: string,
    key: string,
    options: CacheCallOptions,
    command: Parameters<NearCache["write"]>[3],
    mayLoad = true,
  ): Promise<ShardAnswer> {
    const span = this.begin(operation);
    const written = this.near.write(this.namespace, key, this.deadline(options), command, mayLoad, span?.traces ?? null);
    return ended(span, written, writtenAs);
  }

  private async put(
    operation: string,
    key: string,
    value: T | null,
    condition: WriteCondition,
    token: LoadToken | null,
    options: CacheWriteOptions,
  ): Promise<ShardAnswer> {
    return this.write(operation, key, options, this.command(key, value, condition, token, options));
  }

  private command(
    key: string,
    value: T | null,
    condition: WriteCondition,
    token: LoadToken | null,
    options: CacheWriteOptions,
  ): (namespace: Pick<CachePut, "namespace" | "version">, compressOver: number) => CachePut {
    checkKey(key);
    const bytes = value === null ? null : this.encoded(value);
    check("value", (bytes?.length ?? 0) <= limits.maxBodyBytes, `at most ${limits.maxBodyBytes} bytes`);
    const { tags = [] } = options;
    check("tags", tags.length <= limits.maxTags, `at most ${limits.maxTags}`);
    for (const tag of tags) checkTag(tag);
    const [ifFence, ttlMs] = [fenceOf(options.ifFence), ttlOf(options)];
    const plain = { type: "cache-put", key, value: bytes, tags, ttlMs, condition, token, ifFence } as const;
    return (namespace, compressOver) => packedPut({ ...plain, ...namespace }, compressOver);
  }

  private encoded(value: T): Uint8Array {
    try {
      return this.codec.encode(value);
    } catch (error) {
      throw new TrivetError("bad_request", `The codec cannot encode the value: ${(error as Error).message}`, { cause: error });
    }
  }

  private deadline({ timeoutMs = this.near.timeoutMs }: CacheCallOptions): number {
    return performance.now() + timeoutMs;
  }
}

function checkKey(key: string): void {
  check("key", key !== "" && isText(key, limits.maxCacheKeyBytes), `1 to ${limits.maxCacheKeyBytes} bytes of UTF-8`);
}

function checkTag(tag: string): void {
  check("tag", tag !== "" && isText(tag, limits.maxTagBytes), `1 to ${limits.maxTagBytes} bytes of UTF-8`);
}

function ttlOf({ ttlMs = 0 }: CacheWriteOptions): number {
  check("ttlMs", isWhole(ttlMs, limits.maxDurationMs), `a whole number up to ${limits.maxDurationMs}`);
  return ttlMs;
}
