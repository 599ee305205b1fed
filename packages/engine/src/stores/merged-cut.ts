import type { StoreCut } from "../ports/ordered-store.ts";
import { type BufferedPair, nameOf } from "./write-buffer.ts";

type Pair = readonly [key: Uint8Array, value: Uint8Array];

/**
 * A cut of a store below together with what was buffered over it at that moment. Nothing is written for it, so a full disk does not keep it from
 * being made; and as both are of one moment, later writes do not show in it.
 */
export class MergedCut implements StoreCut {
  private readonly below: StoreCut;
  /** Changes in the order of their keys, not yet handed out. */
  private buffered: readonly BufferedPair[];
  private at = 0;
  /** Of the cut below, read and not handed out; null = it has no more. */
  private ahead: readonly Pair[] | null = [];
  private aheadAt = 0;

  /** `buffered`: a copy, which nobody changes. */
  constructor(below: StoreCut, buffered: readonly BufferedPair[]) {
    this.below = below;
    this.buffered = buffered;
  }

  next(maxBytes: number): readonly Pair[] | null {
    const found: Pair[] = [];
    let bytes = 0;
    while (found.length === 0 || bytes < maxBytes) {
      const pair = this.take(maxBytes);
      if (pair === null) break;
      found.push(pair);
      bytes += pair[0].length + pair[1].length;
    }
    return found.length === 0 ? null : found;
  }

  close(): void {
    this.buffered = [];
    this.ahead = null;
    this.below.close();
  }

  /** The next pair of both; null after the last. */
  private take(maxBytes: number): Pair | null {
    for (;;) {
      const under = this.underneath(maxBytes);
      const own = this.buffered[this.at];
      if (own === undefined || (under !== null && nameOf(under[0]) < nameOf(own.key))) {
        this.aheadAt += 1;
        return under;
      }
      this.at += 1;
      // What is buffered of this key is newer.
      if (under !== null && nameOf(under[0]) === nameOf(own.key)) this.aheadAt += 1;
      if (own.value !== null) return [own.key, own.value];
    }
  }

  /** The first pair of the cut below that was not handed out. */
  private underneath(maxBytes: number): Pair | null {
    if (this.ahead !== null && this.aheadAt === this.ahead.length) {
      this.ahead = this.below.next(maxBytes);
      this.aheadAt = 0;
    }
    return this.ahead?.[this.aheadAt] ?? null;
  }
}
