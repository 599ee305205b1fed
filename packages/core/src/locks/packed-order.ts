import { compareNames } from "../system/names.ts";
import type { PackedHolds } from "./packed-holds.ts";

/** Sorted at once; longer runs are merged from these. */
const firstRun = 512;
/** What one step merges: about as many looks at records as the sorting of a run takes. */
const mergedPerStep = 4096;
/** A page looks into so many without taking long. */
const fewRuns = 64;
/** A millisecond's worth. */
const stepsPerCall = 3;

/**
 * The names of packed holds in byte order, so that a page of a listing costs what it shows. Put in order step by step, in idle moments: runs of some
 * hundred first, which are merged then. A page looks into each run from its cursor on, and only where there are none yet at all records.
 */
export class PackedOrder {
  private readonly holds: PackedHolds;
  /** Runs of `length`, from the place `mergedTo` to `sortedTo`. */
  private ids: Uint32Array = nothing;
  private length = firstRun;
  private sortedTo = 0;
  /** Runs of twice that length, up to `mergedTo`. */
  private merged: Uint32Array = nothing;
  private mergedTo = 0;
  /** Of a place whose hold was found unpacked, the next one of its run that may be packed; 0 = it was not. */
  private jumps: Uint32Array = nothing;
  private steps: Iterator<void> | null = null;
  private isSorted = false;

  constructor(holds: PackedHolds) {
    this.holds = holds;
  }

  /** Does a page cost a look into a few runs at most? */
  get isInRuns(): boolean {
    return this.sortedTo >= this.holds.end && this.holds.end <= this.length * fewRuns;
  }

  /** At most so many steps of putting them in order. True when nothing is left to do. */
  arrange(steps: number = stepsPerCall): boolean {
    if (this.holds.size === 0) {
      this.forget();
      return true;
    }
    for (let left = steps; left > 0 && !this.isSorted; left--) {
      this.steps ??= this.sort();
      if (this.steps.next().done === true) this.steps = null;
    }
    return this.isSorted;
  }

  /**
   * Of those that are packed, the first `limit` whose names begin with `prefix`, come after `cursor` and, unless that is null, before `end`; in order.
   * What was unpacked is passed over without being looked at again.
   */
  page(prefix: string, cursor: string, limit: number, end: string | null): number[] {
    const { holds } = this;
    if (holds.size === 0 || limit <= 0) return [];
    const page = new Page(holds, prefix, cursor, limit, end);
    for (const id of this.fromRuns(page, limit)) page.offer(id);
    for (let id = this.sortedTo; id < holds.end; id++) if (holds.isPacked(id) && !page.isBehind(id)) page.offer(id);
    return page.found;
  }

  /** The first `limit` that the runs have for the page, in order: each costs a look at few runs, not at the place of each that any run offers. */
  private fromRuns(page: Page, limit: number): number[] {
    const { ids, merged, mergedTo, sortedTo, length } = this;
    const heads = new RunHeads(this.holds);
    const look = (run: Uint32Array, start: number, end: number): void => {
      const head: RunHead = { ids: run, at: start, end };
      if (this.moveTo(head, this.firstOf(run, start, end, page), page)) heads.add(head);
    };
    for (let start = 0; start < mergedTo; start += 2 * length) look(merged, start, Math.min(start + 2 * length, mergedTo));
    for (let start = mergedTo; start < sortedTo; start += length) look(ids, start, Math.min(start + length, sortedTo));
    heads.ready();
    const found: number[] = [];
    for (let head = heads.first; head !== undefined && found.length < limit; head = heads.first) {
      found.push(head.ids[head.at] as number);
      heads.moved(this.moveTo(head, head.at + 1, page));
    }
    return found;
  }

