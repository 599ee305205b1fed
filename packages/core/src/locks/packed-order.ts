import type { PackedHolds } from "./packed-holds.ts";

/** Sorted at once; longer runs are merged from these. */
const runLength = 512;
/** What one step merges. */
const mergedPerStep = 4096;

/**
 * The names of packed holds in byte order, so that a page of a listing costs what it shows. Put in order step by step, once somebody has asked for a
 * page; until then a page looks at all of them.
 */
export class PackedOrder {
  private readonly holds: PackedHolds;
  private asked = false;
  private sorted = false;
  private ids: Uint32Array = new Uint32Array(0);
  private steps: Iterator<void> | null = null;

  constructor(holds: PackedHolds) {
    this.holds = holds;
  }

  /** A step of putting them in order. True when nothing is left to do. */
  arrange(): boolean {
    if (this.holds.size === 0) this.ids = new Uint32Array(0);
    if (this.sorted || !this.asked || this.holds.size === 0) return true;
    this.steps ??= this.sort();
    return this.steps.next().done === true;
  }

  /** Of those that are packed, the first `limit` whose names begin with `prefix` and come after `cursor`, in order. */
  page(prefix: string, cursor: string, limit: number): number[] {
    if (this.holds.size === 0) return [];
    this.asked = true;
    return this.sorted ? this.sortedPage(prefix, cursor, limit) : this.lookThrough(prefix, cursor, limit);
  }

  private sortedPage(prefix: string, cursor: string, limit: number): number[] {
    const { holds, ids } = this;
    const isBefore = (id: number): boolean => holds.compareText(id, prefix) < 0 || holds.compareText(id, cursor) <= 0;
    let low = 0;
    let high = ids.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(ids[middle] as number)) low = middle + 1;
      else high = middle;
    }
    const found: number[] = [];
    for (let at = low; at < ids.length && found.length < limit; at++) {
      const id = ids[at] as number;
      if (!holds.startsWith(id, prefix)) break;
      if (holds.isPacked(id)) found.push(id);
    }
    return found;
  }

  private lookThrough(prefix: string, cursor: string, limit: number): number[] {
    const { holds } = this;
    const found: number[] = [];
    for (let id = 0; id < holds.end; id++) {
      if (!holds.isPacked(id) || holds.compareText(id, cursor) <= 0 || !holds.startsWith(id, prefix)) continue;
      const last = found.length >= limit ? found[limit - 1] : undefined;
      if (last !== undefined && holds.compare(id, last) >= 0) continue;
      found.splice(this.placeIn(found, id), 0, id);
      if (found.length > limit) found.pop();
    }
    return found;
  }

  private placeIn(found: readonly number[], id: number): number {
    let low = 0;
    let high = found.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.holds.compare(found[middle] as number, id) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** By merging; those that are unpacked meanwhile keep their places. */
  private *sort(): Generator<void> {
    const { holds } = this;
    const compare = (a: number, b: number): number => holds.compare(a, b);
    let from = Uint32Array.from({ length: holds.end }, (_, id) => id);
    for (let start = 0; start < from.length; start += runLength) {
      yield;
      from.subarray(start, start + runLength).sort(compare);
    }
    let to = new Uint32Array(from.length);
    for (let length = runLength; length < from.length; length *= 2) {
      for (let start = 0; start < from.length; start += 2 * length) yield* this.merge(from, to, start, length);
      [from, to] = [to, from];
    }
    this.ids = from;
    this.sorted = true;
    this.steps = null;
  }

  /** Two neighbouring runs of `length`, the first at `start`; the second may be shorter, or not there. */
  private *merge(from: Uint32Array, to: Uint32Array, start: number, length: number): Generator<void> {
    const middle = Math.min(start + length, from.length);
    const end = Math.min(middle + length, from.length);
    let left = start;
    let right = middle;
    for (let at = start; at < end; at++) {
      if (at % mergedPerStep === 0) yield;
      const takesLeft = right >= end || (left < middle && this.holds.compare(from[left] as number, from[right] as number) <= 0);
      to[at] = from[takesLeft ? left++ : right++] as number;
    }
  }
}
