import type { ApplySink, Entry, LogIndex } from "@trivet/core";
import type { StatePoints } from "../state-audit/state-audit-points.ts";

/**
 * A group's replicated state, as its host sees it: deterministic and total. Group 0 applies at once, the shards in their apply worker
 * (rule W4); so whatever walks the state answers by callback, maybe inside the call.
 */
export interface GroupMachine {
  /** Committed entries of all kinds, in order. `applied` is called once per call, in the order of the calls. */
  apply(entries: readonly Entry[], sink: ApplySink, applied: () => void): void;
  /** A cut behind everything given to `apply` so far, which ends at `index` (rule W8: applies go on meanwhile). */
  beginSnapshot(index: LogIndex): MachineSnapshot;
  /** As of the latest entry applied: equal for equal states (rule W7); costs no walk over the state. Null = not known now. */
  stateHash(): string | null;
  /** Hashes at earlier indexes. */
  readonly points: StatePoints;
  /** Another machine takes its place, or the node stops. */
  discard(): void;
}
/** A consistent cut of a machine, read in bounded steps. */
export interface MachineSnapshot {
  /** Next chunk of about `maxBytes`, null at the end. */
  next(maxBytes: number, done: (chunk: Uint8Array | null) => void): void;
  /** Stops keeping before-images. */
  abort(): void;
}
export interface MachineLoader {
  /** `problem` tells that this is no piece of a state. */
  push(chunk: Uint8Array, done: (problem: Error | null) => void): void;
  /** The machine once everything of it is as durable as its snapshot's file. */
  finish(done: (problem: Error | null, machine: GroupMachine | null) => void): void;
  abort(): void;
}
/** How a group makes a machine from a snapshot. */
export interface MachineFactory {
  loader(at: LogIndex): MachineLoader;
}
