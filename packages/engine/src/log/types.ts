import type { Entry, GroupId, HardState, LogIndex, Membership, SnapshotMeta, Term } from "@trivet/core";
import type { IoError } from "../ports/file.ts";

/** One ordered piece of persistence of one group, as handed out by RaftEffects. */
export interface WalWrite {
  readonly group: GroupId;
  readonly hardState: HardState | null;
  /** Entries from here on are void; 0 = none. Entries in `append` may also overwrite implicitly. */
  readonly truncateFrom: LogIndex;
  readonly append: readonly Entry[];
  /** Commit hint, persisted along with the rest at no extra sync. */
  readonly commit: LogIndex;
}

/** Where the state machine of a group was durably stored: everything at or below `index` may leave the WAL (rule W1). */
export interface Floor {
  readonly group: GroupId;
  readonly index: LogIndex;
  readonly term: Term;
  readonly membership: Membership;
  readonly membershipIndex: LogIndex;
  /** Entries from here on are still wanted for lagging followers; at most index + 1. */
  readonly keepFrom: LogIndex;
}

/**
 * What a loss may have taken: the end of the log only, which comparing with all members settles (rule W3), or anything (rule W6). A newcomer has
 * none of the group's past, terms and votes included: another disk did, if any (rule G5).
 */
export type Doubt = "torn-tail" | "damage" | "newcomer";

/** Why a group is distrusted whose past was never on this disk: kept in the log as any other reason is, and known again by it. */
export const newReplica = "a new replica";

export interface RecoveredGroup {
  readonly hardState: HardState;
  /** From the newest segment table or Installed record, null = nothing but founding. */
  readonly floor: Floor | null;
  /** Contiguous; may begin at or below the floor. */
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
  /** False = something of this group's log may be lost (rules W3, W6): it neither votes nor campaigns until `WalApi.trust`. Survives restarts. */
  readonly mayVote: boolean;
  /** Why it may not vote: the end of the log may be lost (W3), or anything may (W6), or it is new (G5); null = it may. */
  readonly doubt: Doubt | null;
  /** Payload of the newest configuration entry that stands behind damage: it is void, but says who else may have the data. */
  readonly lostConfig: Uint8Array | null;
}

/** What recovery did and found, told to people and used to decide whether this node may vote. */
export type WalFinding =
  /** Cut inside the last unsynced batch: normal after a crash (rule W3). `partialRecord` = no more than one incomplete record. */
  | { readonly type: "torn-tail"; readonly file: string; readonly offset: number; readonly bytes: number; readonly partialRecord: boolean }
  /** A bad record before the durable-up-to position: bit rot (rule W6). The log is kept up to it and the node may not vote. */
  | { readonly type: "corrupt"; readonly file: string; readonly offset: number; readonly detail: string };

export interface WalOpened {
  readonly wal: WalApi;
  readonly groups: ReadonlyMap<GroupId, RecoveredGroup>;
  /** What this start found. A loss found by an earlier start shows only in `mayVote`. */
  readonly findings: readonly WalFinding[];
  /** For groups that are not in `groups`. */
  readonly mayVote: boolean;
  readonly doubt: Doubt | null;
}

export interface WalStats {
  readonly syncs: number;
  readonly bytesWritten: number;
  readonly segments: number;
  /** Size of all segments. */
  readonly diskBytes: number;
  readonly queuedBytes: number;
  /** Monotonic start time of the oldest write not yet durable; null = none. */
  readonly oldestUnsyncedAt: number | null;
  /** The group whose floor keeps the oldest segment from being deleted: the one to snapshot next. Null = only one segment. */
  readonly heldBackBy: GroupId | null;
}

/** The write-ahead log of a node, shared by all its groups: one file write and one fdatasync per batch (group commit). */
export interface WalApi {
  /** Bytes of records taken since it was opened, durable or not. */
  readonly takenBytes: number;
  /** Queues; `durable` is called when it and everything before it is on disk. One batch is in flight at a time; what queues meanwhile forms the next. */
  write(write: WalWrite, durable: () => void): void;
  /** Records a new floor (a durable snapshot) and deletes segments no group needs. */
  setFloor(floor: Floor, done: () => void): void;
  /** Records that `floor.group` was replaced by an installed snapshot; log entries it does not name are void (rule W5). */
  installed(floor: Floor, keepSuffix: boolean, done: () => void): void;
  /**
   * The group's log was caught up past what could have been lost (rules W3, W6): it may vote again, also after a restart. Null = all groups.
   * A vote may be among what was lost: take part in elections of later terms only.
   */
  trust(group: GroupId | null, done: () => void): void;
  /**
   * What this node has of the group, log and snapshots together, is less than it may have acknowledged (rule W6): until `trust`, it may not
   * vote, also after restarts in which nothing is missing any more.
   */
  distrust(group: GroupId, detail: string, done: () => void): void;
  /** Starts on what is queued now instead of in the next turn: for the end of a turn, when no more can join the batch. */
  flush(): void;
  stats(): WalStats;
  /** Finishes queued writes, syncs, closes. */
  close(done: () => void): void;
}

/** A write, sync or rename failed: the node must stop (never retry fsync). */
export type FatalStorage = (error: IoError) => void;

/** Snapshots of one group on disk: written to a temporary name, checksummed, synced, renamed; two are kept; a bad one falls back. */
export interface SnapshotStoreApi {
  /** Newest good snapshot, or null. */
  latest(): SnapshotMeta | null;
  /** All kept snapshots that look good, newest first (two at most). Holding the WAL back to the older one makes the fallback complete. */
  kept(): readonly SnapshotMeta[];
  /** Starts a new local snapshot. */
  create(meta: Omit<SnapshotMeta, "bytes">): SnapshotWriter;
  /** Opens for sequential reading into a state machine; verifies every chunk's checksum. */
  open(meta: SnapshotMeta, done: (error: IoError | null, reader: SnapshotReader | null) => void): void;
  /** Bytes for a peer, as in the file (checksums included, so the receiver verifies the same bytes). Null = that snapshot is gone. */
  readBytes(id: string, offset: number, length: number, done: (data: Uint8Array | null, end: boolean) => void): void;
  /** Bytes from a peer; resumable: `expected` tells how many are durable already. `failed` = the file was not acceptable, start from 0. */
  receive(meta: SnapshotMeta, offset: number, data: Uint8Array, last: boolean, done: (durableBytes: number, failed: boolean) => void): void;
  /** After the last chunk was received: makes it the newest. */
  adopt(meta: SnapshotMeta, done: (error: IoError | null) => void): void;
  /** Forgets all others, durably, damaged ones included: their state is not to be used again (rule W7). */
  keepOnly(ids: readonly string[], done: () => void): void;
}
export interface SnapshotWriter {
  write(chunk: Uint8Array, done: () => void): void;
  /** Checksums, syncs, renames, syncs the directory, drops the third-newest. */
  finish(done: (meta: SnapshotMeta) => void): void;
  abort(): void;
}
export interface SnapshotReader {
  /** Next chunk as it was written; null at the end. */
  next(done: (error: IoError | null, chunk: Uint8Array | null) => void): void;
  close(): void;
}
