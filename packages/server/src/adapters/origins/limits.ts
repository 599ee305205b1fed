/** Bounds of outside origins. */
export const originLimits = {
  /** To a PostgreSQL, from each node; further loads wait for one. */
  connections: 8,
  idleMs: 30_000,
} as const;
