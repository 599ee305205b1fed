/** Limits of the hosts, described for users in docs/limits.md. */

/**
 * Frames of one turn are collected into entries of about this size: an entry is applied in one go, and its answers leave before the next
 * one's turn. A larger frame has one to itself.
 */
export const maxEntryBytes: number = 8 * 1024;
/** Frames waiting on this node for an answer, in bytes; beyond it callers get `overloaded`. */
export const maxOutboxBytes: number = 64 * 1024 * 1024;
/** Bytes queued towards one peer before its link is closed as too slow. */
export const maxPeerBufferBytes: number = 128 * 1024 * 1024;
/** Entries that all groups of a node together have on their way to one peer; a peer that comes back is sent so much at once. */
export const peerWindowBytes: number = 60 * 1024 * 1024;
/**
 * A frame for a peer that has become so long is followed by another. What the groups of a node have to send in one turn is more than a transport takes
 * in one frame (64 MiB) when a peer that was away comes back.
 */
export const peerFrameBytes: number = 4 * 1024 * 1024;
/** From so many on no cached values are added: they are asked for again. */
export const congestedBytes: number = 16 * 1024 * 1024;
/** Cached values that one frame to a peer carries; more go in further frames of the same turn. */
export const maxValueBytesPerFrame: number = 4 * 1024 * 1024;
/** Entry bytes applied in one turn of the event loop before others get a turn. */
export const maxApplyBytesPerTurn: number = 8 * 1024;
/** Expiries proposed per turn, so that a mass expiry does not starve live callers (etcd revokes at most 1000 a second). */
export const maxExpiriesPerTurn: number = 256;
/** Holds and waits that they may end, about: all of one turn are applied in one go, on every node. A session that has more is alone. */
export const maxExpiryWeight: number = 1_000;
/** Snapshot chunk handed to the store per turn; also loaded again in one turn, which costs much more. */
export const snapshotChunkBytes: number = 64 * 1024;
/** A log that has grown by no more than this in so long a time rests: a snapshot keeps nobody waiting then. */
export const restingBytes: number = 8 * 1024;
export const snapshotRestMs: number = 1_000;
/** Votes of group 0 are held by at most so many nodes; further ones are learners (rule G3). */
export const maxSystemVoters: number = 5;
/** An unanswered call to a peer is given up after so long. */
export const peerCallTimeoutMs: number = 5_000;
/** A frame that comes after its not-after is waited for so long: apply refuses it, and whoever sent it waits for that word. */
export const lateAnswerMs: number = 5_000;
/** Who asks for the outcome of an earlier call (rule X3) is answered within this; between two looks passes that. */
export const requestTimeoutMs: number = 2_000;
export const requestRetryMs: number = 20;
/** As long as the dedupe tables remember answers after their deadline. */
export const requestAnswersKeptMs: number = 600_000;
/** Clock-rate error assumed between nodes (ρ of the protocol rules). */
export const clockRateError: number = 0.01;
/** Command frames queued at a leader for its next entry; beyond it forwarded ones are refused. */
export const maxQueuedProposalBytes: number = 32 * 1024 * 1024;
/** Replicas compare their states so often (rule W7). */
export const stateAuditMs: number = 1_000;
/** A state hash is kept at every so many log entries, and so many of them: what a follower may lag and still be compared. */
export const statePointEvery: number = 256;
export const statePointsKept: number = 32;
/** Piece of a state that is fetched again, before it is written as base64 (rule W7). */
export const stateChunkBytes: number = 256 * 1024;
/** The leader may have to write a snapshot before it can answer. */
export const stateSnapshotTimeoutMs: number = 60_000;
/** A peer that is being sent a snapshot and is not heard for so long has no claim on the log any more. */
export const silentReceiverMs: number = 10_000;
/** So many committed entries are given to a machine that still has others in hand; fewer wait until it has done those. */
export const applyGatherEntries = 16;
/** A graceful stop tries for so many election timeouts to hand over what the node leads, and not longer than the milliseconds below. */
export const handOverRounds: number = 3;
export const handOverMostMs: number = 5_000;
/** Then it waits so long for answers to queue commands under way. */
export const answerOpenMs: number = 2_000;
/** A scaled replica is dropped after so long a silence; each try to drop it may take the other time, for its shards move first. */
export const scalableGoneAfterMs: number = 600_000;
export const dropMemberMs: number = 120_000;
/** The head of an audit log that moved is anchored after so long, where nobody waits for it; and again so long after it could not be. */
export const anchorEveryMs: number = 1_000;
export const anchorRetryMs: number = 5_000;
/** Times in a row that the cluster may know another anchor of the chain than this node, before somebody else must be anchoring it. */
export const anchorRounds: number = 5;
/** Anchors whose answers did not come that are known again without reading the log. */
export const keptSentAnchors: number = 16;
