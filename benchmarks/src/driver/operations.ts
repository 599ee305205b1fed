import { drainMs } from "./closed-loop.ts";
import { Histogram, type HistogramData } from "./histogram.ts";
import { Metronome } from "./metronome.ts";
import { ArrivalSchedule, tickMsFor } from "./schedule.ts";

/** Loops over one kind of operation, given as a function. The loops over locks pair two. */

/** More errors than this end a run: what it measures is no longer the subject. */
const maxErrors = 10_000;

export type Operation = () => Promise<void>;

export interface OperationsResult {
  readonly completed: number;
  readonly seconds: number;
  readonly errors: number;
  readonly first_error: string | null;
  readonly latency: HistogramData;
  /** Most arrivals of an open loop that waited for a free caller at one time. */
  readonly max_backlog: number;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function late(unanswered: number): Error {
  return new Error(`${unanswered} operations were not answered ${drainMs} ms after the end`);
}

/**
 * n callers in flight for a while: each sends its next operation when the one before is answered. What is answered after the end does not count,
 * unless `toTheLast`: then all of it counts, and so does the time it takes (operations that are long against the run).
 */
export async function closedOperations(
  callers: number,
  durationMs: number,
  operation: Operation,
  toTheLast = false,
): Promise<OperationsResult> {
  const latency = new Histogram();
  let errors = 0;
  let firstError: string | null = null;
  let completed = 0;
  let busy = callers;
  const startedAt = performance.now();
  const endsAt = startedAt + durationMs;
  const caller = async (): Promise<void> => {
    while (errors < maxErrors) {
      const sentAt = performance.now();
      if (sentAt >= endsAt) break;
      try {
        await operation();
        const now = performance.now();
        if (toTheLast || now < endsAt) {
          latency.record(now - sentAt);
          completed++;
        }
      } catch (error) {
        errors++;
        firstError ??= reasonOf(error);
        // A later turn: an operation that fails at once must not keep the loop from turning.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    busy--;
  };
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(late(busy));
    }, durationMs + drainMs);
  });
  try {
    await Promise.race([Promise.all(Array.from({ length: callers }, caller)), overdue]);
  } finally {
    clearTimeout(timer);
  }
  const elapsedMs = performance.now() - startedAt;
  const seconds = (toTheLast ? elapsedMs : Math.min(elapsedMs, durationMs)) / 1000;
  return { completed, seconds, errors, first_error: firstError, latency: latency.toData(), max_backlog: 0 };
}

export interface OpenOptions {
  /** Per second. */
  readonly rate: number;
  readonly durationMs: number;
  /** At most so many at once; an arrival that finds none free waits, and its latency counts from when it was due. */
  readonly callers: number;
}

/** Operations at a fixed rate, whatever the answers do; each gets the time it was due. Ends when all are answered; fails when some never are. */
export function openOperations(options: OpenOptions, operation: (dueMs: number) => Promise<void>): Promise<OperationsResult> {
  const latency = new Histogram();
  const backlog: number[] = [];
  let schedule: ArrivalSchedule | null = null;
  let head = 0;
  let maxBacklog = 0;
  let busy = 0;
  let completed = 0;
  let errors = 0;
  let firstError: string | null = null;
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      metronome.stop().then(settle, reject);
    };
    const done = (): void => {
      completed++;
      busy--;
      const due = backlog[head];
      if (due !== undefined) {
        head++;
        begin(due);
      }
      if (schedule?.finished !== true || completed !== schedule.total) return;
      const seconds = (performance.now() - startedAt) / 1000;
      end(() => {
        resolve({ completed, seconds, errors, first_error: firstError, latency: latency.toData(), max_backlog: maxBacklog });
      });
    };
    const begin = (due: number): void => {
      busy++;
      operation(due).then(
        () => {
          latency.record(performance.now() - due);
          done();
        },
        (error: unknown) => {
          errors++;
          firstError ??= reasonOf(error);
          done();
        },
      );
    };
    const metronome = new Metronome(
      tickMsFor(options.rate),
      (dueMs) => {
        const now = performance.now();
        schedule ??= new ArrivalSchedule(dueMs, options.rate, options.durationMs);
        for (let due = schedule.take(now); due !== null; due = schedule.take(now)) {
          if (busy < options.callers) begin(due);
          else backlog.push(due);
        }
        maxBacklog = Math.max(maxBacklog, backlog.length - head);
      },
      reject,
    );
    const timer = setTimeout(() => {
      end(() => {
        reject(late((schedule?.total ?? 0) - completed));
      });
    }, options.durationMs + drainMs);
  });
}
