import type { Violation } from "../checkers/history.ts";

/**
 * What clients do in a world, and how their history is judged. Locks are the first; queues and the cache come as further workloads
 * in the same world, under the same faults.
 */
export interface Workload {
  readonly name: string;
  /** Creates the clients; they begin by themselves. */
  start(): void;
  /** The safety phase is over: let go of everything, ask for nothing new. */
  wind(): void;
  /** Operations begun and answered so far. */
  issued(): number;
  answered(): number;
  /** After the wind-down: nothing is waited for any more. */
  settled(): boolean;
  /** What is still open, for the report. */
  open(): readonly string[];
  /** A client process stalls for a while, or dies for good. */
  stall(client: number, durationMs: number): void;
  kill(client: number): void;
  /** All checks over the whole history; null = clean. */
  check(): Violation | null;
}
