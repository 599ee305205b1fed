import type { Clock, Timer } from "@trivet/engine";

/** What the event loop's clock is ahead of `performance.now`, which begins with the process: both are the kernel's monotonic clock. */
const loopOffsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
/** `setTimeout` takes no more; what is longer goes on when that is over. */
const longestMs = 2 ** 31 - 1;

/**
 * Real time. `performance.now` is CLOCK_MONOTONIC: it never goes back, and it stands still while the machine is suspended, but goes on
 * while only this process is stopped (SIGSTOP, freezer). So a stopped process sees the gap on resume and re-confirms leadership
 * (rule L2); a suspended machine does not, which is one of the assumptions behind local cache hits stated to users (ρ, `strict` mode).
 */
export class NodeClock implements Clock {
  private deferred: (() => void)[] = [];
  private running: (() => void)[] = [];
  private scheduled = false;
  private readonly late: (ms: number) => void;
  private readonly bound: ((run: () => void) => () => void) | null;

  /**
   * `late`: by how much a timer fired after its time, which is how long the event loop did something else. `bound`: ties what is deferred to the trace of who
   * defers it, as it runs in a turn that others have asked for; null = nobody traces.
   */
  constructor(late: (ms: number) => void = () => undefined, bound: ((run: () => void) => () => void) | null = null) {
    this.late = late;
    this.bound = bound;
  }

  now(): number {
    return performance.now();
  }

  wallNow(): number {
    return Date.now();
  }

  /**
   * The event loop counts whole milliseconds, from where it has them begun. A timer is asked for at the first of them that is not before its time: one
   * that fires a fraction too early has to be set again for the rest, and then the process has woken twice.
   */
  schedule(delayMs: number, run: () => void): Timer {
    const dueAt = performance.now() + delayMs;
    const wholeAt = Math.ceil(dueAt + loopOffsetMs);
    let handle: NodeJS.Timeout;
    const wait = (): void => {
      handle = setTimeout(fire, Math.min(wholeAt - Math.floor(performance.now() + loopOffsetMs), longestMs));
    };
    const fire = (): void => {
      const now = performance.now();
      if (now < dueAt) return wait();
      this.late(Math.max(0, now + loopOffsetMs - wholeAt));
      run();
    };
    wait();
    return { cancel: () => clearTimeout(handle) };
  }

  /**
   * One setImmediate per turn runs all callbacks deferred in it: the check phase follows the poll phase, so I/O that was ready in this
   * turn has been seen. What a callback defers itself runs in the next turn, so that it cannot starve I/O.
   */
  defer(run: () => void): void {
    this.deferred.push(this.bound === null ? run : this.bound(run));
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
