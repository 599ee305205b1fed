import { type GroupId, nodeId, type RaftConfig } from "@trivet/core";
import type { CopyBounds } from "../cache/copies.ts";
import { logLimits } from "../log/limits.ts";
import { absentReplicaMs, deadNodeMovesAfterMs } from "../shards/limits.ts";
import { newestLevel, type QueueSettings } from "@trivet/wire";
import { maxApplyBytesPerTurn, maxEntryBytes, peerWindowBytes } from "../base/limits.ts";

/** What a node host is told. Times in milliseconds. */
export interface NodeHostConfig {
  readonly node: string;
  /** Where peers and clients reach this node. */
  readonly url: string;
  /** Comma-separated roles, told to peers. */
  readonly roles: string;
  /** Number of queue and cache shards, fixed when the cluster is founded. */
  readonly shards: number;
  /** What a new queue gets where its maker says nothing. */
  readonly queueDefaults: Partial<QueueSettings>;
  /** Copies of cached values that this node keeps. */
  readonly cache: CopyBounds;
  /** Addresses of all listed nodes; its own may be among them. */
  readonly peers: readonly string[];
  /** Members to join through; with it this node never founds. */
  readonly join: readonly string[];
  /** Give a known node with an empty disk a fresh start as a learner without being asked (rule G5). */
  readonly autoReplace: boolean;
  /** This node may become a voter of group 0. */
  readonly mayVote: boolean;
  /** SHARED_MAC_KEY, then the previous one while rotating; empty = no MAC. */
  readonly macKeys: readonly Uint8Array[];
  /** Peers arrive on a listener of their own (CLUSTER_PORT), which is trusted as a network. */
  readonly trustPeerPort: boolean;
  /** Of the failure detector, which shows peers as gone; no timers of Raft. */
  readonly failureDetector: { readonly intervalMs: number; readonly timeoutMs: number };
  /** Shards move away from a node that has been silent for so long, where others can take them. */
  readonly deadNodeMovesAfterMs: number;
  /** A shard does not keep a node that is to be emptied for a replica that should come and has been silent for so long. */
  readonly absentReplicaMs: number;
  readonly heartbeatMs: number;
  readonly electionMinMs: number;
  readonly electionMaxMs: number;
  readonly diskStallMs: number;
  readonly noLeaderWaitMs: number;
  readonly snapshotEveryEntries: number;
  readonly snapshotEveryBytes: number;
  readonly snapshotAtRestBytes: number;
  readonly retainBytes: number;
  /** The highest feature level that this node says it knows; lower than the version's own only where an older one is to be played. */
  readonly featureLevel: number;
  readonly walSegmentBytes: number;
  /** Zeros written ahead of the log at a time. */
  readonly walRoomBytes: number;
}

export const defaultHostConfig: Omit<NodeHostConfig, "node" | "url" | "peers"> = {
  roles: "lock,queue,cache",
  shards: 8,
  queueDefaults: {},
  cache: { maxEntries: 10_000, maxBytes: 64 * 1024 * 1024, policy: "wtinylfu" },
  join: [],
  autoReplace: false,
  mayVote: true,
  macKeys: [],
  trustPeerPort: false,
  failureDetector: { intervalMs: 1_000, timeoutMs: 3_000 },
  deadNodeMovesAfterMs,
  absentReplicaMs,
  heartbeatMs: 50,
  electionMinMs: 300,
  electionMaxMs: 600,
  diskStallMs: 1_500,
  noLeaderWaitMs: 2_000,
  snapshotEveryEntries: 50_000,
  snapshotEveryBytes: 16 * 1024 * 1024,
  snapshotAtRestBytes: 1024 * 1024,
  retainBytes: 16 * 1024 * 1024,
  featureLevel: newestLevel,
  walSegmentBytes: 64 * 1024 * 1024,
  walRoomBytes: logLimits.roomBytes,
};

export interface GroupHostConfig {
  readonly raft: RaftConfig;
  readonly snapshotEveryEntries: number;
  readonly snapshotEveryBytes: number;
  /** So much of a log is worth a snapshot once it rests. */
  readonly snapshotAtRestBytes: number;
  /** A snapshot stands for the log before it; not where the machine keeps itself on disk (see GroupSnapshots.flushed). */
  readonly snapshotsMoveFloor: boolean;
  /** Entries kept in memory behind a snapshot for lagging followers, in bytes. */
  readonly retainBytes: number;
  /** Frames of one turn become entries of about this size. */
  readonly maxEntryBytes: number;
  /** While an entry is on its way to a majority, fewer bytes of frames than this wait and gather for the next; 0 = none waits. */
  readonly gatherBytes: number;
  /** Entry bytes given to the machine in one turn of the event loop. */
  readonly applyBytesPerTurn: number;
  /** Entry bytes that the machine may have in hand before it gets no more. */
  readonly applyWindowBytes: number;
}

/** How one Raft group of the node runs; the limits of replication are the same for all. */
export function groupConfig(config: NodeHostConfig, group: GroupId, seed: number, beatOffsetMs = 0): GroupHostConfig {
  // All groups may have a whole window and one append more on their way to the same peer.
  const windowBytes = Math.min(16 * 1024 * 1024, Math.floor(peerWindowBytes / (config.shards + 1)));
  return {
    raft: {
      group,
      self: nodeId(config.node),
      seed,
      heartbeatMs: config.heartbeatMs,
      beatOffsetMs,
      electionMinMs: config.electionMinMs,
      electionMaxMs: config.electionMaxMs,
      diskStallMs: config.diskStallMs,
      maxEntriesPerAppend: 256,
      maxBytesPerAppend: Math.min(1024 * 1024, windowBytes),
      maxInflightMessages: 256,
      maxInflightBytes: windowBytes,
      maxUncommittedBytes: 64 * 1024 * 1024,
      snapshotChunkBytes: 256 * 1024,
    },
    snapshotEveryEntries: config.snapshotEveryEntries,
    snapshotEveryBytes: config.snapshotEveryBytes,
    snapshotAtRestBytes: config.snapshotAtRestBytes,
    snapshotsMoveFloor: true,
    retainBytes: config.retainBytes,
    maxEntryBytes,
    gatherBytes: 0,
    applyBytesPerTurn: maxApplyBytesPerTurn,
    applyWindowBytes: maxApplyBytesPerTurn,
  };
}
