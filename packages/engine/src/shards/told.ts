import type { LeaseId } from "@trivet/core";
import type { ReadyHint, ValueChange, WorkerAnswer } from "./worker-protocol.ts";

/** What the transactions of one batch of entries have to tell, gathered until the last of them is committed. */
export interface Told {
  readonly answers: WorkerAnswer[];
  readonly ready: ReadyHint[];
  /** In their order; null = it is over. */
  readonly leases: { readonly id: LeaseId; readonly ms: number | null }[];
  readonly unconfigured: Set<number>;
  readonly unknownNamespaces: Set<number>;
  readonly changes: ValueChange[];
  readonly points: (readonly [number, string])[];
  /** Something was written that its origin does not have. */
  hasQueued: boolean;
  /** As of the last transaction; null = there was none. */
  times: Times | null;
}
export interface Times {
  readonly groupTime: number;
  readonly wantsEntryAt: number;
}

export function nothingTold(unconfigured: Set<number>, unknownNamespaces: Set<number>): Told {
  const lists = { answers: [], ready: [], leases: [], changes: [], points: [] };
  return { ...lists, unconfigured, unknownNamespaces, hasQueued: false, times: null };
}
