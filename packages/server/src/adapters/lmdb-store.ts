import { statSync, statfsSync } from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import type { OrderedView } from "@trivet/core";
import { ContentHash, IoError, StoreDamaged, checkKey } from "@trivet/engine";
import type { Done, OrderedStore, StoreCut } from "@trivet/engine";
import { open } from "lmdb";
import type { Database, RootDatabase, Transaction } from "lmdb";
import { FlushedPoint, pageBytes } from "./lmdb-flushed.ts";

type Pairs = Database<Uint8Array, Uint8Array>;

/**
 * Address space mapped at the start; LMDB doubles it when the data outgrow it, with the older maps left in place. It costs neither memory nor disk: the file
 * grows with the data.
 */
const mapBytes = 2 ** 36;
/** In front of each value: CRC-32 of the key and the value. */
const sumBytes = 4;
const hashKey = Uint8Array.of(0);
const firstKey = Uint8Array.of(0);

const codes: ReadonlyMap<unknown, IoError["code"]> = new Map([
  [2, "not-found"],
  [13, "denied"],
  [23, "too-many-open"],
  [24, "too-many-open"],
  [28, "no-space"],
  [30, "denied"],
  [122, "no-space"],
]);
/** What says that the tree does not hang together: MDB_PAGE_NOTFOUND, CORRUPTED, PANIC, INVALID. */
const damage: ReadonlySet<unknown> = new Set([-30797, -30796, -30795, -30793]);

/** An error of LMDB, which carries the number of the system's. Others are handed on. */
export function storeError(operation: string, directory: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || !("code" in cause) || typeof cause.code !== "number") return cause;
  // A write that the last free bytes cut short is EIO to LMDB; one that failed before the commit makes the commit MDB_BAD_TXN.
  if ((cause.code === 5 || cause.code === -30782) && isFull(directory)) return new IoError("no-space", operation, directory, cause);
  if (damage.has(cause.code)) return new StoreDamaged(path.basename(directory), `${operation} ${directory}: ${cause.message}`);
  return new IoError(codes.get(cause.code) ?? "io", operation, directory, cause);
}

function isFull(directory: string): boolean {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize < 2 ** 20;
}

/**
 * One LMDB environment with two databases: the callers' pairs, and what the store keeps about itself, outside of their keys. When and how it reaches the disk
 * is told at `FlushedPoint`.
 */
export class LmdbStore implements OrderedStore, OrderedView {
  private readonly directory: string;
  private readonly name: string;
  private readonly root: RootDatabase<Uint8Array, Uint8Array>;
  private readonly pairs: Pairs;
  private readonly about: Pairs;
  private readonly flushed: FlushedPoint;
  private readonly closed: () => void;
  private hash: ContentHash;
  /** Keeps the pages of the last flushed state. */
  private pinned: Transaction;
  private state: "idle" | "reading" | "writing" | "failed" | "closed" = "idle";
  private flushing = false;
  private waiting: Done[] = [];
  private scratch: Uint8Array = new Uint8Array(64 * 1024);

  /** `closed` is called when the directory is free again. */
  constructor(directory: string, boot: string, closed: () => void) {
    this.directory = directory;
    this.name = path.basename(directory);
    this.closed = closed;
    this.root = open<Uint8Array, Uint8Array>({
      path: directory,
      noSubdir: false,
      noSync: true,
      mapSize: mapBytes,
      pageSize: pageBytes,
      maxDbs: 2,
      encoding: "binary",
      keyEncoding: "binary",
    });
    try {
      this.pairs = this.root.openDB("pairs", { encoding: "binary", keyEncoding: "binary" });
      this.about = this.root.openDB("about", { encoding: "binary", keyEncoding: "binary" });
      const hash = this.about.getBinary(hashKey);
      this.hash = hash === undefined ? new ContentHash() : ContentHash.decode(hash);
      this.flushed = FlushedPoint.begin(directory, boot);
      this.pinned = this.root.useReadTransaction();
    } catch (error) {
      void this.root.close();
      throw error;
    }
  }

  write<T>(change: (view: OrderedView) => T): T {
    this.enter("writing");
    const before = this.hash.copy();
    let result: { readonly value: T } | undefined;
    try {
      this.root.transactionSync(() => {
        const value = change(this);
        if (!this.hash.equals(before)) this.about.putSync(hashKey, this.hash.encode());
        result = { value };
      });
    } catch (error) {
      this.hash = before;
      throw storeError("write", this.directory, error);
    } finally {
      this.state = "idle";
    }
    if (result === undefined) throw new Error(`the transaction of store ${this.name} did not run`);
    return result.value;
  }

  read<T>(look: (view: OrderedView) => T): T {
    this.enter("reading");
    try {
      return look(this);
    } catch (error) {
      throw storeError("read", this.directory, error);
    } finally {
      this.state = "idle";
    }
  }

  cut(): StoreCut {
    this.check();
    return new LmdbCut(this.pairs, this.root.useReadTransaction(), (key, stored) => this.intact(key, stored));
  }

  flush(done: Done): void {
    this.check();
    this.waiting.push(done);
    if (!this.flushing) this.startFlush();
  }

  size(): { readonly bytes: number; readonly freeBytes: number } {
    this.check();
    const bytes = statSync(path.join(this.directory, "data.mdb")).size;
    // The two meta pages, and those of the trees; what is left of the file holds nothing.
    let used = 2;
    for (const database of [this.root, this.pairs, this.about]) used += treePages(database.getStats());
    const { free } = this.root.getStats() as { readonly free?: object };
    used += treePages(free ?? {});
    return { bytes, freeBytes: Math.max(0, bytes - used * pageBytes) };
  }

  contentHash(): string {
    return this.hash.toString();
  }

