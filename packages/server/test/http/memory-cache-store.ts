import type {
  CacheChange,
  CacheDelete,
  CacheFailure,
  CacheIncrement,
  CachePut,
  CacheRefusal,
  LoadToken,
  NamespaceSettings,
  NamespaceView,
  Violation,
  WriteCondition,
} from "@trivet/engine";
import type { MemoryCache } from "./memory-cache.ts";

export interface Stored {
  readonly value: Uint8Array | null;
  readonly version: number;
  readonly tags: readonly string[];
  readonly ttlMs: number;
}
interface Watcher {
  readonly namespace: string;
  readonly prefix: string;
  readonly changed: (change: CacheChange) => void;
  readonly ended: (why: CacheFailure) => void;
}

const defaults: NamespaceSettings = {
  mode: "write-through",
  staleMs: 0,
  ttlMs: 0,
  negativeTtlMs: 0,
  maxEntries: 0,
  maxBytes: 0,
  write: "here",
  maxBehind: 0,
  revalidateMs: 0,
  compressOver: 0,
  copyEntries: 0,
  copyBytes: 0,
  policy: "wtinylfu",
  origin: "none",
};

export const nameOf = (namespace: string, key: string): string => JSON.stringify([namespace, key]);

/** What the shards of a cluster hold, as one: values, versions, what was removed, who watches. */
export class MemoryCacheStore {
  readonly nodes: MemoryCache[] = [];
  readonly values = new Map<string, Stored>();
  readonly namespaces = new Map<string, NamespaceView>();
  readonly silent: string[] = [];
  readonly truncated: string[] = [];
  readonly violations: Violation[] = [];
  readonly watchers = new Set<Watcher>();
  readonly changes: CacheChange[] = [];
  /** Positions before this one are forgotten. */
  oldest = 0;
  counter = 0;
  readonly #removals = new Map<string, number>();
  readonly #fences = new Map<string, number>();
  #made = 1;

  constructor() {
    this.namespaces.set("default", { namespace: 1, name: "default", version: 1, settings: defaults, createdAt: 0 });
  }

  stored(namespace: string, key: string): Stored | undefined {
    return this.values.get(nameOf(namespace, key));
  }
  token(namespace: string, key: string): LoadToken {
    return { version: this.stored(namespace, key)?.version ?? 0, asOf: this.counter };
  }

