import { avalanche, hashText } from "./hash.ts";

/** Rule Q2, of a key or a dedupe id. Fixed for ever: messages of one key must keep coming to one partition, from every sender. */
export function partitionOf(text: string, partitions: number): number {
  return (avalanche(hashText(text)) >>> 0) % partitions;
}

/** The Raft group of a partition: those of one queue spread over consecutive shards (decision 0008 §3). Fixed for ever. */
export function shardNumberOf(queue: number, partition: number, shards: number): number {
  return 1 + ((queue + partition) % shards);
}
