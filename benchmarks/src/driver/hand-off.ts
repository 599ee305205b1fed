import { drainMs } from "./closed-loop.ts";
import { Histogram, type HistogramData } from "./histogram.ts";
import type { LockClient } from "./lock-client.ts";

export interface HandOffOptions {
  readonly callers: number;
  readonly durationMs: number;
  readonly name: string;
}

export interface HandOffResult {
  readonly hand_offs: number;
  readonly seconds: number;
  readonly errors: number;
  readonly first_error: string | null;
  /** Release sent → grant received by another caller. */
  readonly hand_off: HistogramData;
  /** Grants to the caller that had just released: no hand-off, but others passed over. */
  readonly own_again: number;
  /** Acquire sent → granted: how long one stands in line. */
  readonly wait: HistogramData;
}

/** Longest a caller waits in line before it counts as an error. */
const waitMs = 10_000;
const maxErrors = 1000;

class HandOff {
  readonly handOffs: Histogram = new Histogram();
  readonly waits: Histogram = new Histogram();
  ownAgain = 0;
  errors = 0;
  firstError: string | null = null;
  stopping = false;
  busy: number;
  readonly #client: LockClient;
  readonly #name: string;
  readonly #idle: () => void;
  #last: { readonly caller: number; readonly releasedAt: number } | null = null;

  constructor(client: LockClient, options: HandOffOptions, idle: () => void) {
    this.#client = client;
    this.#name = options.name;
    this.#idle = idle;
    this.busy = options.callers;
  }

  ask(caller: number): void {
    if (this.stopping) {
      this.busy--;
      if (this.busy === 0) this.#idle();
      return;
    }
    const askedAt = performance.now();
    this.#client.acquire(caller, this.#name, waitMs, (error, handle) => {
      if (error === null) this.#passOn(caller, askedAt, handle);
      else this.#retry(caller, error);
    });
  }

  #passOn(caller: number, askedAt: number, handle: unknown): void {
    const now = performance.now();
    if (!this.stopping) {
      this.waits.record(now - askedAt);
      if (this.#last?.caller === caller) this.ownAgain++;
      else if (this.#last !== null) this.handOffs.record(now - this.#last.releasedAt);
    }
    this.#last = { caller, releasedAt: performance.now() };
    this.#client.release(caller, this.#name, handle, (error) => {
      if (error === null) this.ask(caller);
      else this.#retry(caller, error);
    });
  }

  #retry(caller: number, error: Error): void {
    this.errors++;
    this.firstError ??= error.message;
    if (this.errors >= maxErrors) this.stopping = true;
    setImmediate(() => {
      this.ask(caller);
    });
  }
}

/** All callers want one name; whoever is granted releases at once. All in one process, so one clock sees both ends of a hand-off. */
export function handOff(client: LockClient, options: HandOffOptions): Promise<HandOffResult> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    let endedAt: number | null = null;
    let drain: NodeJS.Timeout | undefined;
    const run = new HandOff(client, options, () => {
      clearTimeout(ending);
      clearTimeout(drain);
      resolve({
        hand_offs: run.handOffs.count,
        seconds: ((endedAt ?? performance.now()) - startedAt) / 1000,
        errors: run.errors,
        first_error: run.firstError,
        hand_off: run.handOffs.toData(),
        own_again: run.ownAgain,
        wait: run.waits.toData(),
      });
    });
    const ending = setTimeout(() => {
      run.stopping = true;
      endedAt = performance.now();
      drain = setTimeout(() => {
        reject(new Error(`${run.busy} of ${options.callers} callers were not answered ${drainMs} ms after the end`));
      }, drainMs);
    }, options.durationMs);
    for (let caller = 0; caller < options.callers; caller++) run.ask(caller);
  });
}
