import type { RaftConfig } from "@trivet/core";

/** Of every group that a test does not want otherwise. */
export const defaultConfig: Omit<RaftConfig, "self" | "group"> = {
  seed: 1,
  heartbeatMs: 50,
  beatOffsetMs: 0,
  electionMinMs: 300,
  electionMaxMs: 600,
  diskStallMs: 2000,
  maxEntriesPerAppend: 64,
  maxBytesPerAppend: 64 * 1024,
  maxInflightMessages: 16,
  maxInflightBytes: 256 * 1024,
  maxUncommittedBytes: 1024 * 1024,
  snapshotChunkBytes: 64,
};
