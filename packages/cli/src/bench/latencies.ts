/** Buckets for each doubling: a percentile is at most three per cent too high. */
const perDoubling = 32;
/** A microsecond; what is faster counts as that. */
const shortestMs = 0.001;

/** Latencies as counts in buckets that grow: the memory is the same for a second and for a minute. */
export class Latencies {
  private readonly counts = new Map<number, number>();
  private total = 0;
  private longest = 0;

  get count(): number {
    return this.total;
  }
  get maxMs(): number {
    return this.longest;
  }

  record(ms: number): void {
    const bucket = Math.ceil(Math.log2(Math.max(ms, shortestMs) / shortestMs) * perDoubling);
    this.counts.set(bucket, (this.counts.get(bucket) ?? 0) + 1);
    this.total++;
    if (ms > this.longest) this.longest = ms;
  }

  /** So many of all were not slower; rather too high than too low. 0 = there are none. */
  quantileMs(fraction: number): number {
    let left = Math.ceil(this.total * fraction);
    for (const [bucket, count] of [...this.counts].toSorted(([a], [b]) => a - b)) {
      left -= count;
      if (left <= 0) return Math.min(this.longest, shortestMs * 2 ** (bucket / perDoubling));
    }
    return 0;
  }
}
