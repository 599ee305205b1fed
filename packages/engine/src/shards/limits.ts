/** Limits of the shards' hosts, described for users in docs/limits.md. */

/** Entries handed to the apply worker at a time, and in its hands at most. */
export const applyBatchBytes: number = 512 * 1024;
export const applyWindowBytes: number = 2 * 1024 * 1024;
/** Frames of one turn become entries of about this size. */
export const shardEntryBytes: number = 64 * 1024;
/** While an entry is under way, frames of fewer bytes than this wait for the next. */
export const shardGatherBytes: number = 64 * 1024;
/** A shard's store is flushed after so many bytes of entries, or so long after the first of them. */
export const flushEveryBytes: number = 16 * 1024 * 1024;
export const flushEveryMs: number = 2_000;
/** Entries of a shard kept in memory behind what its store has flushed, for lagging followers. */
export const shardRetainBytes: number = 4 * 1024 * 1024;
/** Leases that one entry ends. */
export const maxExpiriesPerEntry: number = 256;
/** A store without space is tried again after so long. */
export const storeRetryMs: number = 500;
/** How often a node says which shards it leads, and looks whether the map is carried out. */
export const announceMs: number = 1_000;
export const reconcileMs: number = 250;
/** Entries a learner may lack and still count as caught up. */
export const caughtUpEntries: number = 64;
/** Shards move away from a node that has been silent for so long, where others can take them. */
export const deadNodeMovesAfterMs: number = 60_000;
/** Leadership of a shard is handed to the wanted node at most so often. */
export const leaderMovesEveryMs: number = 5_000;
/** A snapshot file is kept so long after the last replica that needed it; looked at every so often. */
export const snapshotFilesKeptMs: number = 30_000;
export const tidyEveryMs: number = 1_000;
/** A shard does not keep a node that is to be emptied for a replica that should come and has been silent for so long. */
export const absentReplicaMs: number = 10_000;
/** What a shard waits for is told when it has lasted so long, and again so often. */
export const waitToldAfterMs: number = 5_000;
export const waitsToldEveryMs: number = 1_000;
/** How often the leader of a shard looks whether registers of fences can go (rule K5), at how many of them, and at how many locks at a time. */
export const fenceFloorEveryMs: number = 5_000;
export const fencesPerLook: number = 1_024;
export const locksPerSweepStep: number = 4_096;
