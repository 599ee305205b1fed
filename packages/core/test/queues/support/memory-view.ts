import type { OrderedView } from "../../../src/queues/store.ts";

/** A sorted array. Spoils what it handed out with the next call, as a store with its own memory does. */
export class MemoryView implements OrderedView {
  private readonly pairs: { readonly key: Uint8Array; value: Uint8Array }[] = [];
  private lent: Uint8Array[] = [];
  private scanning = false;

  get size(): number {
    return this.pairs.length;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.begin(false);
    const at = this.place(key);
    return this.holds(at, key) ? this.lend(this.pairs[at]?.value) : undefined;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const copies = { key: key.slice(), value: value.slice() };
    this.begin(true);
    const at = this.place(copies.key);
    this.pairs.splice(at, this.holds(at, copies.key) ? 1 : 0, copies);
  }

  remove(key: Uint8Array): boolean {
    const copy = key.slice();
    this.begin(true);
    const at = this.place(copy);
    const found = this.holds(at, copy);
    if (found) this.pairs.splice(at, 1);
    return found;
  }

  scan(from: Uint8Array, to: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void {
    this.begin(false);
    this.scanning = true;
    try {
      for (let at = this.place(from); at < this.pairs.length; at++) {
        const { key, value } = this.pairs[at] as { key: Uint8Array; value: Uint8Array };
        if (compare(key, to) >= 0 || !visit(this.lend(key), this.lend(value))) return;
        this.spoil();
      }
    } finally {
      this.scanning = false;
    }
  }

  /** Everything, as text: equal states have equal texts. */
  dump(): string {
    return this.pairs.map(({ key, value }) => `${Buffer.from(key).toString("hex")}=${Buffer.from(value).toString("hex")}`).join("\n");
  }

  /** Keys of one table. */
  count(table: number): number {
    return this.pairs.filter(({ key }) => key[0] === table).length;
  }

  private begin(writes: boolean): void {
    if (this.scanning && writes) throw new Error("the view is changed during a scan");
    if (!this.scanning) this.spoil();
  }

  private lend(bytes: Uint8Array | undefined): Uint8Array {
    const copy = (bytes as Uint8Array).slice();
    this.lent.push(copy);
    return copy;
  }

  private spoil(): void {
    for (const bytes of this.lent) bytes.fill(0xee);
    this.lent = [];
  }

  private holds(at: number, key: Uint8Array): boolean {
    const pair = this.pairs[at];
    return pair !== undefined && compare(pair.key, key) === 0;
  }

  private place(key: Uint8Array): number {
    let [low, high] = [0, this.pairs.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare((this.pairs[middle] as { key: Uint8Array }).key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function compare(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}
