/** Bounds and pauses of the Redis adapter, in milliseconds where they are times. */
export const redisLimits = {
  connectTimeoutMs: 3_000,
  /** A server that says nothing for so long, not even to a ping, is lost. Longer than any WAIT. */
  silenceMs: 5_000,
  pingMs: 1_000,
  /** Pauses between attempts to connect: doubling, with jitter. */
  firstRetryMs: 50,
  maxRetryMs: 2_000,
  /** What callers are told to wait while Redis is away. */
  retryAfterMs: 1_000,
  /** A command for a slot that is on its way from node to node is sent again for so long, and so often. */
  slotMoveMs: 1_000,
  slotPauseMs: 20,
  /** How long an acknowledgement waits for the disk or for replicas before it says what was reached. */
  confirmMs: 1_000,
  /** Commands that may be under way before more are refused. */
  openCommands: 10_000,
  /** How long answers are kept under an idempotency key after the call's deadline (rule X1). */
  keepAnswersMs: 600_000,
  /** The pump looks at each partition once in so long, whatever was said about it, but at no more than so many a tick. */
  roundMs: 5_000,
  tickMs: 250,
  partitionsPerTick: 25,
  /** Rounds between two clean-ups of forgotten consumers. */
  tidyRounds: 12,
  /** Two pumps of one partition are at least so far apart. */
  pumpPauseMs: 5,
} as const;
