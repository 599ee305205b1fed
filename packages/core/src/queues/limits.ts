import { limits as wireLimits } from "@trivet/wire";

/** Bounds of a shard's state. They decide outcomes of apply, so they are replicated constants: every replica is built with the same. */
export interface ShardLimits {
  /** Consumer groups of one partition; each settlement of several groups looks at all of them. */
  readonly groupsPerPartition: number;
  /** Leases of a group in one partition where the queue sets no limit of its own. */
  readonly leasesPerGroup: number;
  /** Stored bytes of one hand-out; a single larger message is handed out alone. */
  readonly handOutBytes: number;
  /** Messages one consume may pass by because their key is busy, they are over, or they are not for this group. */
  readonly passedPerConsume: number;
  /** Calendar deadlines met by one entry. */
  readonly deadlinesPerEntry: number;
  /** Records that one entry removes for dropped queues, deleted groups and forgotten fences. */
  readonly clearedPerEntry: number;
  /** Messages that one purge, one redrive and one lost consumer may concern; who wants more asks again. */
  readonly messagesPerCommand: number;
  /** Stored bytes after which a redrive stops; who wants more asks again. */
  readonly redrivenBytes: number;
  /** How long after its time a message that is still leased is looked at again. */
  readonly leasedExpiryMs: number;
  /** Bytes of all cached values of the shard, their keys included; beyond it writes are refused (rule M9). */
  readonly cacheBytes: number;
  /** Keys of one namespace that may wait in the shard for their origin, and their bytes; beyond it writes of that namespace are refused. */
  readonly behindKeys: number;
  readonly behindBytes: number;
  /** How long an invalidated tag is remembered by its name once it is cleared; loaders that take longer are refused whatever they load. */
  readonly tagMemoryMs: number;
  /** Callers that the dedupe table remembers (rule X1). */
  readonly callers: number;
  /** How long a caller is remembered after its latest not-after (rule X1). */
  readonly dedupeRetentionMs: number;
  /** How far ahead of group time a not-after may lie. */
  readonly deadlineHorizonMs: number;
}

export const defaultShardLimits: ShardLimits = {
  groupsPerPartition: wireLimits.maxGroupsPerPartition,
  leasesPerGroup: 65_536,
  handOutBytes: 786_432,
  passedPerConsume: 1024,
  deadlinesPerEntry: 256,
  clearedPerEntry: 256,
  messagesPerCommand: wireLimits.maxMessagesPerCommand,
  redrivenBytes: 4_194_304,
  leasedExpiryMs: 1000,
  cacheBytes: 4_294_967_296,
  behindKeys: 100_000,
  behindBytes: 268_435_456,
  tagMemoryMs: 60_000,
  callers: 500_000,
  dedupeRetentionMs: 600_000,
  deadlineHorizonMs: 86_400_000,
};

/** Priorities, each a lane of its own; 0 is handed out first. */
export const laneCount = 4;
/** One grant in so many takes the oldest message of all lanes, so that nothing starves (rule Q1). */
export const oldestEvery = 16;
