/** 32-bit FNV-1a over UTF-16 units with a final mix: fixed for ever, because shards, partitions and the state hash depend on it. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}

/** The same of a text that stands in bytes [start, end) as ASCII; null when it is none. */
export function hashAscii(bytes: Uint8Array, start: number, end: number): number | null {
  let hash = 0x811c9dc5 | 0;
  let bits = 0;
  for (let i = start; i < end; i++) {
    const unit = bytes[i] as number;
    bits |= unit;
    hash = Math.imul(hash ^ unit, 0x01000193);
  }
  return bits < 0x80 ? hash ^ (hash >>> 15) : null;
}

/** The final avalanche of MurmurHash3. */
export function avalanche(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}
