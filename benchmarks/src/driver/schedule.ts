/**
 * Arrivals of an open loop: request k is due at `start + k / rate`, whatever happened to the requests before it. Latency counts from the
 * due time, so a stall is felt by every request that should have been sent during it (no coordinated omission).
 */
export class ArrivalSchedule {
  readonly #startMs: number;
  readonly #gapMs: number;
  readonly #total: number;
  #next = 0;

  constructor(startMs: number, ratePerSecond: number, durationMs: number) {
    if (!(ratePerSecond > 0) || !(durationMs > 0)) throw new RangeError(`no schedule of ${ratePerSecond}/s for ${durationMs} ms`);
    this.#startMs = startMs;
    this.#gapMs = 1000 / ratePerSecond;
    this.#total = Math.max(1, Math.floor(durationMs / this.#gapMs));
  }

  get total(): number {
    return this.#total;
  }

  /** All requests have been taken. */
  get finished(): boolean {
    return this.#next >= this.#total;
  }

  /** Due time of the next request that is due by `nowMs`, or null. Each is handed out once, in order. */
  take(nowMs: number): number | null {
    if (this.#next >= this.#total) return null;
    const due = this.#startMs + this.#next * this.#gapMs;
    if (due > nowMs) return null;
    this.#next++;
    return due;
  }
}

/** Shortest time between two wake-ups of the open loop. Finer ones would cost the client a noticeable share of a core. */
const minTickMs = 0.2;

/** How often the open loop has to look at its schedule: at every arrival, or in small bunches when they come thick. */
export function tickMsFor(ratePerSecond: number): number {
  return Math.max(1000 / ratePerSecond, minTickMs);
}
