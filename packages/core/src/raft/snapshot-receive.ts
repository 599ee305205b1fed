import { logIndex } from "../kernel/brand.ts";
import type { LogIndex, NodeId } from "../kernel/brand.ts";
import { mutant } from "#mutation";
import { advanceCommit } from "./commit.ts";
import type { RaftState } from "./state.ts";
import type { RaftEvent, SnapshotChunk, SnapshotMeta } from "./types.ts";

type ChunkWritten = Extract<RaftEvent, { readonly type: "chunk-written" }>;

// InstallSnapshot, receiver implementation (thesis Figure 5.3): chunks go to the host one at a time; when all are durable the host installs
// the snapshot, and only its report replaces the log (rule W5).

export function onSnapshotChunk(s: RaftState, message: SnapshotChunk): void {
  const { meta, from } = message;
  if (meta.index <= s.commit) {
    replyInstalled(s, from, meta.id, s.commit);
    return;
  }
  if (s.installing !== null) {
    if (s.installing.id === meta.id) replyOffset(s, from, meta.id, meta.bytes);
    return;
  }
  if (s.log.matches(meta.index, meta.term)) {
    // All of it is in our log already, so it only tells us that it is committed.
    if (meta.index > s.verified) s.verified = meta.index;
    advanceCommit(s, meta.index);
    s.receiving = null;
    replyInstalled(s, from, meta.id, s.commit);
    return;
  }
  receive(s, message);
}

function receive(s: RaftState, message: SnapshotChunk): void {
  const { meta, offset, data, done } = message;
  const sameId = s.receiving !== null && (s.receiving.meta.id === meta.id || mutant("raft-33-snapshot-chunks-mixed"));
  // Chunks belong to one snapshot, told by its id and not by its place (mutant 33). The host knows how much of this one is durable here.
  if (s.receiving === null || !sameId) s.receiving = { meta, offset: null, writing: false };
  const { receiving } = s;
  if (receiving.writing) return;
  if (receiving.offset !== null && receiving.offset !== offset) {
    replyOffset(s, message.from, meta.id, receiving.offset);
    return;
  }
  receiving.writing = true;
  s.out.snapshots.push({ type: "write-chunk", meta: receiving.meta, offset, data, done });
}

export function onChunkWritten(s: RaftState, event: ChunkWritten): void {
  const { receiving } = s;
  if (receiving === null || receiving.meta.id !== event.id) return;
  const { meta } = receiving;
  receiving.writing = false;
  receiving.offset = event.failed ? 0 : event.offset;
  if (s.leader !== null && s.leader !== s.self) replyOffset(s, s.leader, meta.id, receiving.offset);
  if (event.failed || receiving.offset < meta.bytes) return;
  s.receiving = null;
  // The log may have grown past it meanwhile, from this leader or a later one.
  if (meta.index <= s.commit) {
    if (s.leader !== null && s.leader !== s.self) replyInstalled(s, s.leader, meta.id, s.commit);
    return;
  }
  s.installing = meta;
  s.out.snapshots.push({ type: "install", meta, keepSuffix: s.log.matches(meta.index, meta.term) });
}

/** The host has switched the state machine to the snapshot, durably: now the log follows. */
export function onInstalled(s: RaftState, meta: SnapshotMeta): void {
  s.installing = null;
  if (meta.index > s.commit) replaceLog(s, meta);
  if (meta.index > s.applied) s.applied = meta.index;
  if (s.leader !== null && s.leader !== s.self) replyInstalled(s, s.leader, meta.id, s.commit);
}

function replaceLog(s: RaftState, meta: SnapshotMeta): void {
  // Entries after it are worth keeping only if they follow the same entry (rule W5).
  const keep = s.log.matches(meta.index, meta.term) || mutant("raft-w5-suffix-always-kept");
  if (keep && meta.index < s.log.lastIndex) s.log.compactTo(meta.index);
  else s.log.reset(meta.index, meta.term);
  s.cursors.installed(meta.index, keep);
  if (meta.index > s.verified) s.verified = meta.index;
  if (!mutant("raft-23-snapshot-membership-ignored")) {
    s.history.installed(meta.membershipIndex, meta.membership, meta.index, keep);
    s.membershipReported = meta.membershipIndex;
    s.out.notices.push({ type: "membership", membership: s.membership, index: s.membershipIndex, committed: true });
  }
  advanceCommit(s, meta.index);
}

function replyInstalled(s: RaftState, to: NodeId, id: string, index: LogIndex): void {
  const reply = { from: s.self, to, term: s.term, id, offset: 0, installed: true, index };
  s.out.durable.push({ type: "snapshot-reply", ...reply });
}

function replyOffset(s: RaftState, to: NodeId, id: string, offset: number): void {
  const reply = { from: s.self, to, term: s.term, id, offset, installed: false, index: logIndex(0) };
  s.out.now.push({ type: "snapshot-reply", ...reply });
}
