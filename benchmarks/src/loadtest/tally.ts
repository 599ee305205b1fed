import { Histogram, type Summary } from "../driver/histogram.ts";

/** What became of one kind of call. */
export interface CallRow extends Summary {
  readonly name: string;
}

/** One second of the run. */
export interface Second {
  readonly at: number;
  readonly users: number;
  readonly calls: number;
  readonly expected: number;
  readonly unexpected: number;
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
}

export interface Totals {
  readonly succeeded: number;
  readonly expected: number;
  readonly unexpected: number;
}

const mostReasons = 50;
/** Calls after which something has certainly been decided by the cluster. */
const writes = new Set(["POST /locks/acquire", "POST /locks/release", "POST /queue/produce", "POST /cache/put"]);

/**
 * Counts the outcomes of a run: successes, outcomes that belong to the work (under a name with the status in brackets), and those that nobody
 * expected, with their reasons. `now` is a clock that only goes forward, in milliseconds.
 */
export class Tally {
  readonly #now: () => number;
  readonly #good = new Map<string, Histogram>();
  readonly #expected = new Map<string, Histogram>();
  readonly #unexpected = new Map<string, Histogram>();
  readonly #reasons = new Map<string, number>();
  readonly #seconds: Second[] = [];
  #second = { calls: 0, expected: 0, unexpected: 0, latencies: new Histogram() };
  #lastWrite: number | null = null;
  #longestPauseMs = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  succeeded(name: string, ms: number): void {
    record(this.#good, name, ms);
    this.#count(ms);
    if (!writes.has(name)) return;
    const at = this.#now();
    if (this.#lastWrite !== null) this.#longestPauseMs = Math.max(this.#longestPauseMs, at - this.#lastWrite);
    this.#lastWrite = at;
  }

  expected(name: string, status: number, ms: number): void {
    record(this.#expected, `${name} [${status}]`, ms);
    this.#second.expected++;
    this.#count(ms);
  }

  unexpected(name: string, reason: string, ms: number): void {
    record(this.#unexpected, name, ms);
    const text = `${name}: ${reason}`;
    const key = this.#reasons.has(text) || this.#reasons.size < mostReasons ? text : "others";
    this.#reasons.set(key, (this.#reasons.get(key) ?? 0) + 1);
    this.#second.unexpected++;
    this.#count(ms);
  }

  /** Ends the present second. */
  tick(users: number): Second {
    const { calls, expected, unexpected, latencies } = this.#second;
    const { p50_ms, p99_ms } = latencies.summary();
    const second = { at: this.#seconds.length + 1, users, calls, expected, unexpected, p50_ms, p99_ms };
    this.#seconds.push(second);
    this.#second = { calls: 0, expected: 0, unexpected: 0, latencies: new Histogram() };
    return second;
  }

  totals(): Totals {
    return { succeeded: countOf(this.#good), expected: countOf(this.#expected), unexpected: countOf(this.#unexpected) };
  }

  rows(of: "succeeded" | "expected" | "unexpected"): readonly CallRow[] {
    const histograms = { succeeded: this.#good, expected: this.#expected, unexpected: this.#unexpected }[of];
    return [...histograms].map(([name, histogram]) => ({ name, ...histogram.summary() })).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Successes of these calls together. */
  summaryOf(names: readonly string[]): Summary {
    const all = new Histogram();
    for (const name of names) {
      const histogram = this.#good.get(name);
      if (histogram !== undefined) all.merge(histogram.toData());
    }
    return all.summary();
  }

  reasons(): readonly (readonly [reason: string, count: number])[] {
    return [...this.#reasons].toSorted(([, a], [, b]) => b - a);
  }

  seconds(): readonly Second[] {
    return this.#seconds;
  }

  /** The longest time in which no write was acknowledged, from the first one to now; null before the first. */
  longestPauseMs(): number | null {
    return this.#lastWrite === null ? null : Math.max(this.#longestPauseMs, this.#now() - this.#lastWrite);
  }

  #count(ms: number): void {
    this.#second.calls++;
    this.#second.latencies.record(ms);
  }
}

function record(histograms: Map<string, Histogram>, name: string, ms: number): void {
  const histogram = histograms.get(name) ?? new Histogram();
  histograms.set(name, histogram);
  histogram.record(ms);
}

function countOf(histograms: ReadonlyMap<string, Histogram>): number {
  return [...histograms.values()].reduce((count, histogram) => count + histogram.count, 0);
}
