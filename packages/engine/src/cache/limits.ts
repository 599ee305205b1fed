/** Limits of the cache's hosts, described for users in docs/limits.md. */

/** A quorum round that took so long is asked for again, as long as this node leads. */
export const confirmTimeoutMs: number = 5_000;
/** Messages of holders that a home keeps until it may answer them; others are sent again. */
export const earlyMessages: number = 1024;
/** Values whose time is over are looked for at most so often, and so many at a time. */
export const dueEveryMs: number = 50;
export const expiredPerStep: number = 256;
/** A call that finds no leader of its shard, or no definition of its namespace there, looks again after so long. */
export const retryMs: number = 20;
/** Changes of copies that a node remembers for `explain`. */
export const rememberedTransitions: number = 8192;
/** Nodes are asked so long at most for what `explain` and `verify` tell. */
export const copiesTimeoutMs: number = 1_000;
/** Changes of a copy that `explain` shows. */
export const explainedTransitions: number = 16;
/** Copies that a node reports in one answer, and of one node that `verify` looks at; lines that a home is asked about at a time. */
export const reportedCopies: number = 2000;
export const verifiedCopies: number = 100_000;
export const verifiedPerQuestion: number = 500;
/** `verify` looks so often, and waits so long in between, before it calls something wrong. */
export const doubtfulRounds: number = 4;
export const doubtfulRoundsEveryMs: number = 100;
/** Changes of each shard that a node remembers for those who watch (rule M10). */
export const rememberedChanges: number = 4096;
/** Loads from outside origins that are under way at one home; more are refused. A loaded value is stored in so long, or asked for again. */
export const openLoads: number = 1024;
export const storeLoadedMs: number = 5_000;
/**
 * Loaders of programs that a home keeps apart, and who waits for them; what is beyond loads for itself. A claim that nobody renews is over after `claimMs`; who
 * waits asks again after `claimPollMs`, and so hears of another home. Where none is found in `claimPatienceMs`, it loads.
 */
export const openClaims: number = 16_384;
export const claimWaiters: number = 65_536;
export const claimMs: number = 3_000;
export const claimRenewMs: number = 1_000;
export const claimPollMs: number = 500;
export const claimPatienceMs: number = 100;
/** A home waits so long after a write before it looks for what its origin lacks: so a key that is written again meanwhile goes there once. */
export const behindLingerMs: number = 20;
/** The same while an origin is left alone. */
export const behindRestingLingerMs: number = 250;
/** Writes that go to an origin at a time, and their bytes. */
export const behindBatch: number = 128;
export const behindBatchBytes: number = 1_048_576;
/** What became of writes is waited for so many times as long as for a value: some of them may have to wait for others. */
export const behindPatience: number = 2;
/** An origin that cannot be reached, and a write that it refuses, are tried again after so long, twice as long each time, at most so long. */
export const behindFirstRetryMs: number = 100;
export const behindMaxRetryMs: number = 10_000;
/** Writes that were refused or not answered whose next try a home remembers; of others the whole namespace waits. */
export const behindRefusals: number = 4096;
/** Values that a node has loaded again: not the same one again in so long, and so many at a time. */
export const revalidateEveryMs: number = 1_000;
export const revalidations: number = 1024;
/** A loaded value that lives shorter than this is told to those who wait for it: it could be over before they read again. */
export const briefMs: number = 1_000;
/** A home that has not answered in so long is asked again, or another one that leads by then. */
export const askAgainMs: number = 1_000;
/** Lines that a node without a lease fetches once more when it has one. */
export const wantedCopies: number = 256;
/** Programs with copies of their own of which a home's node remembers through whom they were heard; of others it asks all nodes. */
export const rememberedPrograms: number = 16_384;
/** Reads of programs without copies that a node gets an answer for at a time, and for how long; what is beyond goes to the homes, and whoever waits longer asks again. */
export const openProgramReads: number = 4096;
export const programReadMs: number = 5_000;
