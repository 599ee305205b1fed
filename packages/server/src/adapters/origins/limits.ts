/** Bounds of outside origins. */
export const originLimits = {
  /** To a PostgreSQL, from each node, for loads; further loads wait for one. */
  connections: 8,
  idleMs: 30_000,
  /** The same for writes, of all shards and namespaces together. */
  writers: 4,
  /** The part of the time of a write that is waited for a row that somebody has locked. */
  lockShare: 0.25,
  /** How long a Redis remembers the stamp of a deleted key: a write that is later still would bring the key back. */
  deletedStampMs: 604_800_000,
} as const;
