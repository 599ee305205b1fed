import type { Clock, Timer } from "@trivet/engine";

/**
 * Real time. `performance.now` is CLOCK_MONOTONIC: it never goes back, and it stands still while the machine is suspended, but goes on
 * while only this process is stopped (SIGSTOP, freezer). So a stopped process sees the gap on resume and re-confirms leadership
 * (rule L2); a suspended machine does not, which is one of the assumptions behind local cache hits stated to users (ρ, `strict` mode).
 */
export class NodeClock implements Clock {
  private deferred: (() => void)[] = [];
  private running: (() => void)[] = [];
  private scheduled = false;

  now(): number {
    return performance.now();
  }

  wallNow(): number {
    return Date.now();
  }

  /** A timer of Node may fire up to a millisecond early by `performance.now`; then it is set again for the rest. */
  schedule(delayMs: number, run: () => void): Timer {
    const dueAt = performance.now() + delayMs;
    let handle: NodeJS.Timeout;
    const fire = (): void => {
      const left = dueAt - performance.now();
      if (left > 0) handle = setTimeout(fire, Math.ceil(left));
      else run();
    };
    // setTimeout takes at most 2^31 - 1; `fire` continues longer delays.
    handle = setTimeout(fire, Math.min(Math.ceil(delayMs), 2 ** 31 - 1));
    return { cancel: () => clearTimeout(handle) };
  }

  /**
   * One setImmediate per turn runs all callbacks deferred in it: the check phase follows the poll phase, so I/O that was ready in this
   * turn has been seen. What a callback defers itself runs in the next turn, so that it cannot starve I/O.
   */
  defer(run: () => void): void {
    this.deferred.push(run);
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.runDeferred);
  }

  private readonly runDeferred = (): void => {
    const { running } = this;
    const batch = this.deferred;
    this.deferred = running;
    this.running = batch;
    this.scheduled = false;
    let index = 0;
    try {
      for (; index < batch.length; index++) batch[index]?.();
    } finally {
      // After a throw the rest still runs, in the next turn, if the process lives on.
      if (index < batch.length) for (const left of batch.slice(index + 1)) this.defer(left);
      batch.length = 0;
    }
  };
}
