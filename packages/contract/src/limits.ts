/** Every limit of the HTTP surface, in one place. Stated to users in docs/limits.md. */
export const httpLimits = {
  /** Largest request body. */
  maxBodyBytes: 1_048_576,
  /** Deepest nesting of JSON arrays and objects in a body. */
  maxJsonDepth: 64,
  /** Request line and headers together. */
  maxHeaderBytes: 16_384,
  /** Longest path parameter after decoding (a name of 512 bytes is at most 1536 characters when percent-encoded). */
  maxParamLength: 2_048,
  /** A connection must have sent its headers by then. */
  headersTimeoutMs: 10_000,
  /** A request must be complete by then. */
  requestTimeoutMs: 30_000,
  /** How often the two above are looked at. */
  connectionsCheckingIntervalMs: 1_000,
  keepAliveTimeoutMs: 65_000,
  /** Open client connections of a node; upgraded peer connections count against their own cap (rule G6). */
  maxConnections: 2_000,
  maxConnectionsPerAddress: 1_000,
  /** Wrong credentials (keys, tokens) of one address that are looked at: at once, and in a second after that. */
  wrongCredentialsAtOnce: 100,
  wrongCredentialsPerSecond: 10,
  maxNameBytes: 512,
  maxOwnerBytes: 256,
  maxLabelBytes: 256,
  maxReasonBytes: 512,
  /** Keys of one atomic acquire. */
  maxKeysPerSet: 64,
  /** One queue message, as stored. */
  maxMessageBytes: 524_288,
  /** Messages of one produce, hand-outs of one consume, receipts of one settle, dead letters of one redrive. */
  maxMessagesPerCall: 1_024,
  /** Headers of a message, without its content type. */
  maxMessageHeaders: 31,
  /** Name and value of one header of a message, together. */
  maxMessageHeaderBytes: 2_048,
  /** Key, dedupe id, group and consumer. */
  maxKeyBytes: 256,
  maxPartitions: 1_024,
  maxReceiptLength: 1_024,
  /** Key of a cached value. */
  maxCacheKeyBytes: 512,
  /** One cached value, as stored. */
  maxCacheValueBytes: 524_288,
  /** Tags of a cached value, and the bytes of each. */
  maxCacheTags: 16,
  maxCacheTagBytes: 256,
  /** Keys of one bulk read: its answer holds at most so many values. */
  maxCacheKeysPerRead: 128,
  /** Delays, leases and times to live of messages: what a 32-bit timer can hold. */
  maxDurationMs: 2_147_483_647,
  maxWaitMs: 600_000,
  maxSemaphorePermits: 1_000_000,
  maxPageItems: 1_000,
  defaultPageItems: 100,
  /** Edges of the wait-for graph in one answer. */
  maxGraphEdges: 10_000,
  maxIdempotencyKeyLength: 255,
  maxRequestIdLength: 128,
  /** Server-sent-events and stream connections of one node. */
  maxWatchers: 1_000,
  maxStreams: 1_000,
  /** Bytes queued for one slow reader before it is disconnected. */
  maxBufferedBytes: 4_194_304,
  /** Largest WebSocket message from a client. */
  maxStreamMessageBytes: 4_194_304,
  streamPingIntervalMs: 15_000,
  watchHeartbeatMs: 15_000,
} as const;
