import { mutant } from "#mutation";
import { keyAfter, tables } from "./keys.ts";
import type { OrderedView } from "./store.ts";

/** Small records that are read and written again and again; what else there is goes straight to the store. */
const cachedTables: ReadonlySet<number> = new Set([tables.meta, tables.queue, tables.partition, tables.group, tables.caller]);
/** Tables that every entry asks for their first key. */
const watchedTables: ReadonlySet<number> = new Set([tables.calendar, tables.job]);
/** Tables that are looked into for each message and have nothing at most times. */
const countedTables: ReadonlySet<number> = new Set([tables.parked]);

interface Cached {
  readonly key: Uint8Array;
  /** Null = it is not there. */
  value: Uint8Array | null;
  isDirty: boolean;
}
/** All keys of a table are at or above `key`; with `value`, it is the first of them. */
interface Bound {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/**
 * A store's view with a memory: what it has read of small records, and where its calendar begins. It outlives transactions, so nobody else may
 * write to the store; who ends one with `flush` has everything in the store, and who gives one up must `forget`.
 */
export class CachedView implements OrderedView {
  private below: OrderedView | null = null;
  private readonly most: number;
  private readonly cached = new Map<string, Cached>();
  private readonly dirty = new Set<Cached>();
  /** By partition: its consumer groups, all of them. */
  private readonly groups = new Map<string, Map<string, Cached>>();
  private readonly bounds = new Map<number, Bound | "none">();
  /** Of counted tables: how many keys they have, as far as it is known; and those that this transaction has found to have some. */
  private readonly counts = new Map<number, number>();
  private readonly occupied = new Set<number>();

  /** `most`: records remembered beyond which it starts over. */
  constructor(most = 20_000) {
    this.most = most;
  }

  /** Begins a transaction over `below`. */
  open(below: OrderedView): this {
    this.below = below;
    this.occupied.clear();
    return this;
  }

  /** Writes what the transaction left behind. */
  flush(): void {
    for (const one of this.dirty) this.write(one);
    this.dirty.clear();
    if (this.cached.size > this.most) this.startOver();
  }

  /** The transaction came to nothing, or somebody else wrote. */
  forget(): void {
    this.dirty.clear();
    this.startOver();
  }

  get(key: Uint8Array): Uint8Array | undefined {
    if (!cachedTables.has(key[0] ?? 0)) return this.store.get(key);
    return this.read(key).value ?? undefined;
  }

  put(key: Uint8Array, value: Uint8Array, isNew?: boolean): void {
    const table = key[0] ?? 0;
    if (watchedTables.has(table)) this.lower(table, key, value);
    if (countedTables.has(table)) this.added(table, isNew === true);
    if (!cachedTables.has(table)) return this.store.put(key, value, isNew);
    this.change(key, value);
  }

  remove(key: Uint8Array): boolean {
    const table = key[0] ?? 0;
    if (watchedTables.has(table)) this.raise(table, key);
    if (!cachedTables.has(table)) return this.store.remove(key) && this.removed(table);
    const wasThere = this.read(key).value !== null;
    if (wasThere) this.change(key, null);
    return wasThere;
  }

