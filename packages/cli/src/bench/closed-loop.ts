import { setTimeout as pause } from "node:timers/promises";
import { sdkCodeOf } from "../api/sdk.ts";
import { Latencies } from "./latencies.ts";

export interface Load {
  readonly inFlight: number;
  readonly seconds: number;
  /** Operations at most; the load ends with them. */
  readonly most?: number;
  readonly signal: AbortSignal;
  /** Called once a second. */
  readonly progress: (done: number, elapsedSeconds: number) => void;
}

export interface Measured {
  readonly operations: number;
  readonly seconds: number;
  readonly latencies: Latencies;
  /** Failures by their code. */
  readonly errors: Readonly<Record<string, number>>;
  readonly firstError: unknown;
}

const progressMs = 1_000;
/** After a failure: a cluster that refuses is not asked in a tight loop. */
const afterFailureMs = 20;

/**
 * So many callers, each with one operation under way, for so long. What is under way at the end is waited for and counted. `operation` gives false when there is
 * nothing left to do.
 */
export async function closedLoop(load: Load, operation: (caller: number, turn: number) => Promise<boolean>): Promise<Measured> {
  const { inFlight, seconds, signal, most = Number.POSITIVE_INFINITY } = load;
  const latencies = new Latencies();
  const errors: Record<string, number> = {};
  let firstError: unknown = null;
  let begunOperations = 0;
  const begun = performance.now();
  const elapsed = (): number => (performance.now() - begun) / 1_000;
  const progress = setInterval(() => load.progress(latencies.count, elapsed()), progressMs);
  const caller = async (number: number): Promise<void> => {
    for (let turn = 0; elapsed() < seconds && !signal.aborted && begunOperations < most; turn++) {
      begunOperations++;
      const from = performance.now();
      try {
        if (!(await operation(number, turn))) return;
        latencies.record(performance.now() - from);
      } catch (error) {
        const code = sdkCodeOf(error);
        if (code === null) throw error;
        errors[code] = (errors[code] ?? 0) + 1;
        firstError ??= error;
        await pause(afterFailureMs);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: inFlight }, (_, number) => caller(number)));
  } finally {
    clearInterval(progress);
  }
  return { operations: latencies.count, seconds: elapsed(), latencies, errors, firstError };
}
