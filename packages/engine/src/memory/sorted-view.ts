import type { OrderedView } from "@trivet/core";

/** A sorted array of pairs: the ordered map of the memory storage. */
export class SortedView implements OrderedView {
  private readonly pairs: { readonly key: Uint8Array; value: Uint8Array }[] = [];

  get(key: Uint8Array): Uint8Array | undefined {
    const pair = this.pairs[this.place(key)];
    return pair !== undefined && compare(pair.key, key) === 0 ? pair.value : undefined;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const at = this.place(key);
    const pair = this.pairs[at];
    if (pair !== undefined && compare(pair.key, key) === 0) pair.value = value.slice();
    else this.pairs.splice(at, 0, { key: key.slice(), value: value.slice() });
  }

  remove(key: Uint8Array): boolean {
    const at = this.place(key);
    const pair = this.pairs[at];
    if (pair === undefined || compare(pair.key, key) !== 0) return false;
    this.pairs.splice(at, 1);
    return true;
  }

  scan(from: Uint8Array, to: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void {
    for (let at = this.place(from); at < this.pairs.length; at++) {
      const pair = this.pairs[at];
      if (pair === undefined || compare(pair.key, to) >= 0 || !visit(pair.key, pair.value)) return;
    }
  }

  /** Where the first key not before `key` stands. */
  private place(key: Uint8Array): number {
    let [low, high] = [0, this.pairs.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const pair = this.pairs[middle];
      if (pair !== undefined && compare(pair.key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at++) {
    const difference = (a[at] as number) - (b[at] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
