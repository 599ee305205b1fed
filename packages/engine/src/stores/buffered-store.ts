import { invariant, type OrderedView } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { type Done, IoError } from "../ports/file.ts";
import { type OrderedStore, type StoreCut, StoreDamaged } from "../ports/ordered-store.ts";
import { ContentHash } from "./content-hash.ts";
import { bufferedBytes, bufferedPairs, checkKey } from "./limits.ts";
import { MergedCut } from "./merged-cut.ts";
import { nameOf, WriteBuffer } from "./write-buffer.ts";

/** Undoes one change of a transaction that comes to nothing. */
interface Undo {
  readonly name: string;
  readonly before: ReturnType<WriteBuffer["get"]>;
}

/** CRC-32, going on from `start`. */
export type Crc32 = (bytes: Uint8Array, start?: number) => number;

export interface BufferedStoreOptions {
  /** Beyond so much the next transaction begins by putting it into the store below. 0 = nothing is buffered. */
  readonly maxBytes?: number;
  /**
   * For tests and simulations: the hash of the content is kept here as well, and compared with that of the store below whenever all has gone
   * there; and what is said to be new is looked up.
   */
  readonly checkedWith?: Crc32;
}

/**
 * A store whose latest commits are in memory until it is flushed, has gathered enough, or is asked for what only the store below can tell: a
 * message that is produced, handed out and settled meanwhile never comes to that store at all (as in the memory table of O'Neil et al.,
 * "The Log-Structured Merge-Tree", 1996). They go there together, in one transaction, so that below is always the state of some commit. What is not
 * flushed is lost with the process; the log has it (rule W1).
 */
export class BufferedStore implements OrderedStore, OrderedView {
  private readonly below: OrderedStore;
  private readonly maxBytes: number;
  private readonly crc32: Crc32 | null;
  private readonly buffer = new WriteBuffer();
  /** Inside a transaction: the store below, and what was there before. */
  private view: OrderedView | null = null;
  private writing = false;
  private readonly undo: Undo[] = [];
  /** Of what is buffered and below together; null = not kept. */
  private hash: ContentHash | null;

  constructor(below: OrderedStore, options: BufferedStoreOptions = {}) {
    this.below = below;
    this.maxBytes = options.maxBytes ?? bufferedBytes;
    this.crc32 = options.checkedWith ?? null;
    this.hash = this.crc32 === null || this.maxBytes === 0 ? null : ContentHash.parse(below.contentHash());
  }

  /** So much is buffered that the next transaction begins by putting it below. Who makes long transactions ends them here. */
  get isFull(): boolean {
    const { buffer, maxBytes } = this;
    return maxBytes > 0 && (buffer.bytes > maxBytes || buffer.count > bufferedPairs);
  }

  /** Throws, with nothing changed, when the buffer is full and the store below has no space for it. */
  write<T>(change: (view: OrderedView) => T): T {
    if (this.maxBytes === 0) return this.below.write(change);
    if (this.isFull) this.drain();
    const hash = this.hash?.copy() ?? null;
    let committed = false;
    try {
      this.writing = true;
      const result = this.read(change);
      committed = true;
      return result;
    } finally {
      this.writing = false;
      if (!committed) {
        this.rollBack();
        this.hash = hash;
      }
      this.undo.length = 0;
    }
  }

  read<T>(look: (view: OrderedView) => T): T {
    return this.below.read((view) => {
      this.view = view;
      try {
        return look(this);
      } finally {
        this.view = null;
      }
    });
  }

  /** Needs no space: what is buffered stays so. */
  cut(): StoreCut {
    const below = this.below.cut();
    if (this.buffer.count === 0 || mutant("store-cut-without-buffer")) return below;
    return new MergedCut(below, [...this.buffer.all()]);
  }

  flush(done: Done): void {
    this.drain();
    this.below.flush(done);
  }

  size(): { readonly bytes: number; readonly freeBytes: number } {
    return this.below.size();
  }

  /** Where it is not kept here, everything goes to the store below for it. */
  contentHash(): string {
    if (this.hash !== null) return this.hash.toString();
    this.drain();
    return this.below.contentHash();
  }

  /** The store is to be removed: what is buffered goes with it, and is not written first. Only `close` may follow. */
  abandon(): void {
    if (mutant("store-abandoned-is-written")) return;
    this.buffer.clear();
    this.hash = null;
  }

  /** The store below is closed whatever becomes of what is buffered; `done` is told of that, too. */
  close(done: Done): void {
    let problem: IoError | null = null;
    try {
      this.drain();
    } catch (error) {
      if (error instanceof IoError) problem = error;
      else if (error instanceof StoreDamaged) problem = new IoError("io", "close", error.store, error);
      else {
        // A bug is told by what it threw.
        this.below.close(() => {});
        throw error;
      }
    }
    this.below.close((error) => done(error ?? problem));
  }