  close(done: Done): void {
    if (this.state === "closed") throw new Error(`store ${this.name} is closed`);
    const finish = (error: IoError | null): void => {
      this.pinned.done();
      this.flushed.close();
      this.root.close().then(
        () => {
          this.closed();
          done(error);
        },
        (cause: unknown) => {
          this.closed();
          done(error ?? new IoError("io", "close", this.directory, cause));
        },
      );
    };
    if (this.state === "failed") setImmediate(finish, null);
    else this.flush(finish);
    this.state = "closed";
  }

  // ── The view ──────────────────────────────────────────────────────────────────────────────────────────────────────

  get(key: Uint8Array): Uint8Array | undefined {
    checkKey(key);
    const stored = this.pairs.getBinary(key);
    return stored === undefined ? undefined : this.intact(key, stored);
  }

  put(key: Uint8Array, value: Uint8Array, isNew = false): void {
    checkKey(key);
    this.checkWriting();
    const keySum = crc32(key);
    if (!isNew) this.forget(key, keySum);
    const length = sumBytes + value.length;
    if (this.scratch.length < length) this.scratch = new Uint8Array(length * 2);
    const stored = this.scratch.subarray(0, length);
    const sum = crc32(value, keySum);
    stored[0] = sum >>> 24;
    stored[1] = sum >>> 16;
    stored[2] = sum >>> 8;
    stored[3] = sum;
    stored.set(value, sumBytes);
    this.pairs.putSync(key, stored);
    this.hash.add(keySum, sum, value.length);
  }

  remove(key: Uint8Array): boolean {
    checkKey(key);
    this.checkWriting();
    if (!this.forget(key, crc32(key))) return false;
    this.pairs.removeSync(key);
    return true;
  }

  scan(from: Uint8Array, to: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void {
    if (to.length === 0) return;
    const start = from.length === 0 ? firstKey : from;
    for (const { key, value } of this.pairs.getRange({ start, end: to })) {
      if (!visit(key, this.intact(key, value))) return;
    }
  }

  /** Takes the pair out of the hash. Its checksum stands in front of it, so the value itself is not looked at. */
  private forget(key: Uint8Array, keySum: number): boolean {
    const stored = this.pairs.getBinaryFast(key);
    if (stored === undefined) return false;
    this.hash.subtract(keySum, sumOf(stored), stored.length - sumBytes);
    return true;
  }

  private intact(key: Uint8Array, stored: Uint8Array): Uint8Array {
    const value = stored.subarray(sumBytes);
    if (stored.length < sumBytes || sumOf(stored) !== crc32(value, crc32(key))) {
      throw new StoreDamaged(this.name, `the value of key ${Buffer.from(key).toString("hex")} does not match its checksum`);
    }
    return value;
  }

  // ── Flushing ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** One flush serves all who asked before it began. */
  private startFlush(): void {
    const served = this.waiting;
    this.waiting = [];
    this.flushing = true;
    const pin = this.root.useReadTransaction();
    this.flushed.flush((cause) => {
      this.flushing = false;
      if (cause === null) {
        this.pinned.done();
        this.pinned = pin;
      } else {
        pin.done();
        if (this.state !== "closed") this.state = "failed";
        served.push(...this.waiting.splice(0));
      }
      const error = cause === null ? null : new IoError("io", "flush", this.directory, cause);
      if (this.waiting.length > 0) this.startFlush();
      for (const done of served) done(error);
    });
  }

  private enter(state: "reading" | "writing"): void {
    this.check();
    if (this.state !== "idle") throw new Error(`store ${this.name} is ${this.state} already`);
    this.state = state;
  }

  private checkWriting(): void {
    if (this.state !== "writing") throw new Error(`store ${this.name} is changed outside of a transaction`);
  }

  private check(): void {
    if (this.state === "closed") throw new Error(`store ${this.name} is closed`);
    if (this.state === "failed") throw new IoError("io", "use", this.directory, new Error("a flush of it failed"));
  }
}

function sumOf(stored: Uint8Array): number {
  // Not an iterator: what LMDB hands out is longer than it says.
  return (((stored[0] ?? 0) << 24) | ((stored[1] ?? 0) << 16) | ((stored[2] ?? 0) << 8) | (stored[3] ?? 0)) >>> 0;
}

function treePages(stats: object): number {
  const { treeBranchPageCount = 0, treeLeafPageCount = 0, overflowPages = 0 } = stats as Readonly<Record<string, number>>;
  return treeBranchPageCount + treeLeafPageCount + overflowPages;
}

class LmdbCut implements StoreCut {
  private readonly pairs: Pairs;
  private readonly check: (key: Uint8Array, stored: Uint8Array) => Uint8Array;
  private transaction: Transaction | null;
  private from: Uint8Array | null = firstKey;

  constructor(pairs: Pairs, transaction: Transaction, check: (key: Uint8Array, stored: Uint8Array) => Uint8Array) {
    this.pairs = pairs;
    this.transaction = transaction;
    this.check = check;
  }

  next(maxBytes: number): readonly (readonly [key: Uint8Array, value: Uint8Array])[] | null {
    if (this.from === null || this.transaction === null) return null;
    const found: (readonly [Uint8Array, Uint8Array])[] = [];
    let bytes = 0;
    let last: Uint8Array | null = null;
    for (const { key, value } of this.pairs.getRange({ start: this.from, transaction: this.transaction })) {
      const intact = this.check(key, value);
      found.push([key, intact]);
      bytes += key.length + intact.length;
      last = key;
      if (bytes >= maxBytes) break;
    }
    this.from = null;
    if (last === null) return null;
    // The first key that may stand behind it.
    this.from = new Uint8Array(last.length + 1);
    this.from.set(last);
    return found;
  }

  close(): void {
    this.transaction?.done();
    this.transaction = null;
  }
}
