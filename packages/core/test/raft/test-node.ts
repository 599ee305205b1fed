import {
  logIndex,
  term,
  type Entry,
  type HardState,
  type LogIndex,
  type Membership,
  type NodeId,
  type RaftEffects,
  type RaftGroup,
  type RaftMessage,
  type RaftNotice,
  type SnapshotMeta,
} from "@trivet/core";

/** What a crash leaves behind. */
export interface Disk {
  hardState: HardState;
  /** Entries after `base`, contiguous. */
  entries: Entry[];
  snapshot: { readonly meta: SnapshotMeta; readonly data: Uint8Array } | null;
  membership: Membership;
  membershipIndex: LogIndex;
  commit: LogIndex;
  /** Lost what it had promised: the node may not vote until it has recovered, however often it restarts. */
  damaged: boolean;
  /** What it lost is at most the end of its log (W3). */
  onlyTornTail: boolean;
  /** Nothing is left of what it had promised, terms and votes included (G5). */
  newcomer: boolean;
  /** The disk before its last write: what is left when that cannot be read. */
  before: Pick<Disk, "hardState" | "entries" | "commit"> | null;
  /** A snapshot on its way in. */
  incoming: { readonly id: string; bytes: Uint8Array } | null;
}

export interface PendingWrite {
  readonly effects: RaftEffects;
  /** Messages that wait for this write. */
  readonly messages: RaftMessage[];
}

export interface AnsweredRead {
  readonly context: number;
  readonly index: LogIndex;
}

export class TestNode {
  readonly id: NodeId;
  readonly disk: Disk;
  group: RaftGroup;
  up = true;
  /** Applied commands, "index:payload"; the state machine. */
  applied: string[] = [];
  appliedIndex: LogIndex = logIndex(0);
  writes: PendingWrite[] = [];
  reads: AnsweredRead[] = [];
  notices: RaftNotice[] = [];
  snapshotsInstalled = 0;
  sent: RaftMessage[] = [];
  /** Snapshot installs are held back while set. */
  holdInstall = false;
  heldInstalls: SnapshotMeta[] = [];

  constructor(id: NodeId, disk: Disk, group: RaftGroup) {
    this.id = id;
    this.disk = disk;
    this.group = group;
  }

  noticesOf<T extends RaftNotice["type"]>(type: T): Extract<RaftNotice, { type: T }>[] {
    return this.notices.filter((notice): notice is Extract<RaftNotice, { type: T }> => notice.type === type);
  }
}

/** Nothing of it is in doubt (any more). */
export const wholeDisk = { damaged: false, onlyTornTail: false, newcomer: false };

export function emptyDisk(membership: Membership): Disk {
  return {
    hardState: { term: term(0), vote: null },
    entries: [],
    snapshot: null,
    membership,
    membershipIndex: logIndex(0),
    commit: logIndex(0),
    ...wholeDisk,
    before: null,
    incoming: null,
  };
}

export function persist(disk: Disk, effects: RaftEffects): void {
  disk.before = { hardState: disk.hardState, entries: [...disk.entries], commit: disk.commit };
  if (effects.hardState !== null) disk.hardState = effects.hardState;
  if (effects.truncateFrom > 0) disk.entries = disk.entries.filter((entry) => entry.index < effects.truncateFrom);
  for (const entry of effects.append) {
    const covered = disk.snapshot?.meta.index ?? 0;
    if (entry.index <= covered) continue;
    const expected = (disk.entries.at(-1)?.index ?? covered) + 1;
    if (entry.index !== expected) throw new Error(`wrote ${entry.index} where ${expected} follows`);
    disk.entries.push(entry);
  }
  if (effects.commit > 0) disk.commit = effects.commit;
}

/** The end of the log is cut, and nobody knows whether it was acknowledged. */
export function loseEntriesAfter(disk: Disk, last: number): void {
  disk.entries.length = Math.max(0, last - (disk.snapshot?.meta.index ?? 0));
  Object.assign(disk, { commit: logIndex(Math.min(disk.commit, last)), damaged: true, onlyTornTail: true });
}

/** The same, of what was written last: entries, a term, a vote. */
export function loseLastWrite(disk: Disk): void {
  if (disk.before !== null) Object.assign(disk, disk.before, { before: null, damaged: true, onlyTornTail: true });
}
