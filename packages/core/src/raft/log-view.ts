import { invariant } from "../kernel/assert.ts";
import { logIndex, term as toTerm } from "../kernel/brand.ts";
import type { LogIndex, Term } from "../kernel/brand.ts";
import { mutant } from "#mutation";
import type { Entry } from "./types.ts";

/** Of an entry beside its payload, in memory and on disk. */
const entryOverheadBytes = 32;

/**
 * The log in memory: everything after the compacted prefix. The last entry of that prefix is kept as (base, baseTerm), so that the
 * consistency check of AppendEntries and `lastTerm` work when nothing follows it (mutants 28, 29 and 30).
 */
export class LogView {
  private readonly entries: Entry[] = [];
  /** What the log took up to and with each of them, counted from `dropped` on: a stretch of it is measured without a walk. */
  private readonly totals: number[] = [];
  private dropped = 0;
  private base: LogIndex;
  private baseTerm: Term;

  constructor(base: LogIndex, baseTerm: Term) {
    this.base = base;
    this.baseTerm = baseTerm;
  }

  /** First index whose entry is here; lastIndex + 1 when none is. */
  get firstIndex(): LogIndex {
    return logIndex(this.base + 1);
  }

  get lastIndex(): LogIndex {
    return logIndex(this.base + this.entries.length);
  }

  get lastTerm(): Term {
    const last = this.entries.at(-1);
    if (last !== undefined) return last.term;
    return mutant("raft-30-last-term-lost-by-compaction") ? toTerm(0) : this.baseTerm;
  }

  /** Term of an entry or of the last compacted one; null when it is not known here. */
  termAt(index: LogIndex): Term | null {
    if (index === this.base) return this.baseTerm;
    const entry = this.entries[index - this.base - 1];
    return entry === undefined ? null : entry.term;
  }

  /** The consistency check of AppendEntries (§5.3): an index that is compacted or beyond the end never matches. */
  matches(index: LogIndex, term: Term): boolean {
    if (mutant("raft-28-zero-matches-after-compaction") && index === 0) return true;
    if (mutant("raft-29-missing-term-is-zero")) return (this.termAt(index) ?? 0) === term;
    return this.termAt(index) === term;
  }

  entryAt(index: LogIndex): Entry | null {
    return this.entries[index - this.base - 1] ?? null;
  }

  append(entry: Entry): void {
    invariant(
      entry.index === this.base + this.entries.length + 1,
      "raft-log-contiguous",
      () => `entry ${entry.index} after ${this.lastIndex}`,
    );
    invariant(entry.term >= this.lastTerm || this.entries.length === 0, "raft-log-terms-ordered", () => `entry ${entry.index}`);
    this.entries.push(entry);
    this.totals.push(this.totalTo(this.totals.length) + entry.payload.length + entryOverheadBytes);
  }

  /** With so many of the entries in memory. */
  private totalTo(count: number): number {
    return count === 0 ? this.dropped : (this.totals[count - 1] ?? this.dropped);
  }

  /** Where the longest stretch begins that ends with `index` and takes at most `maxBytes` in memory; index + 1 = none does. */
  stretchTo(index: LogIndex, maxBytes: number): LogIndex {
    if (index <= this.base || index > this.lastIndex) return logIndex(index + 1);
    const end = this.totalTo(index - this.base);
    let low: number = this.base;
    let high: number = index;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (end - this.totalTo(middle - this.base) <= maxBytes) high = middle;
      else low = middle + 1;
    }
    return logIndex(low + 1);
  }

  /** Drops `from` and everything after it. */
  truncateFrom(from: LogIndex): void {
    invariant(from > this.base, "raft-log-truncates-compacted", () => `${from} at base ${this.base}`);
    this.entries.length = Math.min(this.entries.length, from - this.base - 1);
    this.totals.length = this.entries.length;
  }

  /** Drops entries up to and including `index` from memory. */
  compactTo(index: LogIndex): void {
    if (index <= this.base) return;
    const kept = this.termAt(index);
    invariant(kept !== null, "raft-log-compacts-missing", () => `${index} of ${this.lastIndex}`);
    this.dropped = this.totalTo(index - this.base);
    this.entries.splice(0, index - this.base);
    this.totals.splice(0, index - this.base);
    this.base = index;
    this.baseTerm = kept;
  }

  /** Replaces everything: the log continues after an installed snapshot. */
  reset(index: LogIndex, term: Term): void {
    this.entries.length = 0;
    this.totals.length = 0;
    this.dropped = 0;
    this.base = index;
    this.baseTerm = term;
  }

  /**
   * Entries from `from` to `to`, both included, as far as they are here; stops before `maxBytes` of payload or `maxEntries` would be
   * exceeded, but never returns nothing when there is an entry at `from`.
   */
  slice(from: LogIndex, to: LogIndex, maxEntries: number, maxBytes: number): readonly Entry[] {
    const start = Math.max(from - this.base - 1, 0);
    const end = Math.min(to - this.base, this.entries.length, start + maxEntries);
    let bytes = 0;
    let stop = start;
    while (stop < end) {
      bytes += this.entries[stop]?.payload.length ?? 0;
      if (bytes > maxBytes && stop > start) break;
      stop++;
    }
    return this.entries.slice(start, stop);
  }

  /**
   * The last position at or before `index` whose term is at most `term`: both sides skip whole terms while they look for the point
   * where their logs part (§5.3, fast backtracking). Terms never fall along a log, so this is a binary search.
   */
  lastAtOrBelowTerm(index: LogIndex, term: Term): LogIndex {
    let low = this.base;
    let high = Math.min(index, this.lastIndex);
    if (high < low) return logIndex(Math.max(high, 0));
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.termAt(logIndex(middle)) ?? 0) <= term) low = logIndex(middle);
      else high = logIndex(middle - 1);
    }
    return logIndex(low);
  }
}
