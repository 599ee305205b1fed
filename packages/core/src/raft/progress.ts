import { logIndex } from "../kernel/brand.ts";
import type { LogIndex, NodeId } from "../kernel/brand.ts";
import type { RaftConfig, SnapshotMeta } from "./types.ts";
import { Inflight } from "./inflight.ts";

/**
 * `probe`: one append at a time until the logs are known to meet. `replicate`: pipelined. `snapshot`: the entries it needs are gone
 * here, so it gets chunks of a snapshot and no appends.
 */
export type ProgressState = "probe" | "replicate" | "snapshot";

/** Where a snapshot transfer to one peer stands; at most one chunk is on its way. */
export interface SnapshotTransfer {
  /** Null until the host has named the snapshot. */
  meta: SnapshotMeta | null;
  /** Start of the chunk asked for or on its way. */
  offset: number;
  /** The host was asked for the chunk and has not answered. */
  reading: boolean;
  /** When the chunk left, to try again on silence. */
  sentAt: number;
}

/** What the leader knows of one peer (thesis §3.5, nextIndex and matchIndex; states as in etcd's tracker). */
export class Progress {
  readonly peer: NodeId;
  readonly inflight: Inflight;
  /** Highest index known to be durable there. */
  match: LogIndex = logIndex(0);
  next: LogIndex;
  state: ProgressState = "probe";
  /** In `probe`: a message is out and nothing more is sent until it, or a heartbeat, is answered. */
  probing = false;
  /** An empty append is due, to find out where the peer stands. */
  askPosition = false;
  /** Commit index last sent; it may have been lost, which the next heartbeat repairs. */
  sentCommit: LogIndex = logIndex(0);
  /** Somebody waits there for what gets committed. */
  awaiting = false;
  /** Monotonic time of the last message of this term. */
  contactAt: number;
  /** Latest heartbeat round answered. */
  ackedRound = 0;
  /** The peer lost durable state and has not recovered: nothing it says counts for a quorum (W6). */
  recovering = false;
  /** It has nothing of the group's past: as a voter it is to be removed, and added again (G5). */
  newcomer = false;
  matchAtHeartbeat: LogIndex = logIndex(0);
  transfer: SnapshotTransfer | null = null;

  constructor(peer: NodeId, next: LogIndex, now: number, config: RaftConfig) {
    this.peer = peer;
    this.next = next;
    this.contactAt = now;
    this.inflight = new Inflight(config.maxInflightMessages, config.maxInflightBytes);
  }

  becomeProbe(): void {
    this.state = "probe";
    this.probing = false;
    this.next = logIndex(this.match + 1);
    this.transfer = null;
    this.inflight.clear();
  }

  becomeReplicate(): void {
    this.state = "replicate";
    this.probing = false;
    this.askPosition = false;
    this.next = logIndex(this.match + 1);
    this.transfer = null;
    this.inflight.clear();
  }

  becomeSnapshot(now: number): SnapshotTransfer {
    this.state = "snapshot";
    this.probing = false;
    this.askPosition = false;
    this.inflight.clear();
    this.transfer = { meta: null, offset: 0, reading: true, sentAt: now };
    return this.transfer;
  }
}

/** One line of RaftGroup.progress(), for status and for decisions about membership. */
export interface PeerProgress {
  readonly peer: NodeId;
  readonly state: ProgressState;
  readonly match: LogIndex;
  readonly next: LogIndex;
  readonly learner: boolean;
  readonly recovering: boolean;
  readonly newcomer: boolean;
  readonly inflightMessages: number;
  readonly inflightBytes: number;
  /** Monotonic milliseconds of the last message from it. */
  readonly contactAt: number;
  readonly snapshot: { readonly id: string | null; readonly offset: number; readonly bytes: number } | null;
}
