/** Pairs of one chunk at most; it is split in two beyond. Small enough that a shift in the middle costs nothing. */
const chunkPairs = 128;

export interface Pair {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

interface Chunk {
  /** Of the map that may change it; any other copies it first. */
  owner: object;
  pairs: Pair[];
}

/** Order of keys: unsigned bytes, a shorter one before what begins with it. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** A sorted map of byte strings: a list of small sorted chunks, which copies share until one of them changes a chunk. */
export class SortedPairs {
  private owner = {};
  private chunks: Chunk[] = [];

  get(key: Uint8Array): Uint8Array | undefined {
    const chunk = this.chunks[this.chunkOf(key)];
    if (chunk === undefined) return undefined;
    const at = placeIn(chunk.pairs, key);
    const pair = chunk.pairs[at];
    return pair !== undefined && compareBytes(pair.key, key) === 0 ? pair.value : undefined;
  }

  /** Keeps the given arrays. The value that was there before. */
  put(key: Uint8Array, value: Uint8Array): Uint8Array | undefined {
    if (this.chunks.length === 0) this.chunks.push({ owner: this.owner, pairs: [] });
    const index = this.chunkOf(key);
    const { pairs } = this.own(index);
    const at = placeIn(pairs, key);
    const found = pairs[at];
    if (found !== undefined && compareBytes(found.key, key) === 0) {
      pairs[at] = { key: found.key, value };
      return found.value;
    }
    pairs.splice(at, 0, { key, value });
    if (pairs.length > chunkPairs) {
      // Keys often come in ascending order: then the left chunk stays full.
      const keep = at === pairs.length - 1 ? chunkPairs : chunkPairs >>> 1;
      this.chunks.splice(index + 1, 0, { owner: this.owner, pairs: pairs.splice(keep) });
    }
    return undefined;
  }

  /** The value that was there. */
  remove(key: Uint8Array): Uint8Array | undefined {
    const index = this.chunkOf(key);
    if (this.get(key) === undefined) return undefined;
    const { pairs } = this.own(index);
    const [removed] = pairs.splice(placeIn(pairs, key), 1);
    if (pairs.length === 0) this.chunks.splice(index, 1);
    return removed?.value;
  }

  /** Pairs from `from` on, ascending, until `visit` returns false. */
  walk(from: Uint8Array, visit: (pair: Pair) => boolean): void {
    const first = this.chunkOf(from);
    for (let index = first; index < this.chunks.length; index++) {
      const { pairs } = this.chunks[index] as Chunk;
      for (let at = index === first ? placeIn(pairs, from) : 0; at < pairs.length; at++) {
        if (!visit(pairs[at] as Pair)) return;
      }
    }
  }

  /** Costs one entry per chunk; both may change afterwards. */
  copy(): SortedPairs {
    const copy = new SortedPairs();
    copy.chunks = [...this.chunks];
    this.owner = {};
    return copy;
  }

  /** The last chunk whose first key is not behind `key`; the first chunk if there is none. */
  private chunkOf(key: Uint8Array): number {
    let low = 0;
    let high = this.chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const [first] = (this.chunks[middle] as Chunk).pairs;
      if (first === undefined || compareBytes(first.key, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  private own(index: number): Chunk {
    const chunk = this.chunks[index] as Chunk;
    if (chunk.owner === this.owner) return chunk;
    const own = { owner: this.owner, pairs: [...chunk.pairs] };
    this.chunks[index] = own;
    return own;
  }
}

/** Where the first key that is not before `key` stands. */
function placeIn(pairs: readonly Pair[], key: Uint8Array): number {
  let low = 0;
  let high = pairs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes((pairs[middle] as Pair).key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
