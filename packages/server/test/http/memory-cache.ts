import type {
  CacheApi,
  CacheCallOptions,
  CacheConsistency,
  CacheDelete,
  CacheDeleted,
  CacheEntry,
  CacheFailure,
  CacheIncrement,
  CachePut,
  CacheRefusal,
  CacheRevalidation,
  LoadClaim,
  CacheStatePage,
  CacheStatistics,
  CacheWatch,
  CacheWritten,
  CopyTransition,
  CopyView,
  Explained,
  NamespaceSettings,
  NamespaceView,
  Verified,
} from "@trivet/engine";
import type { LineState } from "@trivet/core";
import { MemoryCacheStore, nameOf, type Stored } from "./memory-cache-store.ts";

interface Listed {
  readonly type: "listed";
  readonly namespaces: readonly NamespaceView[];
  readonly next: string | null;
}
interface Copy {
  state: LineState;
  /** Null = known to be absent. */
  readonly stored: Stored | null;
}

/**
 * One node's cache in maps, for tests of what stands before it: nodes on one store keep each other's copies in order, at once and without any
 * message. `refuse` answers the next call with a failure; `calls` tells what was asked.
 */
export class MemoryCache implements CacheApi {
  readonly calls: { readonly name: string; readonly options: CacheCallOptions; readonly consistency?: CacheConsistency }[] = [];
  readonly store: MemoryCacheStore;
  readonly node: string;
  readonly copies = new Map<string, Copy>();
  readonly #transitions = new Map<string, CopyTransition[]>();
  readonly #counts = { hits: 0, misses: 0, writes: 0, evictions: 0, invalidationsSent: 0, invalidationsReceived: 0, lapses: 0 };
  readonly #answered = new Map<string, { readonly fingerprint: string; readonly outcome: unknown }>();
  #refusal: CacheFailure | null = null;

  constructor(node = "node1", store: MemoryCacheStore = new MemoryCacheStore()) {
    this.node = node;
    this.store = store;
    store.nodes.push(this);
  }

  refuse(failure: CacheFailure): void {
    this.#refusal = failure;
  }

