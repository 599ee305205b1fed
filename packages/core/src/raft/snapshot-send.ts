import { invariant } from "../kernel/assert.ts";
import { logIndex } from "../kernel/brand.ts";
import { matchWithinLog } from "../invariants/raft.ts";
import { mutant } from "#mutation";
import type { Progress } from "./progress.ts";
import type { Leadership, RaftState } from "./state.ts";
import type { RaftEvent, SnapshotReply } from "./types.ts";

type ChunkRead = Extract<RaftEvent, { readonly type: "chunk-read" }>;

// The leader's side of a snapshot (§7): chunks, one on its way per peer. The receiver's durable offset decides what comes next, so a
// transfer resumes after loss, restart of the receiver, or a change of connection.

/** The entries that `progress` needs are compacted away: ask the host for the first chunk of the latest snapshot. */
export function beginSnapshot(s: RaftState, progress: Progress): void {
  progress.becomeSnapshot(s.now);
  askChunk(s, progress, null, 0);
}

export function onChunkRead(s: RaftState, event: ChunkRead): void {
  const progress = s.leadership?.peers.get(event.to);
  const transfer = progress?.transfer;
  if (progress === undefined || transfer === null || transfer === undefined) return;
  // Answers to a question of an earlier transfer may still arrive.
  if (!transfer.reading || event.offset !== transfer.offset) return;
  transfer.reading = false;
  // From here on silence is timed, also when there was nothing to send.
  transfer.sentAt = s.now;
  const { meta } = event;
  if (meta === null) {
    // That snapshot is gone. A newer one begins at 0; if there was none at all, the retry asks again.
    if (transfer.meta !== null) askChunk(s, progress, null, 0);
    transfer.meta = null;
    return;
  }
  if (event.offset !== 0 && meta.id !== transfer.meta?.id) {
    askChunk(s, progress, meta.id, 0);
    transfer.meta = meta;
    return;
  }
  transfer.meta = meta;
  const { offset, data, done } = event;
  s.out.now.push({ type: "snapshot", from: s.self, to: progress.peer, term: s.term, meta, offset, data, done });
}

export function onSnapshotReply(s: RaftState, leadership: Leadership, message: SnapshotReply): void {
  const progress = leadership.peers.get(message.from);
  if (progress === undefined) return;
  progress.contactAt = s.now;
  if (message.installed) {
    // Whichever snapshot it was, its end is committed, so it is part of our log (leader completeness).
    invariant(matchWithinLog(message.index, s.log.lastIndex), "raft-match-within-log", () => `${message.from}: ${message.index}`);
    if (message.index > progress.match) progress.match = message.index;
    if (progress.state === "snapshot") resumeReplication(s, progress);
    return;
  }
  const { transfer } = progress;
  if (transfer === null || transfer.reading || transfer.meta === null || transfer.meta.id !== message.id) return;
  if (message.offset >= transfer.meta.bytes) {
    // All there; it is installing. Ask again only on silence.
    transfer.sentAt = s.now;
  } else if (message.offset !== transfer.offset) {
    askChunk(s, progress, message.id, message.offset);
  }
}

/** On silence the chunk on its way is sent again. */
export function retrySnapshots(s: RaftState, leadership: Leadership): void {
  for (const progress of leadership.peers.values()) {
    const { transfer } = progress;
    if (transfer === null || transfer.reading || s.now - transfer.sentAt < s.config.electionMaxMs) continue;
    if (mutant("raft-38-snapshot-stalls")) continue;
    askChunk(s, progress, transfer.meta?.id ?? null, transfer.offset);
  }
}

/** The peer's log reaches ours again: back to entries. */
export function resumeReplication(s: RaftState, progress: Progress): void {
  progress.becomeReplicate();
  progress.next = logIndex(progress.match + 1);
  s.out.stirred = true;
}

function askChunk(s: RaftState, progress: Progress, id: string | null, offset: number): void {
  const { transfer } = progress;
  invariant(transfer !== null, "raft-chunk-without-transfer", progress.peer);
  transfer.offset = offset;
  transfer.reading = true;
  s.out.snapshots.push({ type: "read-chunk", to: progress.peer, id, offset, maxBytes: s.config.snapshotChunkBytes });
}
