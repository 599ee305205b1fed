import type { Prng } from "@trivet/core";
import { ContentHash } from "../stores/index.ts";
import { MemoryCrypto } from "./crypto.ts";
import { SortedPairs } from "./sorted-pairs.ts";

/** What a pair costs beside its bytes. */
const pairOverhead = 32;
const crypto = new MemoryCrypto();

interface Change {
  readonly key: Uint8Array;
  /** Undefined = it was not there. */
  readonly before: Uint8Array | undefined;
}

/** A commit, as what takes it back. */
interface Commit {
  readonly number: number;
  readonly changes: readonly Change[];
}

/** One store's pairs, and the way back to every commit that a power loss may leave. */
export class StoreContent {
  pairs: SortedPairs = new SortedPairs();
  hash: ContentHash = new ContentHash();
  /** Values with a flipped bit, and what they were: as long as one is there, whoever reads it must be told. */
  readonly damaged: Map<Uint8Array, Uint8Array> = new Map();
  /** Commits made so far. */
  commits = 0;
  private bytes = 0;
  /** A file that never shrinks: bytes of its fullest moment. */
  private fileBytes = 0;
  private changes: Change[] = [];
  private unflushed: Commit[] = [];

  put(key: Uint8Array, value: Uint8Array): void {
    this.change(new Uint8Array(key), new Uint8Array(value));
  }

  remove(key: Uint8Array): boolean {
    if (this.pairs.get(key) === undefined) return false;
    this.change(new Uint8Array(key), undefined);
    return true;
  }

  commit(): void {
    if (this.changes.length === 0) return;
    this.unflushed.push({ number: ++this.commits, changes: this.changes });
    this.changes = [];
    this.fileBytes = Math.max(this.fileBytes, this.bytes);
  }

  get unflushedCommits(): number {
    return this.unflushed.length;
  }

  /** Undoes what was changed since the last commit. */
  rollBack(): void {
    const { changes } = this;
    this.changes = [];
    this.undo(changes);
  }

  /** All commits up to this one survive a power loss from now on. */
  flushed(number: number): void {
    let done = 0;
    while ((this.unflushed[done]?.number ?? Infinity) <= number) done++;
    this.unflushed.splice(0, done);
  }

  /** Power loss: the state of some commit that is not older than the last flush. */
  crash(prng: Prng): void {
    this.rollBack();
    const keep = prng.below(this.unflushed.length + 1);
    for (const { changes } of this.unflushed.splice(keep).toReversed()) this.undo(changes);
    this.unflushed = [];
  }

  /** False when there is no such pair, or nothing to flip in it. */
  flipBit(key: Uint8Array, bit: number): boolean {
    const value = this.pairs.get(key);
    if (value === undefined) return false;
    const damaged = new Uint8Array(value);
    if (damaged.length > 0) {
      const at = (bit >>> 3) % damaged.length;
      damaged[at] = (damaged[at] as number) ^ (1 << (bit & 7));
    }
    this.damaged.set(damaged, this.damaged.get(value) ?? value);
    this.pairs.put(key, damaged);
    return true;
  }

  /** A value with a flipped bit is there, noticed or not. */
  get isDamaged(): boolean {
    let found = false;
    if (this.damaged.size > 0) {
      this.pairs.walk(new Uint8Array(0), ({ value }) => {
        found = this.damaged.has(value);
        return !found;
      });
    }
    return found;
  }

  size(): { readonly bytes: number; readonly freeBytes: number } {
    return { bytes: this.fileBytes, freeBytes: Math.max(0, this.fileBytes - this.bytes) };
  }

  private change(key: Uint8Array, value: Uint8Array | undefined): void {
    const before = this.set(key, value);
    this.changes.push({ key, before });
  }

  private undo(changes: readonly Change[]): void {
    for (let i = changes.length - 1; i >= 0; i--) {
      const { key, before } = changes[i] as Change;
      this.set(key, before);
    }
  }

  private set(key: Uint8Array, value: Uint8Array | undefined): Uint8Array | undefined {
    const before = value === undefined ? this.pairs.remove(key) : this.pairs.put(key, value);
    const keySum = crypto.crc32(key);
    if (before !== undefined) {
      this.hash.subtract(keySum, this.sum(before, keySum), before.length);
      this.bytes -= key.length + before.length + pairOverhead;
    }
    if (value !== undefined) {
      this.hash.add(keySum, this.sum(value, keySum), value.length);
      this.bytes += key.length + value.length + pairOverhead;
    }
    return before;
  }

  /** As a store of pages keeps it beside the value: damage does not change it. */
  private sum(value: Uint8Array, keySum: number): number {
    return crypto.crc32(this.damaged.get(value) ?? value, keySum);
  }
}
