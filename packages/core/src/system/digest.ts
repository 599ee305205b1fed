/** Raised whenever the state hash covers something else: nodes compare hashes of one version only (rule W7). */
export const stateHashVersion: number = 2;

export { avalanche, hashText } from "@trivet/wire";

/** Folds an integer (up to 2^53) into a running 32-bit hash (the body of MurmurHash3). */
export function mix(hash: number, value: number): number {
  const mixed = mixWord(hash, value | 0);
  return value > 0x7fff_ffff ? mixWord(mixed, (value / 0x1_0000_0000) | 0) : mixed;
}

function mixWord(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  const h = hash ^ Math.imul(k, 0x1b873593);
  return (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
}

/** The two sums of a digest. */
export interface Sums {
  readonly low: number;
  readonly high: number;
}

/**
 * Sum of the hashes of all records of a state: additive, so that each change costs two small sums and equal states have equal sums
 * whatever their history (rule W7).
 */
export class Digest {
  low = 0;
  high = 0;

  add(hash: number): void {
    this.low = (this.low + hash) | 0;
    this.high = (this.high + spread(hash)) | 0;
  }

  remove(hash: number): void {
    this.low = (this.low - hash) | 0;
    this.high = (this.high - spread(hash)) | 0;
  }

  addAll(other: Sums): void {
    this.low = (this.low + other.low) | 0;
    this.high = (this.high + other.high) | 0;
  }

  removeAll(other: Sums): void {
    this.low = (this.low - other.low) | 0;
    this.high = (this.high - other.high) | 0;
  }
}

/** A second, non-linear image of a record's hash: two sums must agree, not one. */
export function spread(hash: number): number {
  const h = Math.imul(hash ^ 0x5bd1e995, 0x9e3779b1);
  return h ^ (h >>> 13);
}
