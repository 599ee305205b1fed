/** What a buffered store keeps in memory before it is put into the store below, in bytes and in pairs: a step of a few milliseconds. */
export const bufferedBytes: number = 2 * 1024 * 1024;
export const bufferedPairs = 4096;

/**
 * Bytes of the longest key of an ordered store. LMDB takes 1978 with pages of 4 KiB (two keys and their nodes must fit into a page); the end of
 * a scan and the place behind a key are keys as well.
 */
export const maxStoreKeyBytes = 1976;

/** Throws for what no store can keep: a mistake of the caller. */
export function checkKey(key: Uint8Array): void {
  if (key.length === 0 || key.length > maxStoreKeyBytes)
    throw new RangeError(`a key has 1 to ${maxStoreKeyBytes} bytes, not ${key.length}`);
}

/** Throws for what is not the name of a store. */
export function checkStoreName(name: string): void {
  if (!isStoreName(name)) throw new RangeError(`"${name}" is not a name of a store: lower-case letters, digits and "-"`);
}

export function isStoreName(name: string): boolean {
  return /^[a-z0-9-]{1,64}$/.test(name);
}
