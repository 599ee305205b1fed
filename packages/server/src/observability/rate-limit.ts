/** Lets one line of a kind through per interval and counts the rest, so that INFO is never flooded (L-02, L-03, L-07). */
export class LineLimiter {
  readonly #intervalMs: number;
  readonly #now: () => number;
  readonly #kinds = new Map<string, { lastAt: number; held: number }>();

  constructor(intervalMs: number, now: () => number) {
    this.#intervalMs = intervalMs;
    this.#now = now;
  }

  /** Null = hold it back; else how many were held back before this one. */
  admit(kind: string): number | null {
    const now = this.#now();
    const known = this.#kinds.get(kind);
    if (known === undefined) {
      this.#kinds.set(kind, { lastAt: now, held: 0 });
      return 0;
    }
    if (now - known.lastAt < this.#intervalMs) {
      known.held++;
      return null;
    }
    const { held } = known;
    known.lastAt = now;
    known.held = 0;
    return held;
  }
}
