import { Histogram, type HistogramData } from "./histogram.ts";
import type { LockClient } from "./lock-client.ts";

/** More errors than this end a run: what it measures is no longer the subject. */
const maxErrors = 10_000;
/** After the end, callers get this long to release what they hold. */
export const drainMs = 15_000;

export interface ClosedLoopOptions {
  readonly callers: number;
  readonly durationMs: number;
  /** Prefix of lock names; each caller works on its own names. */
  readonly prefix: string;
}

export interface ClosedLoopResult {
  readonly pairs: number;
  readonly seconds: number;
  readonly errors: number;
  readonly first_error: string | null;
  readonly acquire: HistogramData;
  readonly release: HistogramData;
  /** Longest time in which nothing completed. */
  readonly longest_gap_ms: number;
  /** Pairs completed in second k of the run. */
  readonly per_second: readonly number[];
}

/** Shared tally of the callers of one run. */
class Tally {
  readonly acquire: Histogram = new Histogram();
  readonly release: Histogram = new Histogram();
  readonly perSecond: number[] = [];
  readonly startedAt: number = performance.now();
  pairs = 0;
  errors = 0;
  firstError: string | null = null;
  longestGapMs = 0;
  stopping = false;
  #lastAt: number = performance.now();

  completed(now: number): void {
    if (this.stopping) return;
    const gap = now - this.#lastAt;
    if (gap > this.longestGapMs) this.longestGapMs = gap;
    this.#lastAt = now;
  }

  pair(now: number): void {
    if (this.stopping) return;
    this.pairs++;
    const second = Math.floor((now - this.startedAt) / 1000);
    while (this.perSecond.length <= second) this.perSecond.push(0);
    this.perSecond[second] = (this.perSecond[second] ?? 0) + 1;
  }

  failed(error: Error): void {
    this.errors++;
    this.firstError ??= error.message;
    if (this.errors >= maxErrors) this.stopping = true;
  }

  /** A stall that lasts to the end of the run counts as a gap too. */
  end(now: number): void {
    this.completed(now);
    this.stopping = true;
  }
}

/** One caller: acquire, release, again. Its callbacks are made once, so the loop allocates nothing per operation. */
class Caller {
  readonly #client: LockClient;
  readonly #index: number;
  readonly #prefix: string;
  readonly #tally: Tally;
  readonly #idle: () => void;
  #name: string;
  #generation = 0;
  #sentAt = 0;

  constructor(client: LockClient, index: number, prefix: string, tally: Tally, idle: () => void) {
    this.#client = client;
    this.#index = index;
    this.#prefix = prefix;
    this.#tally = tally;
    this.#idle = idle;
    this.#name = `${prefix}/${index}`;
  }

  start(): void {
    if (this.#tally.stopping) {
      this.#idle();
      return;
    }
    this.#sentAt = performance.now();
    this.#client.acquire(this.#index, this.#name, 0, this.#onGranted);
  }

  readonly #onGranted = (error: Error | null, handle: unknown): void => {
    const now = performance.now();
    if (error !== null) {
      this.#retry(error);
      return;
    }
    this.#tally.completed(now);
    if (!this.#tally.stopping) this.#tally.acquire.record(now - this.#sentAt);
    this.#sentAt = now;
    this.#client.release(this.#index, this.#name, handle, this.#onReleased);
  };

  readonly #onReleased = (error: Error | null): void => {
    const now = performance.now();
    if (error !== null) {
      this.#retry(error);
      return;
    }
    this.#tally.completed(now);
    if (!this.#tally.stopping) this.#tally.release.record(now - this.#sentAt);
    this.#tally.pair(now);
    this.start();
  };

  /** What a failed call left behind is unknown, so the caller goes on with a fresh name, in a later turn. */
  #retry(error: Error): void {
    this.#tally.failed(error);
    this.#generation++;
    this.#name = `${this.#prefix}/${this.#index}/${this.#generation}`;
    setImmediate(() => {
      this.start();
    });
  }
}

/** n callers in flight for a while: each sends its next operation when the one before is answered. */
export function closedLoop(client: LockClient, options: ClosedLoopOptions): Promise<ClosedLoopResult> {
  return new Promise((resolve, reject) => {
    const tally = new Tally();
    let busy = options.callers;
    let endedAt: number | null = null;
    const timers: NodeJS.Timeout[] = [];
    const settle = (): void => {
      for (const timer of timers) clearTimeout(timer);
      resolve({
        pairs: tally.pairs,
        seconds: ((endedAt ?? performance.now()) - tally.startedAt) / 1000,
        errors: tally.errors,
        first_error: tally.firstError,
        acquire: tally.acquire.toData(),
        release: tally.release.toData(),
        longest_gap_ms: tally.longestGapMs,
        per_second: tally.perSecond,
      });
    };
    const idle = (): void => {
      busy--;
      if (busy === 0) settle();
    };
    timers.push(
      setTimeout(() => {
        endedAt = performance.now();
        tally.end(endedAt);
        timers.push(
          setTimeout(() => {
            reject(new Error(`${busy} of ${options.callers} calls were not answered ${drainMs} ms after the end`));
          }, drainMs),
        );
      }, options.durationMs),
    );
    for (let index = 0; index < options.callers; index++) new Caller(client, index, options.prefix, tally, idle).start();
  });
}
