import { mutant } from "#mutation";
import { hashText } from "../system/digest.ts";
import { Lock } from "./lock.ts";
import { NameIndex } from "./name-index.ts";
import type { PackedHolds } from "./packed-holds.ts";

const shardBits = 8;
const shardCount = 1 << shardBits;
const firstBuckets = 8;

/**
 * All names in use: a hash table chained through the locks themselves, in parts that grow on their own. A Map of strings would hash
 * every name a second time, look into cold memory more often and need twice the space; and growing one of a million entries stops the
 * loop for tens of milliseconds.
 */
export class LockTable {
  private readonly shards: readonly Shard[] = Array.from({ length: shardCount }, () => new Shard());
  private count = 0;
  /** The name that was last looked for in vain, and its hash: it is usually what is made next. */
  private missing: string | null = null;
  private missingHash = 0;
  /** The same names in byte order, for listings; without those that are packed. */
  readonly index: NameIndex = new NameIndex();
  /** Names that are in use too, as nobody has asked for them since they were read from a snapshot. */
  private readonly packed: PackedHolds;

  constructor(packed: PackedHolds) {
    this.packed = packed;
  }

  get size(): number {
    return this.count + this.packed.size;
  }

  get(name: string): Lock | undefined {
    const hash = hashText(name);
    const lock = this.shard(hash).find(name, hash) ?? this.unpacked(name, hash);
    if (lock !== null) return lock;
    this.missing = name;
    this.missingHash = hash;
    return undefined;
  }

  obtain(name: string): Lock {
    const isMissing = name === this.missing;
    const hash = isMissing ? this.missingHash : hashText(name);
    const shard = this.shard(hash);
    const known = isMissing ? null : (shard.find(name, hash) ?? this.unpacked(name, hash));
    if (known !== null) return known;
    this.missing = null;
    return this.add(name, hash);
  }

  /** A lock for a name that none has. */
  add(name: string, hash: number): Lock {
    const lock = new Lock(name, hash);
    this.shard(hash).add(lock);
    this.index.add(lock);
    this.count++;
    return lock;
  }

  /** Is the name that was read last from a snapshot that of a lock? */
  hasRead(hash: number): boolean {
    return this.shard(hash).some(hash, (lock) => this.packed.isRead(lock));
  }

  /** Forgets a lock that is in use no longer. */
  drop(lock: Lock): void {
    if (!this.shard(lock.hash).remove(lock)) return;
    this.index.remove(lock);
    this.count--;
  }

  /**
   * Those that are not packed, in no meaningful order: never let an outcome depend on it. May rest while the table changes: what is there all the time is met once;
   * of the rest some is met, perhaps as a lock that is idle by then.
   */
  *values(): IterableIterator<Lock> {
    for (const shard of this.shards) yield* shard.list();
  }

  private unpacked(name: string, hash: number): Lock | null {
    if (mutant("lock-packed-unseen")) return null;
    const id = this.packed.find(name, hash);
    return id < 0 ? null : this.packed.unpack(id);
  }

  private shard(hash: number): Shard {
    return this.shards[hash & (shardCount - 1)] as Shard;
  }
}

class Shard {
  private buckets: (Lock | null)[] = emptyBuckets(firstBuckets);
  private count = 0;

  find(name: string, hash: number): Lock | null {
    let lock = this.buckets[(hash >>> shardBits) & (this.buckets.length - 1)] as Lock | null;
    while (lock !== null && (lock.hash !== hash || lock.name !== name)) lock = lock.nextOfBucket;
    return lock;
  }

  some(hash: number, is: (lock: Lock) => boolean): boolean {
    let lock = this.buckets[(hash >>> shardBits) & (this.buckets.length - 1)] as Lock | null;
    while (lock !== null && (lock.hash !== hash || !is(lock))) lock = lock.nextOfBucket;
    return lock !== null;
  }

  /** The name of `lock` is new. */
  add(lock: Lock): void {
    if (this.count >= this.buckets.length) this.grow();
    this.link(lock);
    this.count++;
  }

  /** False when it is not there. */
  remove(lock: Lock): boolean {
    const place = (lock.hash >>> shardBits) & (this.buckets.length - 1);
    let other = this.buckets[place] as Lock | null;
    if (other === lock) this.buckets[place] = lock.nextOfBucket;
    else {
      while (other !== null && other.nextOfBucket !== lock) other = other.nextOfBucket;
      if (other === null) return false;
      other.nextOfBucket = lock.nextOfBucket;
    }
    lock.nextOfBucket = null;
    this.count--;
    if (this.count < this.buckets.length >> 3 && this.buckets.length > firstBuckets) this.rebuild(this.buckets.length >> 1);
    return true;
  }

  list(): Lock[] {
    const locks: Lock[] = [];
    for (const first of this.buckets) for (let lock = first; lock !== null; lock = lock.nextOfBucket) locks.push(lock);
    return locks;
  }

  private grow(): void {
    this.rebuild(this.buckets.length * 2);
  }

  private rebuild(size: number): void {
    const locks = this.list();
    this.buckets = emptyBuckets(size);
    for (const lock of locks) this.link(lock);
  }

  private link(lock: Lock): void {
    const place = (lock.hash >>> shardBits) & (this.buckets.length - 1);
    lock.nextOfBucket = this.buckets[place] as Lock | null;
    this.buckets[place] = lock;
  }
}

function emptyBuckets(size: number): (Lock | null)[] {
  const buckets: (Lock | null)[] = [];
  while (buckets.length < size) buckets.push(null);
  return buckets;
}
