/** So many callers are remembered; the one that was silent longest goes, and would start with a full bucket again. */
const maxCallers = 10_000;

interface Bucket {
  tokens: number;
  at: number;
}

/** A token bucket for each caller. Of this node alone: a caller that spreads its calls over three nodes has three. */
export class RateLimiter {
  private readonly perMs: number;
  private readonly burst: number;
  private readonly now: () => number;
  private readonly buckets = new Map<string, Bucket>();

  constructor(limit: { readonly perSecond: number; readonly burst: number }, now: () => number) {
    this.perMs = limit.perSecond / 1_000;
    this.burst = limit.burst;
    this.now = now;
  }

  /** Null = go on; else after how many milliseconds there is room for it. */
  take(caller: string, count = 1): number | null {
    const now = this.now();
    const known = this.buckets.get(caller);
    const bucket = known ?? { tokens: this.burst, at: now };
    // Last used, last in the order of the map: the first one is who was silent longest.
    this.buckets.delete(caller);
    this.buckets.set(caller, bucket);
    bucket.tokens = Math.min(this.burst, bucket.tokens + (now - bucket.at) * this.perMs);
    bucket.at = now;
    if (known === undefined && this.buckets.size > maxCallers)
      for (const first of this.buckets.keys()) {
        this.buckets.delete(first);
        break;
      }
    // More at once than the bucket holds is let in when it is full, and paid for afterwards: it would never be let in otherwise.
    if (bucket.tokens >= Math.min(count, this.burst)) {
      bucket.tokens -= count;
      return null;
    }
    return Math.ceil((Math.min(count, this.burst) - bucket.tokens) / this.perMs);
  }

  /** As `take`, of one, which is not taken. */
  wait(caller: string): number | null {
    const short = this.missing(caller) - (this.burst - 1);
    return short > 0 ? Math.ceil(short / this.perMs) : null;
  }

  /** How much the bucket lacks to be full. */
  missing(caller: string): number {
    const bucket = this.buckets.get(caller);
    return bucket === undefined ? 0 : Math.max(0, this.burst - bucket.tokens - (this.now() - bucket.at) * this.perMs);
  }

  /** What was taken is not to be paid for. */
  giveBack(caller: string): void {
    const bucket = this.buckets.get(caller);
    if (bucket !== undefined) bucket.tokens = Math.min(this.burst, bucket.tokens + 1);
  }

  get size(): number {
    return this.buckets.size;
  }
}
