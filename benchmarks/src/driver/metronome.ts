import { Worker } from "node:worker_threads";
import { monotonicMs } from "../waiting.ts";

/**
 * The sleeping thread: wakes at absolute times, so lateness of one tick does not shift the next. As text, because a worker thread cannot
 * load TypeScript where the sources run unbuilt (tests).
 */
const thread = `
  const { parentPort, workerData: { tickMs, pending } } = require("node:worker_threads");
  const never = new Int32Array(new SharedArrayBuffer(4));
  const now = () => Number(process.hrtime.bigint()) / 1e6;
  let due = now();
  for (;;) {
    due += tickMs;
    const rest = due - now();
    if (rest > 0) Atomics.wait(never, 0, 0, rest);
    if (Atomics.compareExchange(pending, 0, 0, 1) === 0) parentPort.postMessage(due);
  }
`;

/**
 * Wakes the event loop at sub-millisecond intervals. Timers of Node are whole milliseconds, and a loop that spins on `setImmediate`
 * would take a core away from the servers measured on the same machine; a thread that sleeps in `Atomics.wait` costs almost nothing.
 */
export class Metronome {
  readonly #worker: Worker;
  /** 1 while a tick is on its way: the thread does not pile up ticks in front of a busy loop. */
  readonly #pending: Int32Array;

  /** `onTick` gets the time the tick was meant for, on the clock of `performance.now()`. */
  constructor(tickMs: number, onTick: (dueMs: number) => void, onError: (error: Error) => void) {
    this.#pending = new Int32Array(new SharedArrayBuffer(4));
    this.#worker = new Worker(thread, { eval: true, workerData: { tickMs, pending: this.#pending } });
    // Threads share CLOCK_MONOTONIC, but each has its own zero of `performance.now()`.
    const offset = performance.now() - monotonicMs();
    this.#worker.on("message", (dueMs: number) => {
      Atomics.store(this.#pending, 0, 0);
      onTick(dueMs + offset);
    });
    this.#worker.on("error", onError);
  }

  async stop(): Promise<void> {
    this.#worker.removeAllListeners("message");
    await this.#worker.terminate();
  }
}
