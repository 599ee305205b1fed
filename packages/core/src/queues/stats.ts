import type { ShardContext } from "./context.ts";
import { keyOf, keysEnd, tables } from "./keys.ts";
import { laneCount } from "./limits.ts";
import type { Partition } from "./partition.ts";
import { type GroupRecord, decodeDelayed, decodeMessageRecord } from "./records.ts";

/** What a consumer group has done and has still to do in one partition. */
export interface GroupStats {
  readonly group: string;
  /** Not handed out, or to be handed out again. */
  readonly ready: number;
  readonly leased: number;
  readonly settled: number;
  readonly dead: number;
  readonly expired: number;
  readonly purged: number;
}
/** What one partition holds. */
export interface PartitionCounts {
  readonly partition: number;
  readonly messages: number;
  readonly bytes: number;
  readonly delayed: number;
  /** Dead letters there are. */
  readonly dead: number;
  /** Accepted so far. Together with `returned`: messages + acked + died + expired + purged + dropped. */
  readonly produced: number;
  /** Dead letters that went back to one of several groups; others count as produced again. */
  readonly returned: number;
  /** How messages left, so far: what became of them in the last of the groups that needed them. */
  readonly acked: number;
  readonly died: number;
  readonly expired: number;
  readonly purged: number;
  /** With the group that alone had still to settle them. */
  readonly dropped: number;
  /** Group time of the produce of the oldest message still there; 0 = none. Of each lane, and of the delayed, the first is looked at. */
  readonly oldestAt: number;
  readonly groups: readonly GroupStats[];
}

/** Counters only, and one message of each lane: the work does not grow with the backlog. */
export function statsOf(shard: ShardContext, queue: number, index: number): PartitionCounts {
  const partition = shard.partition(queue, index);
  const { messages, bytes, delayed, dead, produced, returned, acked, died, expired, purged, dropped } = partition.counters;
  const totals = { messages, bytes, delayed, dead, produced, returned, acked, died, expired, purged, dropped };
  const groups = partition.groups().map((group) => groupStats(partition, group));
  return { partition: index, ...totals, oldestAt: oldestAt(partition), groups };
}

/** Every group accounts for every message it was owed; what is left is ready, delayed ones apart. */
function groupStats({ counters }: Partition, group: GroupRecord): GroupStats {
  const { name, found, producedBefore, redriven, leased, settled, dead, expired, purged } = group;
  const owed = found + counters.produced - producedBefore + redriven;
  const ready = owed - settled - dead - expired - purged - leased - counters.delayed;
  return { group: name, ready, leased, settled, dead, expired, purged };
}

function oldestAt({ index, queue, shard }: Partition): number {
  let oldest = 0;
  const look = (producedAt: number): boolean => {
    if (oldest === 0 || producedAt < oldest) oldest = producedAt;
    return false;
  };
  for (let lane = 0; lane < laneCount; lane++) {
    const prefix = keyOf(tables.message, queue, index, lane);
    shard.view.scan(prefix, keysEnd(prefix), (_key, value) => look(decodeMessageRecord(value).producedAt));
  }
  const delayed = keyOf(tables.delayed, queue, index);
  shard.view.scan(delayed, keysEnd(delayed), (_key, value) => look(decodeDelayed(value).message.producedAt));
  return oldest;
}
