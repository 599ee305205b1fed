/**
 * Every bound of the wire format, enforced by the decoders (CodecError) and read by whoever validates earlier. All may be raised
 * in a later version of the format; lowering one would make old logs unreadable.
 */
export interface WireLimits {
  /** Lock names, UTF-8 bytes; at least 1. */
  readonly maxNameBytes: number;
  /** Owner, principal, label, node, storage, roles, UTF-8 bytes. */
  readonly maxIdentityBytes: number;
  /** Node addresses, UTF-8 bytes. */
  readonly maxUrlBytes: number;
  /** Free text for people (reasons, details); encoders cut longer ones. */
  readonly maxDetailBytes: number;
  /** Caller ids, UTF-8 bytes; at least 1. */
  readonly maxCallerBytes: number;
  /** Fingerprints of request bodies, UTF-8 bytes. */
  readonly maxFingerprintBytes: number;
  /** Keys of one atomic acquire or release. */
  readonly maxKeysPerSet: number;
  /** Size of a semaphore. */
  readonly maxPermits: number;
  /** Leases, waits and delays: what a 32-bit timer can hold. */
  readonly maxDurationMs: number;
  readonly maxCommandsPerFrame: number;
  /** One command frame and one message of the stream. */
  readonly maxFrameBytes: number;
  /** One Raft entry. */
  readonly maxEntryBytes: number;
  /** Commands of one caller that are open at a time (rule X1). */
  readonly callerWindow: number;
  /** Sessions of one keepalive message. */
  readonly maxSessionsPerKeepAlive: number;
  /** Body of one queue message. Larger ones belong into a store of their own, with their address in the message. */
  readonly maxBodyBytes: number;
  /** Messages of one produce, hand-outs of one consume, receipts of one settle. */
  readonly maxMessagesPerCommand: number;
  readonly maxHeadersPerMessage: number;
  /** One header's name and value together, UTF-8 bytes. */
  readonly maxHeaderBytes: number;
  /** Key, dedupe id, group and consumer of a message, UTF-8 bytes. */
  readonly maxKeyBytes: number;
  readonly maxPartitions: number;
  /** Consumer groups of one partition. A replicated constant: it decides outcomes of apply. */
  readonly maxGroupsPerPartition: number;
  /** Key of a cached value, UTF-8 bytes. The value is bounded as a message's body is. */
  readonly maxCacheKeyBytes: number;
  readonly maxTags: number;
  /** UTF-8 bytes of one tag. */
  readonly maxTagBytes: number;
  /** Raft groups for queue messages. */
  readonly maxShards: number;
  /** Traces that one frame of the stream is said to belong to: the first is the one it continues. */
  readonly maxTracesPerFrame: number;
  /** What vendors add to a trace (`tracestate`). */
  readonly maxTraceStateBytes: number;
  /** Name of the chain of an audit log, UTF-8 bytes; at least 1. */
  readonly maxAuditChainBytes: number;
  /** Code of a record of an audit log: so many, not fewer. */
  readonly auditMacBytes: number;
}

export const limits: WireLimits = {
  maxNameBytes: 512,
  maxIdentityBytes: 256,
  maxUrlBytes: 1024,
  maxDetailBytes: 2048,
  maxCallerBytes: 64,
  maxFingerprintBytes: 128,
  maxKeysPerSet: 64,
  maxPermits: 1_000_000,
  maxDurationMs: 2_147_483_647,
  maxCommandsPerFrame: 1024,
  maxFrameBytes: 1_048_576,
  maxEntryBytes: 8_388_608,
  callerWindow: 1024,
  maxSessionsPerKeepAlive: 4096,
  maxBodyBytes: 524_288,
  maxMessagesPerCommand: 1024,
  maxHeadersPerMessage: 32,
  maxHeaderBytes: 2048,
  maxKeyBytes: 256,
  maxPartitions: 1024,
  maxGroupsPerPartition: 64,
  maxCacheKeyBytes: 512,
  maxTags: 16,
  maxTagBytes: 256,
  maxShards: 256,
  maxTracesPerFrame: 16,
  maxTraceStateBytes: 512,
  maxAuditChainBytes: 64,
  auditMacBytes: 64,
};
