/** Every bound of the log and the snapshot files. */
export interface LogLimits {
  /** A new segment begins when a batch would make the current one larger; one batch may exceed it. */
  readonly segmentBytes: number;
  /** Zeros are written ahead of the log so many bytes at a time; 0 = none. */
  readonly roomBytes: number;
  /** What queues during a sync becomes one batch up to about so many bytes. */
  readonly maxBatchBytes: number;
  /** Positions in a segment are 32-bit: one batch, with all its payloads, stays well below. */
  readonly maxSegmentBytes: number;
  /** Payloads up to this size are copied together: below it a buffer of its own in the vectored write costs more than the copy. */
  readonly copyPayloadBytes: number;
  /** Node ids, UTF-8 bytes. */
  readonly maxNodeIdBytes: number;
  readonly maxMembers: number;
  /** One chunk of a snapshot file. */
  readonly maxSnapshotChunkBytes: number;
  readonly maxSnapshotIdBytes: number;
  readonly snapshotsKept: number;
  /** A snapshot being written is synced every so many bytes: one sync of all of it would hold up the log's. */
  readonly snapshotSyncBytes: number;
}

export const logLimits: LogLimits = {
  segmentBytes: 64 * 1024 * 1024,
  roomBytes: 1024 * 1024,
  maxBatchBytes: 4 * 1024 * 1024,
  maxSegmentBytes: 2 ** 31 - 1,
  copyPayloadBytes: 1024,
  maxNodeIdBytes: 256,
  maxMembers: 1024,
  maxSnapshotChunkBytes: 16 * 1024 * 1024,
  maxSnapshotIdBytes: 1024,
  snapshotsKept: 2,
  snapshotSyncBytes: 4 * 1024 * 1024,
};
