/** A good mixture of 32 bits (the end of MurmurHash3, Appleby 2011). */
function mix(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/**
 * The sum, modulo 2^64, of a hash of every pair that is there (rule W7): pairs come and go in any order. A pair enters as its checksums,
 * which a store keeps anyway, so a value that is overwritten need not be read again. Checksums are linear and their sum would forgive
 * errors that cancel out; mixed, they do not. Two numbers instead of a bigint: this runs with each write.
 */
export class ContentHash {
  private high: number;
  private low: number;

  constructor(high = 0, low = 0) {
    this.high = high;
    this.low = low;
  }

  /** `keySum` = CRC-32 of the key, `pairSum` = CRC-32 of the key and the value behind it, `length` = of the value. */
  add(keySum: number, pairSum: number, length: number): void {
    const low = mix(pairSum ^ mix(keySum + Math.imul(length, 0x9e37_79b1)));
    const high = mix(keySum ^ mix(pairSum ^ 0x5bd1_e995));
    const sum = this.low + low;
    this.low = sum >>> 0;
    this.high = (this.high + high + (sum > 0xffff_ffff ? 1 : 0)) >>> 0;
  }

  /** Takes a pair out that was added with the same numbers. */
  subtract(keySum: number, pairSum: number, length: number): void {
    const low = mix(pairSum ^ mix(keySum + Math.imul(length, 0x9e37_79b1)));
    const high = mix(keySum ^ mix(pairSum ^ 0x5bd1_e995));
    const difference = this.low - low;
    this.low = difference >>> 0;
    this.high = (this.high - high - (difference < 0 ? 1 : 0)) >>> 0;
  }

  copy(): ContentHash {
    return new ContentHash(this.high, this.low);
  }

  equals(other: ContentHash): boolean {
    return this.high === other.high && this.low === other.low;
  }

  /** 8 bytes, for keeping it. */
  encode(): Uint8Array {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.high);
    view.setUint32(4, this.low);
    return bytes;
  }

  static decode(bytes: Uint8Array): ContentHash {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return new ContentHash(view.getUint32(0), view.getUint32(4));
  }

  /** What `toString` gives. */
  static parse(text: string): ContentHash {
    return new ContentHash(Number.parseInt(text.slice(0, 8), 16), Number.parseInt(text.slice(8), 16));
  }

  toString(): string {
    return this.high.toString(16).padStart(8, "0") + this.low.toString(16).padStart(8, "0");
  }
}