  /** Later, once, and for a repeated idempotency key what was answered before. */
  #answer<T extends { readonly type: string }>(
    name: string,
    options: CacheCallOptions,
    done: (outcome: T | CacheFailure) => void,
    work: () => T | CacheRefusal,
    consistency?: CacheConsistency,
  ): void {
    this.calls.push({ name, options, ...(consistency === undefined ? {} : { consistency }) });
    setImmediate(() => {
      const refusal = this.#refusal;
      this.#refusal = null;
      const { key, fingerprint = "" } = options.idempotency ?? {};
      const before = key === undefined ? undefined : this.#answered.get(key);
      if (refusal !== null) done(refusal);
      else if (before !== undefined && before.fingerprint !== fingerprint) done({ type: "refused", reason: "other-body" });
      else {
        const outcome = (before?.outcome ?? work()) as T | CacheRefusal;
        if (key !== undefined) this.#answered.set(key, { fingerprint, outcome });
        done(outcome);
      }
    });
  }

  #others(): readonly MemoryCache[] {
    return this.store.nodes.filter((node) => node !== this);
  }
  #change(name: string, to: LineState, stored: Stored | null): void {
    const from = this.copies.get(name)?.state ?? "I";
    const told = this.#transitions.get(name) ?? [];
    if (from !== to) this.#transitions.set(name, [...told, { from, to, at: 1 }]);
    if (to === "I") this.copies.delete(name);
    else this.copies.set(name, { state: to, stored });
  }
  /** Every copy but one's own is given up. */
  #withdraw(name: string): void {
    for (const other of this.#others()) {
      if (!other.copies.has(name)) continue;
      this.#counts.invalidationsSent++;
      other.#counts.invalidationsReceived++;
      other.#change(name, "I", null);
    }
  }

  #entry(namespace: string, key: string, stored: Stored | null, source: CacheEntry["source"], holder: MemoryCache = this): CacheEntry {
    const found = stored === null ? "absent" : stored.value === null ? "negative" : "value";
    return {
      type: "entry",
      key,
      found,
      value: stored?.value ?? null,
      version: stored?.version ?? 0,
      tags: stored?.tags ?? [],
      ttlMs: stored?.ttlMs ?? 0,
      state: holder.copies.get(nameOf(namespace, key))?.state ?? "I",
      source,
      token: this.store.token(namespace, key),
    };
  }

  peek(namespace: string, key: string): CacheEntry | undefined {
    const copy = this.copies.get(nameOf(namespace, key));
    if (copy === undefined) return undefined;
    this.#counts.hits++;
    return this.#entry(namespace, key, copy.stored, "cache");
  }

  #read(namespace: string, key: string): CacheEntry | CacheRefusal {
    if (!this.store.namespaces.has(namespace)) return { type: "unknown-namespace", namespace };
    const own = this.peek(namespace, key);
    if (own !== undefined) return own;
    this.#counts.misses++;
    const name = nameOf(namespace, key);
    const stored = this.store.stored(namespace, key) ?? null;
    const sharers = this.#others().filter((node) => node.copies.has(name));
    for (const sharer of sharers) sharer.#change(name, "S", stored);
    this.#change(name, sharers.length === 0 ? "E" : "S", stored);
    return this.#entry(namespace, key, stored, "database");
  }

  get(
    namespace: string,
    key: string,
    consistency: CacheConsistency,
    timeoutMs: number,
    done: (outcome: CacheEntry | CacheFailure) => void,
  ): void {
    this.#answer<CacheEntry>("get", { timeoutMs }, done, () => this.#read(namespace, key), consistency);
  }
  /** What it was asked to load again. */
  readonly revalidated: string[] = [];
  revalidate(
    namespace: string,
    key: string,
    how: CacheRevalidation,
    timeoutMs: number,
    done: (outcome: CacheEntry | CacheFailure) => void,
  ): void {
    this.revalidated.push(`${namespace}/${key}: ${how}`);
    this.#answer<CacheEntry>("revalidate", { timeoutMs }, done, () => this.#read(namespace, key));
  }
  claimLoad(namespace: string, key: string, timeoutMs: number, done: Parameters<CacheApi["claimLoad"]>[3]): void {
    const claim = { type: "load-yours", release: () => {} } as const;
    this.#answer<LoadClaim>("claimLoad", { timeoutMs }, done, () => claim);
  }
  getMany(
    namespace: string,
    keys: readonly string[],
    consistency: CacheConsistency,
    timeoutMs: number,
    done: Parameters<CacheApi["getMany"]>[4],
  ): void {
    const work = (): { readonly type: "entries"; readonly entries: readonly (CacheEntry | CacheFailure)[] } => ({
      type: "entries",
      // A key of this name cannot be read.
      entries: keys.map((key) => (key === "silent" ? { type: "unknown", requestId: "r" } : this.#read(namespace, key))),
    });
    this.#answer("getMany", { timeoutMs }, done, work, consistency);
  }

  #written(
    namespace: string,
    key: string,
    done: { readonly version: number; readonly number?: number } | CacheRefusal,
  ): CacheWritten | CacheRefusal {
    if ("type" in done) return done;
    const name = nameOf(namespace, key);
    this.#counts.writes++;
    this.#withdraw(name);
    this.#change(name, "M", this.store.stored(namespace, key) ?? null);
    return { type: "written", key, version: done.version, number: done.number ?? null, state: "M", requestId: `r${done.version}` };
  }
  put(request: CachePut, options: CacheCallOptions, done: (outcome: CacheWritten | CacheFailure) => void): void {
    const { namespace, key } = request;
    this.#answer<CacheWritten>("put", options, done, () => this.#written(namespace, key, this.store.put(request)));
  }
  increment(request: CacheIncrement, options: CacheCallOptions, done: (outcome: CacheWritten | CacheFailure) => void): void {
    const { namespace, key } = request;
    this.#answer<CacheWritten>("increment", options, done, () => this.#written(namespace, key, this.store.increment(request)));
  }
  delete(request: CacheDelete, options: CacheCallOptions, done: (outcome: CacheDeleted | CacheFailure) => void): void {
    this.#answer<CacheDeleted>("delete", options, done, () => {
      const { namespace, key } = request;
      const outcome = this.store.delete(request);
      if ("type" in outcome) return outcome;
      const name = nameOf(namespace, key);
      this.#counts.writes++;
      this.#withdraw(name);
      if (this.copies.has(name)) this.#change(name, "I", null);
      return { type: "deleted", key, version: outcome.version, requestId: `r${outcome.version}` };
    });
  }
  invalidate(namespace: string, tag: string | null, options: CacheCallOptions, done: Parameters<CacheApi["invalidate"]>[3]): void {
    this.#answer<{ readonly type: "invalidated"; readonly shards: number }>("invalidate", options, done, () => {
      const gone = this.store.invalidate(namespace, tag);
      if ("type" in gone) return gone;
      for (const name of gone) for (const node of this.store.nodes) if (node.copies.has(name)) node.#change(name, "I", null);
      return { type: "invalidated", shards: 8 };
    });
  }
  dropCopies(namespace: string, key: string, timeoutMs: number, done: Parameters<CacheApi["dropCopies"]>[3]): void {
    this.#answer<{ readonly type: "dropped"; readonly version: number }>("dropCopies", { timeoutMs }, done, () => {
      if (!this.store.namespaces.has(namespace)) return { type: "unknown-namespace", namespace };
      const name = nameOf(namespace, key);
      this.#withdraw(name);
      if (this.copies.has(name)) this.#change(name, "I", null);
      return { type: "dropped", version: this.store.stored(namespace, key)?.version ?? 0 };
    });
  }
  fetchCopy(namespace: string, key: string, from: string | null, timeoutMs: number, done: Parameters<CacheApi["fetchCopy"]>[4]): void {
    this.#answer<(CacheEntry & { readonly node: string }) | { readonly type: "no-copy" }>("fetchCopy", { timeoutMs }, done, () => {
      const name = nameOf(namespace, key);
      const peer = this.#others().find(({ node, copies }) => copies.has(name) && (from === null || from === node));
      const copy = peer?.copies.get(name);
      if (peer === undefined || copy === undefined) return { type: "no-copy" };
      return { ...this.#entry(namespace, key, copy.stored, "peer", peer), node: peer.node };
    });
  }

  defineNamespace(
    name: string,
    settings: Partial<NamespaceSettings>,
    mode: "create" | "update" | "ensure",
    options: CacheCallOptions,
    done: Parameters<CacheApi["defineNamespace"]>[4],
  ): void {
    this.#answer("defineNamespace", options, done, () => this.store.define(name, settings, mode));
  }
  removeNamespace(name: string, options: CacheCallOptions, done: Parameters<CacheApi["removeNamespace"]>[2]): void {
    this.#answer<{ readonly type: "removed" }>("removeNamespace", options, done, () => {
      if (name === "default") return { type: "refused", reason: "the namespace default cannot be deleted" };
      return this.store.namespaces.delete(name) ? { type: "removed" } : { type: "unknown-namespace", namespace: name };
    });
  }
  namespace(name: string, timeoutMs: number, done: Parameters<CacheApi["namespace"]>[2]): void {
    const found = this.store.namespaces.get(name);
    this.#answer<{ readonly type: "namespace"; readonly namespace: NamespaceView }>("namespace", { timeoutMs }, done, () =>
      found === undefined ? { type: "unknown-namespace", namespace: name } : { type: "namespace", namespace: found },
    );
  }
  namespaces(prefix: string, cursor: string, limit: number, timeoutMs: number, done: Parameters<CacheApi["namespaces"]>[4]): void {
    this.#answer<Listed>("namespaces", { timeoutMs }, done, () => {
      const names = [...this.store.namespaces.keys()].filter((name) => name.startsWith(prefix) && name > cursor).sort();
      const namespaces = names.slice(0, limit).flatMap((name) => this.store.namespaces.get(name) ?? []);
      return { type: "listed", namespaces, next: names.length > limit ? (names[limit - 1] ?? null) : null };
    });
  }

  #view(name: string): CopyView {
    const copy = this.copies.get(name);
    const { state = "I" } = copy ?? {};
    const transitions = this.#transitions.get(name) ?? [];
    return { node: this.node, state, version: copy?.stored?.version ?? 0, leaseLeftMs: 650.4, ageMs: 3.2, transitions };
  }
  explain(namespace: string, key: string, timeoutMs: number, done: (outcome: Explained | CacheFailure) => void): void {
    this.#answer<Explained>("explain", { timeoutMs }, done, () => {
      if (!this.store.namespaces.has(namespace)) return { type: "unknown-namespace", namespace };
      const name = nameOf(namespace, key);
      const holders = this.store.nodes.filter((node) => node.copies.has(name));
      const alone = holders.find((node) => node.copies.get(name)?.state !== "S");
      const stored = this.store.stored(namespace, key);
      return {
        type: "explained",
        namespace,
        key,
        shard: 3,
        home: "node1",
        term: 2,
        phase: "open",
        version: stored?.version ?? 0,
        tags: stored?.tags ?? [],
        ttlMs: stored?.ttlMs ?? 0,
        directory: alone !== undefined ? "X" : holders.length > 0 ? "S" : "U",
        owner: alone?.node ?? null,
        sharers: holders.map(({ node }) => ({ holder: node, incarnation: 1, leaseLeftMs: 650.4 })),
        queued: 0,
        waitingFor: [],
        behind: null,
        copies: [this, ...this.#others()].map((node) => node.#view(name)),
        silent: this.store.silent,
      };
    });
  }
  verify(timeoutMs: number, done: (outcome: Verified | CacheFailure) => void): void {
    const { violations, silent, truncated, nodes } = this.store;
    this.#answer<Verified>("verify", { timeoutMs }, done, () => ({
      type: "verified",
      ok: violations.length + silent.length + truncated.length === 0,
      keysChecked: new Set(nodes.flatMap((node) => [...node.copies.keys()])).size,
      violations,
      silent,
      truncated,
    }));
  }
  state(cursor: string, limit: number): CacheStatePage {
    const names = [...this.copies.keys()].filter((name) => name > cursor).sort();
    const keys = names.slice(0, limit).map((name) => {
      const [namespace = "", key = ""] = JSON.parse(name) as readonly string[];
      const { state, version, ageMs } = this.#view(name);
      return { namespace, key, state, version, ageMs };
    });
    return { type: "state", keys, next: names.length > limit ? (names[limit - 1] ?? null) : null };
  }
  statistics(): CacheStatistics {
    const states: Record<string, number> = {};
    for (const { state } of this.copies.values()) states[state] = (states[state] ?? 0) + 1;
    const transitions: Record<string, number> = {};
    for (const { from, to } of [...this.#transitions.values()].flat())
      transitions[`${from}>${to}`] = (transitions[`${from}>${to}`] ?? 0) + 1;
    const bytes = [...this.copies.values()].reduce((sum, { stored }) => sum + (stored?.value?.length ?? 0), 0);
    return {
      ...this.#counts,
      states,
      transitions,
      entries: this.copies.size,
      bytes,
      maxEntries: 10_000,
      maxBytes: 67_108_864,
      policy: "wtinylfu",
      behind: { keys: 0, bytes: 0, forMs: 0 },
    };
  }
  watch(request: CacheWatch, listener: Parameters<CacheApi["watch"]>[1]): () => void {
    const { namespace, prefix, from } = request;
    const watcher = { namespace, prefix, changed: listener.changed.bind(listener), ended: listener.ended.bind(listener) };
    let stopped = false;
    queueMicrotask(() => {
      if (!stopped) this.store.watch(watcher, from);
    });
    return () => {
      stopped = true;
      this.store.watchers.delete(watcher);
    };
  }
}
