import type { Packing } from "@trivet/wire";

/** Compression of cached values (decision 0024). Both calls answer at once: values are bounded. */
export interface ValuePacking {
  /** What `pack` makes. */
  readonly packing: Packing;
  pack(value: Uint8Array): Uint8Array;
  /** Null = that is nothing that was packed so, or comes to more than `most` bytes: no more than those are ever made. */
  unpack(packed: Uint8Array, packing: Packing, most: number): Uint8Array | null;
}
