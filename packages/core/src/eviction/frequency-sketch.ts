import { avalanche } from "@trivet/wire";

/** Words of a block: one cache line of 64 bytes, and the unit in which the sketch ages. */
const wordsPerBlock = 16;
/** Words of a block for each copy: 16 counters, 4 for each of the 4 hash functions. */
const wordsPerEntry = 2;
const rows = 4;
const mostCount = 15;
const halfMask = 0x77777777;
/** Accesses to be remembered for each copy kept, before all counts are halved (W in the TinyLFU paper). */
const samplePerEntry = 10;

/**
 * How often keys were asked for lately, kept or not: a count-min sketch of 4-bit counters with conservative update and aging
 * (TinyLFU: Einziger, Friedman, Manes, ACM Transactions on Storage 2017, §3). All four counters of a key lie in one block.
 *
 * Aging halves one block with each access until all are halved, so that no access pays for the whole table. Places depend on a seed, so
 * that nobody who chooses keys can know which of them share counters.
 */
export class FrequencySketch {
  private readonly words: Int32Array;
  private readonly blockMask: number;
  private readonly seed: number;
  /** Accesses remembered since the last halving, older ones counted by half. */
  private remembered = 0;
  private sample: number;
  /** The next block to halve; 0 = not halving. */
  private aging = 0;

  constructor(entries: number, seed: number) {
    let blocks = 1;
    while (blocks * wordsPerBlock < entries * wordsPerEntry) blocks *= 2;
    this.words = new Int32Array(blocks * wordsPerBlock);
    this.blockMask = blocks - 1;
    this.seed = seed | 0;
    this.sample = samplePerEntry * Math.max(1, entries);
  }

  /** Counts are halved after ten accesses for each of so many copies. */
  sizeFor(entries: number): void {
    this.sample = samplePerEntry * Math.max(1, entries);
  }

  /** From 0 to 15; never less than the truth since the last halving, within 15. */
  frequency(hash: number): number {
    const mixed = avalanche(hash ^ this.seed);
    const places = spread(mixed);
    const { words } = this;
    let word = (mixed & this.blockMask) * wordsPerBlock;
    let least = mostCount;
    for (let row = 0, rest = places; row < rows; row++, rest >>>= 5, word += 4) {
      const count = ((words[word + (rest & 3)] as number) >>> (rest & 28)) & mostCount;
      if (count < least) least = count;
    }
    return least;
  }

  increment(hash: number): void {
    const mixed = avalanche(hash ^ this.seed);
    const places = spread(mixed);
    const { words } = this;
    const block = (mixed & this.blockMask) * wordsPerBlock;
    let least = mostCount;
    for (let row = 0, rest = places, word = block; row < rows; row++, rest >>>= 5, word += 4) {
      const count = ((words[word + (rest & 3)] as number) >>> (rest & 28)) & mostCount;
      if (count < least) least = count;
    }
    if (least < mostCount) {
      for (let row = 0, rest = places, word = block; row < rows; row++, rest >>>= 5, word += 4) {
        const at = word + (rest & 3);
        const shift = rest & 28;
        const value = words[at] as number;
        if (((value >>> shift) & mostCount) === least) words[at] = value + (1 << shift);
      }
      this.remembered++;
    }
    if (this.aging > 0 || this.remembered >= this.sample) this.halveNextBlock();
  }

  private halveNextBlock(): void {
    const { words, aging } = this;
    if (aging === 0) this.remembered >>>= 1;
    const start = aging * wordsPerBlock;
    for (let at = start; at < start + wordsPerBlock; at++) words[at] = ((words[at] as number) >>> 1) & halfMask;
    this.aging = (aging + 1) & this.blockMask;
  }
}

/** 20 bits for the places in a block, independent of those that chose it. */
function spread(mixed: number): number {
  return Math.imul(mixed, 0x9e3779b1) >>> 12;
}