  scan(from: Uint8Array, to: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void {
    const table = from[0] ?? 0;
    const isInTable = to[0] === table || (to.length === 1 && to[0] === table + 1);
    if (countedTables.has(table) && isInTable && this.isEmpty(table)) return;
    if (watchedTables.has(table) && from.length === 1 && isInTable) this.scanWatched(table, from, to, visit);
    else if (table === tables.group && from.length === partitionLength(from) && isEndOf(from, to)) this.scanGroups(from, to, visit);
    else {
      this.writeRange(from, to);
      this.store.scan(from, to, visit);
    }
  }

  /** What a scan of the store would miss. Most scans are of tables that nothing is remembered of. */
  private writeRange(from: Uint8Array, to: Uint8Array): void {
    let isCached = false;
    for (let table = from[0] ?? 0; table <= (to[0] ?? 0) && !isCached; table++) isCached = cachedTables.has(table);
    if (!isCached) return;
    for (const one of this.dirty) if (compare(one.key, from) >= 0 && compare(one.key, to) < 0) this.write(one);
  }

  private get store(): OrderedView {
    if (this.below === null) throw new Error("no transaction is open");
    return this.below;
  }

  private startOver(): void {
    this.cached.clear();
    this.groups.clear();
    this.bounds.clear();
    this.counts.clear();
  }

  private write(one: Cached): void {
    if (!one.isDirty) return;
    one.isDirty = false;
    if (one.value === null) this.store.remove(one.key);
    else this.store.put(one.key, one.value);
  }

  private read(key: Uint8Array): Cached {
    const name = nameOf(key);
    let one = this.cached.get(name);
    if (one === undefined) {
      one = { key: key.slice(), value: this.store.get(key)?.slice() ?? null, isDirty: false };
      this.cached.set(name, one);
    }
    return one;
  }

  private change(key: Uint8Array, value: Uint8Array | null): void {
    const name = nameOf(key);
    let one = this.cached.get(name);
    if (one === undefined) {
      one = { key: key.slice(), value: null, isDirty: false };
      this.cached.set(name, one);
    }
    one.value = value;
    if (key[0] === tables.group) this.groups.get(nameOf(key.subarray(0, partitionLength(key))))?.set(name, one);
    if (one.isDirty) return;
    one.isDirty = true;
    this.dirty.add(one);
  }

  /** The consumer groups of a partition: few, and asked for by almost every command. */
  private scanGroups(from: Uint8Array, to: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void {
    const partition = nameOf(from);
    let groups = this.groups.get(partition);
    if (groups === undefined) {
      groups = this.readGroups(from, to);
      this.groups.set(partition, groups);
    }
    const found = [...groups.values()].filter(({ value }) => value !== null);
    if (found.length > 1) found.sort((a, b) => compare(a.key, b.key));
    for (const { key, value } of found) if (value !== null && !visit(key, value)) return;
  }

  private readGroups(from: Uint8Array, to: Uint8Array): Map<string, Cached> {
    this.writeRange(from, to);
    const groups = new Map<string, Cached>();
    this.store.scan(from, to, (key, value) => {
      const name = nameOf(key);
      const one = this.cached.get(name) ?? { key: key.slice(), value: value.slice(), isDirty: false };
      this.cached.set(name, one);
      groups.set(name, one);
      return true;
    });
    return groups;
  }

  private scanWatched(table: number, from: Uint8Array, to: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void {
    const bound = this.bounds.get(table);
    if (bound === "none" || (bound !== undefined && compare(bound.key, to) >= 0)) return;
    if (bound?.value != null) {
      if (visit(bound.key, bound.value)) this.store.scan(keyAfter(bound.key), to, visit);
      return;
    }
    const seen: Bound[] = [];
    this.store.scan(bound?.key ?? from, to, (key, value) => {
      if (seen.length === 0) seen.push({ key: key.slice(), value: value.slice() });
      return visit(key, value);
    });
    const isWhole = to.length === 1 && to[0] === table + 1;
    this.bounds.set(table, seen[0] ?? (isWhole ? "none" : { key: to.slice(), value: null }));
  }

  /** Looked up once in a transaction: counting goes on from nothing. */
  private isEmpty(table: number): boolean {
    if (!this.counts.has(table) && !this.occupied.has(table)) {
      let isOccupied = false;
      this.store.scan(Uint8Array.of(table), Uint8Array.of(table + 1), () => {
        isOccupied = true;
        return false;
      });
      if (isOccupied) this.occupied.add(table);
      else this.counts.set(table, 0);
    }
    return this.counts.get(table) === 0;
  }

  private added(table: number, isNew: boolean): void {
    const count = this.counts.get(table);
    if (count === undefined || mutant("queue-parked-uncounted")) return;
    if (isNew) this.counts.set(table, count + 1);
    else this.counts.delete(table);
  }

  /** It was there. */
  private removed(table: number): true {
    const count = this.counts.get(table);
    if (count !== undefined) this.counts.set(table, count - 1);
    return true;
  }

  private lower(table: number, key: Uint8Array, value: Uint8Array): void {
    const bound = this.bounds.get(table);
    if (bound === undefined) return;
    if (bound === "none" || compare(key, bound.key) <= 0) this.bounds.set(table, { key: key.slice(), value: value.slice() });
  }

  /** What comes after the first is at or above it, but which it is has to be looked up. */
  private raise(table: number, key: Uint8Array): void {
    const bound = this.bounds.get(table);
    if (bound !== undefined && bound !== "none" && compare(key, bound.key) === 0) this.bounds.set(table, { key: bound.key, value: null });
  }
}

/** Where queue and partition end in the key of a consumer group: integers are their length and their bytes (keys.ts). */
function partitionLength(key: Uint8Array): number {
  const queueEnd = 2 + (key[1] ?? 0);
  return queueEnd + 1 + (key[queueEnd] ?? 0);
}

/** Is `to` the first key after all that begin with `prefix`? */
function isEndOf(prefix: Uint8Array, to: Uint8Array): boolean {
  let last = prefix.length - 1;
  while (prefix[last] === 0xff) last--;
  if (to.length !== last + 1 || to[last] !== (prefix[last] ?? 0) + 1) return false;
  for (let at = 0; at < last; at++) if (to[at] !== prefix[at]) return false;
  return true;
}

/** One character per byte. */
function nameOf(key: Uint8Array): string {
  return String.fromCharCode.apply(null, key as unknown as number[]);
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const difference = (a[at] as number) - (b[at] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
