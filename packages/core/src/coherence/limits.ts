/** Bounds of what homes and holders keep in memory. Not replicated: each side may have its own. */
export interface CoherenceLimits {
  /** Lines that one shard's home knows copies of; beyond it the oldest are recalled. */
  readonly directoryLines: number;
  /** Holders with a lease from one home; others read without keeping copies. */
  readonly sessions: number;
  /** Invalidations sent to one holder and not acknowledged; beyond it the holder gets no further copies. */
  readonly unackedInvalidations: number;
  /** Operations of one line that wait for their turn; what comes beyond it is sent again by its holder. */
  readonly waitingPerLine: number;
  /** Requests for a lease of one holder that may be answered yet; the oldest is given up for a newer one. */
  readonly openRenewals: number;
}

export const defaultCoherenceLimits: CoherenceLimits = {
  directoryLines: 1_000_000,
  sessions: 4096,
  unackedInvalidations: 65_536,
  waitingPerLine: 4096,
  openRenewals: 4,
};
