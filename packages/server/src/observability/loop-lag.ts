import { createHistogram } from "node:perf_hooks";

const microsecondsPerSecond = 1e6;
const hourMs = 3_600_000;

/**
 * By how much timers fire late: how long the event loop did something else when they were due. It needs no timer of its own, as Node's
 * `monitorEventLoopDelay` does: that one alone woke a node at rest a hundred times a second.
 */
export class LoopLag {
  private readonly histogram = createHistogram({ lowest: 1, highest: hourMs * 1_000, figures: 3 });

  readonly late = (ms: number): void => {
    this.histogram.record(Math.max(1, Math.round(Math.min(ms, hourMs) * 1_000)));
  };

  /** In seconds, since the last call. */
  take(): { readonly p99: number; readonly max: number } {
    const { histogram } = this;
    const lag = { p99: histogram.percentile(99) / microsecondsPerSecond, max: histogram.max / microsecondsPerSecond };
    histogram.reset();
    return lag;
  }
}
