import { createHash } from "node:crypto";
import { Prng } from "@trivet/core";
import type { OrderedView } from "@trivet/core";
import type { OrderedStore, OrderedStores } from "@trivet/engine";

export const numberKey: Uint8Array = Uint8Array.of(255);

/** One batch of changes, always the same for its number: pages are freed, used again and split, small values and large ones come and go. */
export function applyBatch(view: OrderedView, number: number): void {
  const prng = new Prng(number);
  for (let i = prng.between(1, 40); i > 0; i--) {
    const key = new Uint8Array(prng.between(4, 60)).fill(prng.below(20));
    key[1] = prng.below(40);
    if (prng.chance(0.4)) view.remove(key);
    else view.put(key, new Uint8Array(prng.chance(0.02) ? prng.below(200_000) : prng.below(1500)).fill(number));
  }
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number);
  view.put(numberKey, bytes);
}

/** Which batch was the last; 0 = none. */
export function lastBatch(store: OrderedStore): number {
  const bytes = store.read((view) => view.get(numberKey)?.slice());
  return bytes === undefined ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
}

/** Every pair, each checked; a digest of the value. */
export function everything(store: OrderedStore): Map<string, string> {
  const found = new Map<string, string>();
  const cut = store.cut();
  for (let part = cut.next(1 << 20); part !== null; part = cut.next(1 << 20)) {
    for (const [key, value] of part) found.set(Buffer.from(key).toString("hex"), digestOf(value));
  }
  cut.close();
  return found;
}

export function digestOf(value: Uint8Array): string {
  return createHash("sha1").update(value).digest("hex");
}

export function openStore(stores: OrderedStores, name: string): Promise<OrderedStore> {
  return new Promise((resolve, reject) => {
    stores.open(name, (error, store) => (store === undefined ? reject(error ?? new Error("no store")) : resolve(store)));
  });
}
export function done(run: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    run((error) => (error === null ? resolve() : reject(error)));
  });
}
