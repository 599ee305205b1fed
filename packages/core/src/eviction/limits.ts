/** Limits of the eviction policies. */
export const evictionLimits = {
  /** Copies one policy may be asked to keep: its frequency sketch takes 8 to 16 bytes for each, at once. */
  entries: 16_777_216,
  /** Copies offered in one choice of a victim. A caller that refuses so many in a row is told there is none. */
  offersPerChoice: 1024,
  /** Copies that move between the segments at one admission after these were resized: the rest moves at the next ones. */
  movesPerAdmission: 64,
} as const;
