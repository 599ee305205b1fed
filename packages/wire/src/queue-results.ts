/** Answers of the shards to queue commands. Expected outcomes are values. */

/** One message as handed out. */
export interface HandedOut {
  readonly partition: number;
  readonly sequence: number;
  readonly acquired: number;
  /** Number of the group in its partition, from 1, never given again: a group made again under its name has another. */
  readonly incarnation: number;
  /** Genuine failures so far. */
  readonly deliveries: number;
  readonly key: string;
  readonly priority: number;
  /** Group time of the produce. */
  readonly producedAt: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
}

export const settleOutcomes = ["settled", "stale", "unknown"] as const;
/** `stale`: handed out again, or its lease ended, since. `unknown`: no such message: settled before, expired or purged, or its group is gone. */
export type SettleOutcome = (typeof settleOutcomes)[number];

export type ShardResult =
  /** Per message of the produce, in its order: its sequence, and whether it was there already (dedupe). */
  | { readonly type: "produced"; readonly partition: number; readonly messages: readonly ProducedMessage[] }
  /** Nothing of the batch was stored. */
  | { readonly type: "queue-full"; readonly limit: "messages" | "bytes"; readonly max: number }
  | { readonly type: "handed-out"; readonly leaseMs: number; readonly messages: readonly HandedOut[]; readonly more: boolean }
  | { readonly type: "settled"; readonly outcomes: readonly SettleOutcome[] }
  /** This shard has no, or only an older, definition of the queue: the leader configures it, then the command is sent again. */
  | { readonly type: "not-configured"; readonly queue: number; readonly version: number }
  | { readonly type: "fence-behind"; readonly lock: string; readonly highest: number }
  /** Messages purged, redriven or released. */
  | { readonly type: "counted"; readonly count: number }
  | { readonly type: "no-group"; readonly group: string };
export interface ProducedMessage {
  readonly sequence: number;
  readonly duplicate: boolean;
}
export type ShardResultType = ShardResult["type"];

/** Apart from those of group 0. Append only; never reuse. */
export const shardResultNumbers: Readonly<Record<ShardResultType, number>> = {
  produced: 64,
  "queue-full": 65,
  // 66 were hand-outs that did not tell the incarnation of their group; none is in any log or store.
  "handed-out": 72,
  settled: 67,
  "not-configured": 68,
  "fence-behind": 69,
  counted: 70,
  "no-group": 71,
};
