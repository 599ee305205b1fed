/**
 * Latency histogram with logarithmic buckets: values in units of 100 ns, exact below 128 units, then 128 sub-buckets per power of two,
 * so a percentile is at most 0.8 % too high. Plain counts, so histograms of rounds and processes merge without loss.
 */

const subBucketBits = 7;
const subBuckets = 1 << subBucketBits;
/** Largest value that fits: 2^31 - 1 units = 214 s. Longer ones are counted as that. */
const maxUnits = 2 ** 31 - 1;
const unitsPerMs = 10_000;
const bucketCount = (31 - subBucketBits + 1) * subBuckets;

function bucketOf(units: number): number {
  if (units < subBuckets) return units;
  const shift = 31 - Math.clz32(units) - subBucketBits;
  return shift * subBuckets + (units >>> shift);
}

/** Highest value that falls into `bucket`: percentiles err to the slow side, never to the fast one. */
function topOf(bucket: number): number {
  if (bucket < subBuckets) return bucket;
  const shift = Math.floor(bucket / subBuckets) - 1;
  return (bucket - shift * subBuckets + 1) * 2 ** shift - 1;
}

/** What crosses a process boundary or lies in a result file: non-empty buckets as [bucket, count] pairs. */
export interface HistogramData {
  readonly counts: readonly (readonly [number, number])[];
  readonly max_ms: number;
  readonly sum_ms: number;
}

/** Percentiles of one histogram, in milliseconds; null when it is empty. */
export interface Summary {
  readonly count: number;
  readonly mean_ms: number | null;
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
  readonly p999_ms: number | null;
  readonly max_ms: number | null;
}

export class Histogram {
  readonly #counts = new Float64Array(bucketCount);
  #count = 0;
  #maxMs = 0;
  #sumMs = 0;

  static from(data: HistogramData): Histogram {
    const histogram = new Histogram();
    histogram.merge(data);
    return histogram;
  }

  get count(): number {
    return this.#count;
  }

  /** A negative duration can only come from a clock that ran backwards or a bug of the driver: it is refused loudly. */
  record(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`latency of ${ms} ms`);
    const units = Math.min(Math.round(ms * unitsPerMs), maxUnits);
    const bucket = bucketOf(units);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count++;
    this.#sumMs += ms;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  merge(data: HistogramData): void {
    for (const [bucket, count] of data.counts) {
      if (!Number.isInteger(bucket) || bucket < 0 || bucket >= bucketCount) throw new RangeError(`no bucket ${bucket}`);
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
      this.#count += count;
    }
    this.#sumMs += data.sum_ms;
    this.#maxMs = Math.max(this.#maxMs, data.max_ms);
  }

  /** The smallest recorded value (to bucket precision) that at least `fraction` of all values do not exceed. */
  percentile(fraction: number): number | null {
    if (this.#count === 0) return null;
    const rank = Math.max(1, Math.ceil(fraction * this.#count));
    let seen = 0;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      seen += this.#counts[bucket] ?? 0;
      if (seen >= rank) return Math.min(topOf(bucket) / unitsPerMs, this.#maxMs);
    }
    return this.#maxMs;
  }

  summary(): Summary {
    const empty = this.#count === 0;
    return {
      count: this.#count,
      mean_ms: empty ? null : this.#sumMs / this.#count,
      p50_ms: this.percentile(0.5),
      p99_ms: this.percentile(0.99),
      p999_ms: this.percentile(0.999),
      max_ms: empty ? null : this.#maxMs,
    };
  }

  toData(): HistogramData {
    const counts: [number, number][] = [];
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      const count = this.#counts[bucket] ?? 0;
      if (count > 0) counts.push([bucket, count]);
    }
    return { counts, max_ms: this.#maxMs, sum_ms: this.#sumMs };
  }
}
