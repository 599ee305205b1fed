import { compareNames, isPlain } from "../system/names.ts";
import type { Lock } from "./lock.ts";
import { NamePage } from "./name-page.ts";

/** A leaf that grows beyond this is cut in two. */
const leafSize = 256;
/** Names that are dropped before they were put in order, until they are cleared away. */
const fewDropped = 1024;

/** Locks with neighbouring names, in order. Never empty. */
export interface NameLeaf {
  readonly locks: Lock[];
}

/** Where dropped locks stand: a later lock of the same name is another one. */
const dropped: NameLeaf = { locks: [] };

/**
 * The names in use in byte order, so that a page of a listing costs what it shows, not what there is: leaves of up to 256 names, and
 * names that still wait to be put into them. Most names are gone before that and never cost a search; and a node that loads a million
 * from a snapshot serves before they are in order. Nothing replicated depends on any of it.
 */
export class NameIndex {
  private readonly leaves: NameLeaf[] = [];
  private waiting: Lock[] = [];
  /** Of `waiting`, those that are in use no longer. */
  private droppedWaiting = 0;
  /** Names in the leaves that `<` would misplace. */
  private unusual = 0;

  /** `lock` is new. */
  add(lock: Lock): void {
    this.waiting.push(lock);
  }

  remove(lock: Lock): void {
    const { leaf } = lock;
    lock.leaf = dropped;
    if (leaf === null) {
      this.droppedWaiting++;
      if (this.droppedWaiting > fewDropped && this.droppedWaiting * 2 > this.waiting.length) this.sweep();
      return;
    }
    if (leaf.locks.length === 1) this.leaves.splice(this.placeOf(lock.name), 1);
    else leaf.locks.splice(leaf.locks.indexOf(lock), 1);
    if (!isPlain(lock.name)) this.unusual--;
  }

  /** Names that a page looks at one by one. */
  get waitingCount(): number {
    return this.waiting.length;
  }

  /** Puts at most `limit` waiting names in order, the newest first. True when none is left. */
  arrange(limit: number): boolean {
    const { waiting } = this;
    if (waiting.length === 0) return true;
    const taken = waiting.splice(Math.max(0, waiting.length - limit));
    const batch = taken.filter(({ leaf }) => leaf !== dropped);
    this.droppedWaiting -= taken.length - batch.length;
    for (const lock of batch) if (!isPlain(lock.name)) this.unusual++;
    if (this.unusual === 0) batch.sort((a, b) => (a.name < b.name ? -1 : 1));
    else batch.sort((a, b) => compareNames(a.name, b.name));
    for (const lock of batch) this.insert(lock);
    return waiting.length === 0;
  }

  /** The first `limit` locks after `cursor` whose names begin with `prefix`, in order. */
  page(prefix: string, cursor: string, limit: number): Lock[] {
    const found = this.inOrder(prefix, cursor, limit);
    if (this.waiting.length === 0) return found;
    const page = new NamePage(limit);
    const plain = isPlain(cursor);
    for (const lock of found) page.offer(lock);
    for (const lock of this.waiting) {
      if (lock.leaf !== dropped && lock.name.startsWith(prefix) && this.isBefore(cursor, lock.name, plain)) page.offer(lock);
    }
    return page.sorted();
  }

  private sweep(): void {
    this.waiting = this.waiting.filter(({ leaf }) => leaf !== dropped);
    this.droppedWaiting = 0;
  }

  private inOrder(prefix: string, cursor: string, limit: number): Lock[] {
    const found: Lock[] = [];
    const plain = this.unusual === 0 && isPlain(prefix) && isPlain(cursor);
    const start = this.isBefore(cursor, prefix, plain) ? prefix : cursor;
    for (let place = this.placeOf(start); place < this.leaves.length; place++) {
      for (const lock of (this.leaves[place] as NameLeaf).locks) {
        if (this.isBefore(lock.name, start, plain) || (lock.name === cursor && cursor !== "")) continue;
        if (found.length >= limit || !lock.name.startsWith(prefix)) return found;
        found.push(lock);
      }
    }
    return found;
  }

  private insert(lock: Lock): void {
    const { leaves } = this;
    const place = this.placeOf(lock.name);
    let leaf = leaves[place];
    if (leaf === undefined) {
      leaf = { locks: [] };
      leaves.push(leaf);
    }
    const { locks } = leaf;
    const plain = this.unusual === 0;
    let low = 0;
    let high = locks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.isBefore((locks[middle] as Lock).name, lock.name, plain)) low = middle + 1;
      else high = middle;
    }
    locks.splice(low, 0, lock);
    lock.leaf = leaf;
    if (locks.length <= leafSize) return;
    const right: NameLeaf = { locks: locks.splice(leafSize >> 1) };
    for (const moved of right.locks) moved.leaf = right;
    leaves.splice(place + 1, 0, right);
  }

  /** The leaf that `name` is in, or belongs in: the last one that does not begin after it. */
  private placeOf(name: string): number {
    const { leaves } = this;
    const plain = this.unusual === 0 && isPlain(name);
    let low = 0;
    let high = leaves.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.isBefore(name, ((leaves[middle] as NameLeaf).locks[0] as Lock).name, plain)) high = middle;
      else low = middle + 1;
    }
    return Math.max(0, low - 1);
  }

  /** `plain` = one of the two is plain, so that `<` gives the order of bytes. */
  private isBefore(a: string, b: string, plain: boolean): boolean {
    return plain ? a < b : compareNames(a, b) < 0;
  }
}
