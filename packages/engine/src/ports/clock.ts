/** Monotonic and wall time, and timers. All times in milliseconds. */
export interface Clock {
  /** Monotonic; never goes back; fractions allowed. Everything about leases and elections uses this. */
  now(): number;
  /** Wall clock (Unix milliseconds). Only group time at take-over, JWT and audit may read it (rule L3), and who holds copies: it goes on while a machine is suspended (rule M2). When a process starts its heartbeats are put in step with those of others by it. */
  wallNow(): number;
  /** Calls `run` once, `delayMs` or more from now. */
  schedule(delayMs: number, run: () => void): Timer;
  /** Calls `run` at the end of the current turn of the event loop, after pending I/O: the batching point of every hot path. */
  defer(run: () => void): void;
}
export interface Timer {
  cancel(): void;
}
