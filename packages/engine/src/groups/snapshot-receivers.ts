import { type LogIndex, logIndex, type PeerProgress, type RaftGroup, type SnapshotMeta } from "@trivet/core";
import { silentReceiverMs } from "../base/limits.ts";

/** Peers that are being sent a snapshot, or are about to be, and that are heard. */
export function receivers(raft: RaftGroup, now: number): readonly PeerProgress[] {
  return raft.progress().filter(({ state, contactAt }) => state === "snapshot" && contactAt >= now - silentReceiverMs);
}

/**
 * The end of the earliest snapshot that any of `peers` is being sent or will be: there it goes on with the log, so what comes after is still needed
 * (rule W1). A peer that has only asked gets the newest of `kept`, or the one that is being written, cut at `takingIndex`. Null = there is none.
 */
export function earliestSent(peers: readonly PeerProgress[], kept: readonly SnapshotMeta[], takingIndex: LogIndex | null): LogIndex | null {
  const [latest] = kept;
  const next = [...(latest === undefined ? [] : [latest.index]), ...(takingIndex === null ? [] : [takingIndex])];
  const ends = peers.flatMap(({ snapshot }) => {
    const begun = kept.find(({ id }) => id === snapshot?.id);
    return begun === undefined ? next : [begun.index];
  });
  return ends.length === 0 ? null : logIndex(Math.min(...ends));
}