  /** The first place of a run that is not behind the page. */
  private firstOf(ids: Uint32Array, start: number, end: number, page: Page): number {
    let low = start;
    let high = end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (page.isBehind(ids[middle] as number)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** To the first that is packed from `at` on. False when the run has none for the page any more. */
  private moveTo(head: RunHead, at: number, page: Page): boolean {
    head.at = this.packedFrom(head.ids, at, head.end);
    return head.at < head.end && !page.isBeyond(head.ids[head.at] as number);
  }

  /** The first place from `at` on whose hold is packed; `end` if none is. Each that is passed over leads there from now on. */
  private packedFrom(ids: Uint32Array, at: number, end: number): number {
    const { holds, jumps } = this;
    let place = at;
    while (place < end && ((jumps[place] as number) !== 0 || !holds.isPacked(ids[place] as number))) place = jumps[place] || place + 1;
    for (let passed = at; passed < place;) {
      const next = jumps[passed] || passed + 1;
      jumps[passed] = place;
      passed = next;
    }
    return place;
  }

  /** By merging; those that are unpacked meanwhile keep their places. */
  private *sort(): Generator<void> {
    const { holds } = this;
    const compare = (a: number, b: number): number => holds.compare(a, b);
    const count = holds.end;
    this.ids = new Uint32Array(count);
    this.jumps = new Uint32Array(count);
    while (this.sortedTo < count) {
      const end = Math.min(this.sortedTo + firstRun, count);
      for (let id = this.sortedTo; id < end; id++) this.ids[id] = id;
      this.ids.subarray(this.sortedTo, end).sort(compare);
      this.sortedTo = end;
      yield;
    }
    this.merged = new Uint32Array(count);
    while (this.length < count) {
      while (this.mergedTo < count) yield* this.merge(this.mergedTo);
      [this.ids, this.merged] = [this.merged, this.ids];
      this.length *= 2;
      this.mergedTo = 0;
    }
    this.merged = nothing;
    this.isSorted = true;
  }

  /** Two neighbouring runs, the first at `start`; the second may be shorter, or not there. */
  private *merge(start: number): Generator<void> {
    const { holds, ids, merged } = this;
    const middle = Math.min(start + this.length, ids.length);
    const end = Math.min(middle + this.length, ids.length);
    let left = start;
    let right = middle;
    for (let at = start; at < end; at++) {
      const takesLeft = right >= end || (left < middle && holds.compare(ids[left] as number, ids[right] as number) <= 0);
      merged[at] = ids[takesLeft ? left++ : right++] as number;
      if ((at + 1) % mergedPerStep === 0) yield;
    }
    // They were of the places in the two runs.
    this.jumps.fill(0, start, end);
    this.mergedTo = end;
  }

  private forget(): void {
    this.ids = nothing;
    this.merged = nothing;
    this.jumps = nothing;
    this.steps = null;
    this.length = firstRun;
    this.sortedTo = 0;
    this.mergedTo = 0;
  }
}

/** Where a page has come to in a run. */
interface RunHead {
  readonly ids: Uint32Array;
  at: number;
  readonly end: number;
}

/** Runs by the names that they have come to: a heap. */
class RunHeads {
  private readonly heap: RunHead[] = [];
  private readonly holds: PackedHolds;

  constructor(holds: PackedHolds) {
    this.holds = holds;
  }

  /** Before `ready`. */
  add(head: RunHead): void {
    this.heap.push(head);
  }

  ready(): void {
    for (let place = (this.heap.length >>> 1) - 1; place >= 0; place--) this.sink(place);
  }

  /** The run whose name comes first. */
  get first(): RunHead | undefined {
    return this.heap[0];
  }

  /** That run has gone on; false = it is at its end. */
  moved(isLeft: boolean): void {
    const last = isLeft ? undefined : this.heap.pop();
    if (last !== undefined && this.heap.length > 0) this.heap[0] = last;
    this.sink(0);
  }

  private sink(from: number): void {
    const { heap } = this;
    for (let place = from; ;) {
      const left = 2 * place + 1;
      if (left >= heap.length) return;
      const smaller = left + 1 < heap.length && this.isBefore(left + 1, left) ? left + 1 : left;
      if (!this.isBefore(smaller, place)) return;
      [heap[place], heap[smaller]] = [heap[smaller] as RunHead, heap[place] as RunHead];
      place = smaller;
    }
  }

  private isBefore(a: number, b: number): boolean {
    const [one, other] = [this.heap[a] as RunHead, this.heap[b] as RunHead];
    return this.holds.compare(one.ids[one.at] as number, other.ids[other.at] as number) < 0;
  }
}

/** The first so many names of those offered. */
class Page {
  readonly found: number[] = [];
  private readonly holds: PackedHolds;
  private readonly prefix: string;
  private readonly limit: number;
  private readonly end: string | null;
  /** Names begin here, `start` itself only where it is not the cursor. */
  private readonly start: string;
  private readonly isAfterCursor: boolean;

  constructor(holds: PackedHolds, prefix: string, cursor: string, limit: number, end: string | null) {
    this.holds = holds;
    this.prefix = prefix;
    this.limit = limit;
    this.end = end;
    this.isAfterCursor = compareNames(cursor, prefix) >= 0;
    this.start = this.isAfterCursor ? cursor : prefix;
  }

  /** Does it come before the page? */
  isBehind(id: number): boolean {
    const order = this.holds.compareText(id, this.start);
    return this.isAfterCursor ? order <= 0 : order < 0;
  }

  /** Does it come after all of the page, or have no part in it as all that follow? For one that is not behind. */
  isBeyond(id: number): boolean {
    return !this.holds.startsWith(id, this.prefix) || (this.end !== null && this.holds.compareText(id, this.end) >= 0);
  }

  /** Takes a name that is not behind, if it is one of the page. */
  offer(id: number): void {
    const { holds, found, limit } = this;
    const last = found.at(-1);
    const isLast = last === undefined || holds.compare(last, id) < 0;
    if ((isLast && found.length >= limit) || this.isBeyond(id)) return;
    if (isLast) found.push(id);
    else found.splice(this.placeOf(id), 0, id);
    if (found.length > limit) found.pop();
  }

  private placeOf(id: number): number {
    let low = 0;
    let high = this.found.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.holds.compare(this.found[middle] as number, id) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const nothing: Uint32Array = new Uint32Array(0);
