/** A pair that was put, or a mark that it was removed: `value` null. */
export interface BufferedPair {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
  /** The store below has no such key, so that nothing is left to do when it is removed before it went there. */
  readonly isNew: boolean;
}

/** Names of one chunk at most; it is split in two beyond. */
const chunkNames = 128;
/** What a pair costs in memory beside its key and value, roughly. */
const pairOverhead = 128;

/** Changes that are not in the store yet, in the order of their keys. A key's name has one character per byte, so names compare as keys do. */
export class WriteBuffer {
  private pairs = new Map<string, BufferedPair>();
  /** All names, ascending, in small sorted chunks, none of them empty. */
  private chunks: string[][] = [];
  private size = 0;

  /** Roughly what it takes in memory. */
  get bytes(): number {
    return this.size;
  }
  get count(): number {
    return this.pairs.size;
  }

  get(name: string): BufferedPair | undefined {
    return this.pairs.get(name);
  }

  set(name: string, pair: BufferedPair): void {
    const before = this.pairs.get(name);
    if (before === undefined) this.addName(name);
    else this.size -= sizeOf(before);
    this.size += sizeOf(pair);
    this.pairs.set(name, pair);
  }

  delete(name: string): void {
    const before = this.pairs.get(name);
    if (before === undefined) return;
    this.size -= sizeOf(before);
    this.pairs.delete(name);
    this.removeName(name);
  }

  clear(): void {
    this.pairs = new Map();
    this.chunks = [];
    this.size = 0;
  }

  /** Names from `from` on and before `to`, ascending. It must not change meanwhile. */
  *names(from: string, to: string): Generator<string, undefined> {
    const first = this.chunkOf(from);
    for (let index = first; index < this.chunks.length; index++) {
      const chunk = this.chunks[index] as string[];
      for (let at = index === first ? placeIn(chunk, from) : 0; at < chunk.length; at++) {
        const name = chunk[at] as string;
        if (name >= to) return undefined;
        yield name;
      }
    }
    return undefined;
  }

  /** In the order of their keys. */
  *all(): Generator<BufferedPair, undefined> {
    for (const chunk of this.chunks) for (const name of chunk) yield this.pairs.get(name) as BufferedPair;
    return undefined;
  }

  private addName(name: string): void {
    if (this.chunks.length === 0) this.chunks.push([]);
    const index = this.chunkOf(name);
    const chunk = this.chunks[index] as string[];
    const at = placeIn(chunk, name);
    chunk.splice(at, 0, name);
    if (chunk.length <= chunkNames) return;
    // Keys often come in ascending order: then the left chunk stays full.
    const keep = at === chunk.length - 1 ? chunkNames : chunkNames >>> 1;
    this.chunks.splice(index + 1, 0, chunk.splice(keep));
  }

  private removeName(name: string): void {
    const index = this.chunkOf(name);
    const chunk = this.chunks[index] as string[];
    chunk.splice(placeIn(chunk, name), 1);
    if (chunk.length === 0) this.chunks.splice(index, 1);
  }

  /** The last chunk whose first name is not after `name`. */
  private chunkOf(name: string): number {
    let low = 0;
    let high = this.chunks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (((this.chunks[middle] as string[])[0] as string) <= name) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** Where `name` stands, or would stand. */
function placeIn(chunk: readonly string[], name: string): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((chunk[middle] as string) < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sizeOf({ key, value }: BufferedPair): number {
  return pairOverhead + 2 * key.length + (value === null ? 0 : value.length);
}

/** One character per byte, so that names compare as keys do. */
export function nameOf(key: Uint8Array): string {
  return String.fromCharCode.apply(null, key as unknown as number[]);
}
