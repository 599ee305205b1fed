import type { OrderedView } from "@trivet/core";
import type { Done, DoneWith } from "./file.ts";

/** Keys and values that were there at one moment, in bounded steps (snapshot for a lagging replica). */
export interface StoreCut {
  /** The next pairs in the order of their keys, about `maxBytes` of them; null after the last. */
  next(maxBytes: number): readonly (readonly [key: Uint8Array, value: Uint8Array])[] | null;
  /** Must be called: an open cut keeps old pages from being used again. */
  close(): void;
}

/**
 * The durable ordered map of one shard (decision 0007). Synchronous, as it belongs to the apply worker: a page fault stalls that thread and
 * nothing else (rule W4). One writer. Values are checksummed: a damaged one throws `StoreDamaged` instead of being handed out.
 */
export interface OrderedStore {
  /**
   * Runs `change` in one transaction, in which it sees its own writes, and commits when it returns. When it throws, nothing has changed. What is
   * committed is visible at once; it survives power loss once a later `flush` is done. Power loss and kill -9 leave the state of some commit, never
   * of a part of one, and not of one before the last finished flush. (LMDB's own commits survive kill -9; those in a buffer do not.)
   */
  write<T>(change: (view: OrderedView) => T): T;
  /** Runs `look` on the latest committed state. `look` must not put or remove. */
  read<T>(look: (view: OrderedView) => T): T;
  /** Of the latest committed state. Takes no space. */
  cut(): StoreCut;
  /** `done` is called, later, when everything committed before this call is on disk. After an error the store must not be used again. */
  flush(done: Done): void;
  /** Bytes on disk, and how many of them hold nothing at present and will be used again. */
  size(): { readonly bytes: number; readonly freeBytes: number };
  /**
   * Sum of a hash of every (key, value) pair, modulo 2^64: equal for equal contents whatever their history (rule W7). Kept with each write,
   * costs no walk. 16 hexadecimal digits.
   */
  contentHash(): string;
  close(done: Done): void;
}

/** Where a damaged pair was found. Its holder must not vote, lead or answer before it has fetched the state again (rule W6). */
export class StoreDamaged extends Error {
  readonly code = "store-damaged";
  readonly store: string;
  constructor(store: string, detail: string) {
    super(`store ${store} is damaged: ${detail}`);
    this.name = "StoreDamaged";
    this.store = store;
  }
}

/** The stores below one directory. Names are one path segment of lower-case letters, digits and "-". */
export interface OrderedStores {
  /** Opens, or creates an empty one. */
  open(name: string, done: DoneWith<OrderedStore>): void;
  /** All there are, open or not. */
  list(done: DoneWith<readonly string[]>): void;
  /** Durably; it must be closed. */
  remove(name: string, done: Done): void;
}
