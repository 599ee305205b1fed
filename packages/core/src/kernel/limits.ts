/**
 * Limits of the protocol cores that are not configuration. Those an operator may change are fields of RaftConfig.
 * Documented for users in docs/limits.md.
 */
export const raftLimits = {
  /** Heartbeat rounds begun for reads and not yet confirmed; later reads wait and share the next round (thesis §6.4). */
  readRoundsInFlight: 8,
  /** Reads waiting in one group of one node, those asked by followers included; more are refused. */
  pendingReads: 65_536,
  /** Nodes in one configuration, learners included. */
  members: 64,
  /** Configurations from the committed one on, named in one answer about a log's end. */
  knownConfigurations: 65_536,
  /** UTF-8 bytes of a node id. */
  nodeIdBytes: 256,
  /** UTF-8 bytes of a snapshot id. */
  snapshotIdBytes: 256,
  /** What a decoder takes: payload of one entry, entries of one append, data of one snapshot chunk. */
  entryBytes: 16_777_216,
  entriesPerAppend: 65_536,
  snapshotChunkBytes: 16_777_216,
} as const;
