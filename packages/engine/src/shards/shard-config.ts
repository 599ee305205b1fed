import type { GroupId } from "@trivet/core";
import { groupConfig, type GroupHostConfig, type NodeHostConfig } from "../node/config.ts";
import { applyBatchBytes, applyWindowBytes, shardEntryBytes, shardGatherBytes, shardRetainBytes } from "./limits.ts";

/** As group 0's, but for what follows from the state being in a store of its own: no snapshots by themselves, larger steps. */
export function shardConfig(config: NodeHostConfig, group: GroupId, seed: number, beatOffsetMs: number): GroupHostConfig {
  return {
    ...groupConfig(config, group, seed, beatOffsetMs),
    snapshotEveryEntries: Number.POSITIVE_INFINITY,
    snapshotEveryBytes: Number.POSITIVE_INFINITY,
    snapshotAtRestBytes: Number.POSITIVE_INFINITY,
    snapshotsMoveFloor: false,
    retainBytes: Math.min(config.retainBytes, shardRetainBytes),
    maxEntryBytes: shardEntryBytes,
    gatherBytes: shardGatherBytes,
    applyBytesPerTurn: applyBatchBytes,
    applyWindowBytes,
  };
}
