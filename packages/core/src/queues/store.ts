/**
 * What a shard's state machine needs of its store: an ordered map of byte strings, inside one transaction per batch of entries (rule W4).
 * Keys compare as unsigned bytes. Values handed out are valid until the next call; keys and values given are the store's: nobody changes
 * them afterwards.
 */
export interface OrderedView {
  get(key: Uint8Array): Uint8Array | undefined;
  /** `isNew`: the caller knows that there is no such key. A store may rely on it. */
  put(key: Uint8Array, value: Uint8Array, isNew?: boolean): void;
  /** True when it was there. */
  remove(key: Uint8Array): boolean;
  /**
   * Visits pairs with `from` ≤ key < `to`, ascending, until `visit` returns false. The view must not be changed meanwhile.
   */
  scan(from: Uint8Array, to: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => boolean): void;
}
