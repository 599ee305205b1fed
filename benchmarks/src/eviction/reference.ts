import type { PolicyName } from "@trivet/core";
import type { TraceName } from "./traces.ts";

/** Hit ratios in per cent that are to be reached, from the study this project began with; null = not measured there. */
export interface Reference {
  readonly trace: TraceName;
  /** Copies kept. */
  readonly size: number;
  /** `wtinylfu` is the one with an adaptive window. */
  readonly ratios: Readonly<Record<PolicyName, number | null>>;
  /** W-TinyLFU with a window that stays at 1 %. */
  readonly fixedWindow: number | null;
  /** Belady's: no policy that does not know the future does better. */
  readonly optimum: number | null;
}

function orNull(value: number | null | undefined): number | null {
  return value ?? null;
}

function row(
  trace: TraceName,
  size: number,
  ...[lru, lfu, arc, s3fifo, sieve, fixedWindow, wtinylfu, optimum]: (number | null)[]
): Reference {
  return {
    trace,
    size,
    ratios: {
      lru: orNull(lru),
      lfu: orNull(lfu),
      arc: orNull(arc),
      s3fifo: orNull(s3fifo),
      sieve: orNull(sieve),
      wtinylfu: orNull(wtinylfu),
    },
    fixedWindow: orNull(fixedWindow),
    optimum: orNull(optimum),
  };
}

export const references: readonly Reference[] = [
  row("gli", 1000, 11.21, 31.34, 21.31, 35.05, 31.34, 49.98, 49.98, 53.13),
  row("multi3", 1000, 37.7, 39.16, 44.41, 45.37, 39.16, 50.87, 51.1, 56.28),
  row("loop", 512, 0, 0, 0, 0, 0, 50.01, 49.06, 50.54),
  row("sprite", 1000, 90.64, 61.24, 89.7, 89.36, 86.97, 83.84, 85.29, 93.24),
  row("web12", 1000, 64.73, 54.87, 67.44, 69.07, 68.23, 67.39, 67.78, 77.75),
  row("corda", 512, 33.33, 0.38, 33.3, 33.33, 0.38, 0.89, 30.86, 33.33),
  row("corda-loop-corda", 512, 3.23, 0.05, 3.23, 3.23, 0.05, 45.21, 47.49, 48.91),
  row("zipf", 5000, 89.2, null, null, null, null, null, 91, null),
];
