import { drainMs } from "./closed-loop.ts";
import { Histogram, type HistogramData } from "./histogram.ts";
import type { LockClient } from "./lock-client.ts";
import { Metronome } from "./metronome.ts";
import { ArrivalSchedule, tickMsFor } from "./schedule.ts";

export interface OpenLoopOptions {
  /** Pairs per second, half the measured maximum as a rule. */
  readonly rate: number;
  readonly durationMs: number;
  /** At most so many pairs at once; an arrival that finds none free waits, and its latency counts from when it was due. */
  readonly callers: number;
  readonly prefix: string;
}

export interface OpenLoopResult {
  readonly offered: number;
  readonly completed: number;
  readonly errors: number;
  readonly first_error: string | null;
  /** From the time the request was due. */
  readonly acquire: HistogramData;
  /** From the grant: a release is due when its lock was granted. */
  readonly release: HistogramData;
  /** Most arrivals that waited for a free caller at one time. */
  readonly max_backlog: number;
}

class OpenLoop {
  readonly #client: LockClient;
  readonly #options: OpenLoopOptions;
  /** Begins with the first tick, on the metronome's grid: neither the start of its thread nor a phase between the two is anybody's latency. */
  #schedule: ArrivalSchedule | null = null;
  readonly #acquire = new Histogram();
  readonly #release = new Histogram();
  readonly #free: number[] = [];
  readonly #backlog: number[] = [];
  #backlogHead = 0;
  #maxBacklog = 0;
  #completed = 0;
  #errors = 0;
  #firstError: string | null = null;
  #generation = 0;
  readonly #finished: () => void;

  constructor(client: LockClient, options: OpenLoopOptions, finished: () => void) {
    this.#client = client;
    this.#options = options;
    for (let caller = options.callers - 1; caller >= 0; caller--) this.#free.push(caller);
    this.#finished = finished;
  }

  tick(dueMs: number): void {
    const now = performance.now();
    const schedule = (this.#schedule ??= new ArrivalSchedule(dueMs, this.#options.rate, this.#options.durationMs));
    for (let due = schedule.take(now); due !== null; due = schedule.take(now)) {
      const caller = this.#free.pop();
      if (caller === undefined) this.#backlog.push(due);
      else this.#pair(caller, due);
    }
    this.#maxBacklog = Math.max(this.#maxBacklog, this.#backlog.length - this.#backlogHead);
  }

  #pair(caller: number, due: number): void {
    const name = `${this.#options.prefix}/${caller}/${this.#generation}`;
    this.#client.acquire(caller, name, 0, (error, handle) => {
      const granted = performance.now();
      if (error !== null) {
        this.#done(caller, error);
        return;
      }
      this.#acquire.record(granted - due);
      this.#client.release(caller, name, handle, (failure) => {
        if (failure === null) this.#release.record(performance.now() - granted);
        this.#done(caller, failure);
      });
    });
  }

  #done(caller: number, error: Error | null): void {
    this.#completed++;
    if (error !== null) {
      this.#errors++;
      this.#firstError ??= error.message;
      // Whether the failed call took effect is unknown: nobody uses its name again.
      this.#generation++;
    }
    const due = this.#backlog[this.#backlogHead];
    if (due === undefined) {
      this.#free.push(caller);
    } else {
      this.#backlogHead++;
      this.#pair(caller, due);
    }
    const schedule = this.#schedule;
    if (schedule !== null && schedule.finished && this.#completed === schedule.total) this.#finished();
  }

  result(): OpenLoopResult {
    return {
      offered: this.#schedule?.total ?? 0,
      completed: this.#completed,
      errors: this.#errors,
      first_error: this.#firstError,
      acquire: this.#acquire.toData(),
      release: this.#release.toData(),
      max_backlog: this.#maxBacklog,
    };
  }
}

/** Pairs at a fixed rate, whatever the answers do. Ends when all are answered; fails when some never are. */
export function openLoop(client: LockClient, options: OpenLoopOptions): Promise<OpenLoopResult> {
  return new Promise<OpenLoopResult>((resolve, reject) => {
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      metronome.stop().then(settle, reject);
    };
    const loop = new OpenLoop(client, options, () => {
      end(() => {
        resolve(loop.result());
      });
    });
    const metronome = new Metronome(
      tickMsFor(options.rate),
      (dueMs) => {
        loop.tick(dueMs);
      },
      reject,
    );
    const timer = setTimeout(() => {
      const { completed, offered } = loop.result();
      end(() => {
        reject(new Error(`${offered - completed} of ${offered} requests were not answered ${drainMs} ms after the end`));
      });
    }, options.durationMs + drainMs);
  });
}
