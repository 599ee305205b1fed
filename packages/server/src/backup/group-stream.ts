import { crc32 } from "node:zlib";
import { BackupDamaged, type BackupRecord, encodeJsonRecord, encodeRecord, jsonOf } from "./records.ts";

/** What a node says of the group it gives. */
export interface GroupHead {
  readonly cluster: string;
  readonly node: string;
  readonly group: number;
  readonly shards: number;
  readonly index: number;
  readonly term: number;
  readonly group_time_ms: number;
}

export interface GroupTotals {
  readonly chunks: number;
  readonly bytes: number;
}

/** Chunks of one group as records; the last one ties them together, so that none can be missing or in another place. */
export class GroupRecords {
  private chunks = 0;
  private bytes = 0;
  private total = 0;

  begin(head: GroupHead): Buffer {
    return encodeJsonRecord("groupBegin", head);
  }

  chunk(data: Uint8Array): Buffer {
    this.count(data);
    return encodeRecord("chunk", data);
  }

  end(): Buffer {
    return encodeJsonRecord("groupEnd", { chunks: this.chunks, bytes: this.bytes, crc: this.total });
  }

  /** Of a chunk that was read. */
  count(data: Uint8Array): void {
    this.chunks += 1;
    this.bytes += data.length;
    // zlib's crc32 forgets its seed for some empty arrays, see adapters/crypto.ts.
    if (data.length > 0) this.total = crc32(data, this.total);
  }

  /** Throws when the end does not tell of the chunks that were counted. */
  checkEnd(record: BackupRecord): GroupTotals {
    const { chunks, bytes, crc } = jsonOf(record);
    if (chunks !== this.chunks || bytes !== this.bytes || crc !== this.total)
      throw new BackupDamaged(`the group that ends at byte ${record.offset} lacks chunks, or has others`);
    return { chunks: this.chunks, bytes: this.bytes };
  }
}

export function groupHead(record: BackupRecord): GroupHead {
  const { cluster, node, group, shards, index, term, group_time_ms: time } = jsonOf(record);
  const numbers = [group, shards, index, term, time];
  if (typeof cluster !== "string" || typeof node !== "string" || !numbers.every((number) => Number.isSafeInteger(number)))
    throw new BackupDamaged(`the group at byte ${record.offset} does not say what it is`);
  const [groupNumber, shardCount, groupIndex, groupTerm, groupTime] = numbers as [number, number, number, number, number];
  return { cluster, node, group: groupNumber, shards: shardCount, index: groupIndex, term: groupTerm, group_time_ms: groupTime };
}