  define(
    name: string,
    settings: Partial<NamespaceSettings>,
    mode: "create" | "update" | "ensure",
  ): { readonly type: "defined"; readonly created: boolean; readonly namespace: NamespaceView } | CacheRefusal {
    const before = this.namespaces.get(name);
    if (before === undefined && mode === "update") return { type: "unknown-namespace", namespace: name };
    if (before !== undefined && mode === "create") return { type: "namespace-exists", namespace: before };
    const asked = settings.mode;
    if (before !== undefined && asked !== undefined && asked !== before.settings.mode)
      return { type: "fixed", field: "mode", value: before.settings.mode, asked };
    const { namespace = ++this.#made, version = 0, createdAt = 1_000, settings: old = defaults } = before ?? {};
    const made = { namespace, name, version: version + 1, settings: { ...old, ...settings }, createdAt };
    this.namespaces.set(name, made);
    return { type: "defined", created: before === undefined, namespace: made };
  }

  #refusalOf(
    { namespace, key, ifFence }: { readonly namespace: string; readonly key: string; readonly ifFence: CacheDelete["ifFence"] },
    condition: WriteCondition,
    token: LoadToken | null,
    tags: readonly string[],
  ): CacheRefusal | null {
    if (!this.namespaces.has(namespace)) return { type: "unknown-namespace", namespace };
    const version = this.stored(namespace, key)?.version ?? 0;
    const conflict = (reason: "exists" | "absent" | "version" | "token"): CacheRefusal => ({ type: "conflict", reason, version });
    if (condition.type === "absent" && version > 0) return conflict("exists");
    if (condition.type === "present" && version === 0) return conflict("absent");
    if (condition.type === "version" && condition.version !== version) return conflict("version");
    const removed = Math.max(
      ...[nameOf(namespace, key), namespace, ...tags.map((tag) => `${namespace}#${tag}`)].map((name) => this.#removals.get(name) ?? 0),
    );
    if (token !== null && (token.version !== version || removed > token.asOf)) return conflict("token");
    if (ifFence === null) return null;
    const highest = this.#fences.get(ifFence.lock) ?? 0;
    if (ifFence.fence < highest) return { type: "fence-behind", lock: ifFence.lock, highest: String(highest) };
    this.#fences.set(ifFence.lock, ifFence.fence);
    return null;
  }

  put(request: CachePut): { readonly version: number } | CacheRefusal {
    const { namespace, key, value, tags, ttlMs } = request;
    const refusal = this.#refusalOf(request, request.condition, request.token, tags);
    if (refusal !== null) return refusal;
    const { maxEntries = 0 } = this.namespaces.get(namespace)?.settings ?? {};
    const there = [...this.values.keys()].filter((name) => (JSON.parse(name) as readonly string[])[0] === namespace).length;
    if (maxEntries > 0 && there >= maxEntries && this.stored(namespace, key) === undefined)
      return { type: "cache-full", limit: "entries", max: maxEntries };
    const version = ++this.counter;
    this.values.set(nameOf(namespace, key), { value, version, tags, ttlMs });
    this.tell({ namespace, key, tag: null, change: "put", version });
    return { version };
  }

  increment(request: CacheIncrement): { readonly version: number; readonly number: number } | CacheRefusal {
    const { namespace, key, by, ttlMs } = request;
    const refusal = this.#refusalOf(request, { type: "always" }, null, []);
    if (refusal !== null) return refusal;
    const before = this.stored(namespace, key);
    const text = before?.value === undefined || before.value === null ? "0" : new TextDecoder().decode(before.value);
    const number = Number(text) + by;
    if (!/^-?[0-9]+$/.test(text) || !Number.isSafeInteger(number)) return { type: "not-a-number" };
    const version = ++this.counter;
    this.values.set(nameOf(namespace, key), { value: new TextEncoder().encode(String(number)), version, tags: before?.tags ?? [], ttlMs });
    this.tell({ namespace, key, tag: null, change: "put", version });
    return { version, number };
  }

  delete(request: CacheDelete): { readonly version: number } | CacheRefusal {
    const { namespace, key } = request;
    const refusal = this.#refusalOf(request, request.condition, null, []);
    if (refusal !== null) return refusal;
    if (!this.values.delete(nameOf(namespace, key))) return { version: 0 };
    const version = ++this.counter;
    this.#removals.set(nameOf(namespace, key), version);
    this.tell({ namespace, key, tag: null, change: "delete", version });
    return { version };
  }

  /** The names of the values that are gone. */
  invalidate(namespace: string, tag: string | null): readonly string[] | CacheRefusal {
    if (!this.namespaces.has(namespace)) return { type: "unknown-namespace", namespace };
    const version = ++this.counter;
    this.#removals.set(tag === null ? namespace : `${namespace}#${tag}`, version);
    const gone = [...this.values]
      .filter(([name, { tags }]) => (JSON.parse(name) as readonly string[])[0] === namespace && (tag === null || tags.includes(tag)))
      .map(([name]) => name);
    for (const name of gone) this.values.delete(name);
    this.tell({ namespace, key: null, tag, change: "invalidate", version });
    return gone;
  }

  tell(change: Omit<CacheChange, "type" | "position">): void {
    const told: CacheChange = { ...change, type: "changed", position: `p${this.changes.length + 1}` };
    this.changes.push(told);
    for (const watcher of this.watchers) this.#pass(watcher, told);
  }
  #pass(watcher: Watcher, change: CacheChange): void {
    if (change.namespace === watcher.namespace && (change.key === null || change.key.startsWith(watcher.prefix))) watcher.changed(change);
  }
  watch(watcher: Watcher, from: string | null): void {
    if (!this.namespaces.has(watcher.namespace)) {
      watcher.ended({ type: "unknown-namespace", namespace: watcher.namespace });
      return;
    }
    const position = from === null ? this.changes.length : Number(from.slice(1));
    if (position < this.oldest) {
      watcher.ended({ type: "position-gone" });
      return;
    }
    for (const change of this.changes.slice(position)) this.#pass(watcher, change);
    this.watchers.add(watcher);
  }
}
