/** Bounds of outside origins. */
export const originLimits = {
  /** To a PostgreSQL, from each node; further loads wait for one. */
  connections: 8,
  idleMs: 30_000,
  /** Of these, for writes of a batch; loads have the others. */
  writers: 4,
  /** How long a Redis remembers the stamp of a deleted key: a write that is later still would bring the key back. */
  deletedStampMs: 604_800_000,
} as const;