  /** Puts everything into the store below, in one transaction. When it throws, it is still all here. */
  private drain(): void {
    const { buffer } = this;
    if (buffer.count === 0) return;
    this.below.write((view) => {
      for (const { key, value, isNew } of buffer.all()) {
        if (value === null) view.remove(key);
        else view.put(key, value, isNew);
      }
    });
    buffer.clear();
    if (this.hash === null) return;
    const [kept, below] = [this.hash.toString(), this.below.contentHash()];
    invariant(kept === below, "store-buffer-hash", () => `${below} below, not ${kept}`);
  }

  private rollBack(): void {
    if (mutant("store-buffer-keeps-given-up")) return;
    const { buffer, undo } = this;
    for (let at = undo.length - 1; at >= 0; at--) {
      const { name, before } = undo[at] as Undo;
      if (before === undefined) buffer.delete(name);
      else buffer.set(name, before);
    }
  }

  // ── The view ──

  get(key: Uint8Array): Uint8Array | undefined {
    checkKey(key);
    const buffered = this.buffer.get(nameOf(key));
    return buffered === undefined ? this.under.get(key) : (buffered.value ?? undefined);
  }

  put(key: Uint8Array, value: Uint8Array, isNew = false): void {
    this.checkChange(key);
    const name = nameOf(key);
    const before = this.buffer.get(name);
    if (this.crc32 !== null) this.account(key, value, isNew, this.crc32);
    this.undo.push({ name, before });
    this.buffer.set(name, { key, value, isNew: before === undefined ? isNew : before.isNew });
  }

  remove(key: Uint8Array): boolean {
    this.checkChange(key);
    const name = nameOf(key);
    const before = this.buffer.get(name);
    if (before === undefined) {
      if (this.under.get(key) === undefined) return false;
    } else if (before.value === null) return false;
    if (this.crc32 !== null) this.account(key, null, false, this.crc32);
    this.undo.push({ name, before });
    if (before?.isNew === true || mutant("store-buffer-leaves-removed")) this.buffer.delete(name);
    else this.buffer.set(name, { key, value: null, isNew: false });
    return true;
  }

  scan(from: Uint8Array, to: Uint8Array, visit: Visit): void {
    const ahead = new Ahead(this.buffer, nameOf(from), nameOf(to));
    if (ahead.name() === null) return this.under.scan(from, to, visit);
    let goesOn = true;
    this.under.scan(from, to, (key, value) => {
      const name = nameOf(key);
      goesOn = ahead.visitBefore(name, visit);
      if (!goesOn) return false;
      // What is buffered of this key is newer.
      goesOn = ahead.name() === name ? ahead.visitOne(visit) : visit(key, value);
      return goesOn;
    });
    if (goesOn) ahead.visitRest(visit);
  }

  private account(key: Uint8Array, value: Uint8Array | null, isNew: boolean, crc32: Crc32): void {
    const { hash } = this;
    const keySum = crc32(key);
    const old = this.get(key);
    invariant(!isNew || old === undefined, "store-new-key-is-new", () => `table ${key[0]}, ${key.length} bytes`);
    if (old !== undefined) hash?.subtract(keySum, crc32(old, keySum), old.length);
    if (value !== null) hash?.add(keySum, crc32(value, keySum), value.length);
  }

  private checkChange(key: Uint8Array): void {
    checkKey(key);
    if (!this.writing) throw new Error("the store is changed outside of a transaction");
  }

  private get under(): OrderedView {
    if (this.view === null) throw new Error("the store is read outside of a transaction");
    return this.view;
  }
}

type Visit = (key: Uint8Array, value: Uint8Array) => boolean;

/** The buffered pairs of a range, from the first on. */
class Ahead {
  private readonly buffer: WriteBuffer;
  private readonly names: Generator<string, undefined>;
  private next: string | null;

  constructor(buffer: WriteBuffer, from: string, to: string) {
    this.buffer = buffer;
    this.names = buffer.names(from, to);
    this.next = this.names.next().value ?? null;
  }

  /** Of the first that was not visited; null = all were. */
  name(): string | null {
    return this.next;
  }

  /** False when the visitor has enough. */
  visitOne(visit: Visit): boolean {
    const pair = this.next === null ? undefined : this.buffer.get(this.next);
    this.next = this.names.next().value ?? null;
    return pair === undefined || pair.value === null || visit(pair.key, pair.value);
  }

  visitBefore(name: string, visit: Visit): boolean {
    while (this.next !== null && this.next < name) if (!this.visitOne(visit)) return false;
    return true;
  }

  visitRest(visit: Visit): void {
    while (this.next !== null) if (!this.visitOne(visit)) return;
  }
}
