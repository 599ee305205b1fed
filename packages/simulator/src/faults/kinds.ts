/** Everything that can go wrong in the simulated world, by the name used in seed files. */
export const faultKinds = [
  // Programs and machines
  "kill",
  "power-loss",
  "pause",
  "restart-storm",
  "wipe",
  // Network
  "partition-halves",
  "partition-bridge",
  "partition-ring",
  "one-way",
  "no-new-links",
  "flapping",
  "clog",
  "slow-links",
  "packet-loss",
  "link-reset",
  "broken-transport",
  // Disk
  "disk-slow",
  "disk-stall",
  "disk-error",
  "disk-full",
  "bit-rot",
  // Time
  "wall-clock-jump",
  // What operators and clients do
  "transfer-leadership",
  "change-members",
  "take-snapshot",
  "client-stall",
  "client-death",
  // Of the shards
  "drain",
  "store-full",
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** What only worlds with shards know. */
export const shardKinds: ReadonlySet<FaultKind> = new Set(["drain", "store-full"]);

/** Came after the first seeds were recorded, whose plans are made without them. */
export const laterKinds: ReadonlySet<FaultKind> = new Set(["store-full"]);

/** Whom a fault strikes: the leader at that moment, or a machine by a number that is taken modulo their count. */
export type Target = "leader" | number;

/** One planned fault. Plans are plain data, so that a failing one can be shrunk and kept. */
export interface FaultAction {
  readonly atMs: number;
  readonly kind: FaultKind;
  readonly target: Target;
  readonly durationMs: number;
  /** Kind-specific strength in [0, 1). */
  readonly strength: number;
}
