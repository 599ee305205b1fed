import { type GroupId, groupId } from "@trivet/core";
import { shardNumberOf } from "@trivet/wire";

/** The Raft group of a partition. */
export function shardOf(queue: number, partition: number, shards: number): GroupId {
  return groupId(shardNumberOf(queue, partition, shards));
}
