import { mutant } from "#mutation";
import { KeyReader, keyOf, keysEnd, tables } from "./keys.ts";
import { laneCount, oldestEvery } from "./limits.ts";
import type { Partition } from "./partition.ts";
import { type GroupRecord, type MessageRecord, decodeIntegers, decodeMessageRecord } from "./records.ts";

/** What a group may be handed out next in a lane: a message not looked at yet, or one that it knows. */
export type Head =
  | { readonly type: "fresh"; readonly lane: number; readonly place: number; readonly weight: number; readonly message: MessageRecord }
  | { readonly type: "again"; readonly lane: number; readonly place: number; readonly sequence: number };

/** Messages read ahead in one scan of a lane. */
const chunk = 32;

/** The heads of a group's lanes while it is handed messages. */
export class LaneHeads {
  private readonly partition: Partition;
  private readonly group: GroupRecord;
  private readonly wanted: number;
  private readonly fresh: Head[][] = Array.from({ length: laneCount }, () => []);
  private readonly again: Head[][] = Array.from({ length: laneCount }, () => []);
  /** Lanes of which nothing more is there. */
  private readonly freshEnded: boolean[] = Array.from({ length: laneCount }, () => false);
  private readonly againEnded: boolean[] = Array.from({ length: laneCount }, () => false);

  constructor(partition: Partition, group: GroupRecord, wanted: number) {
    this.partition = partition;
    this.group = group;
    this.wanted = Math.min(wanted, chunk);
  }

  /** The first lane that has one wins; one grant in 16 takes the oldest of all lanes (rule Q1). */
  next(): Head | null {
    const oldest = (this.group.grants + 1) % oldestEvery === 0 && !mutant("queue-oldest-never-first");
    let best: Head | null = null;
    for (let lane = 0; lane < laneCount; lane++) {
      const head = this.head(lane);
      if (head === null) continue;
      if (!oldest) return head;
      if (best === null || head.place < best.place) best = head;
    }
    return best;
  }

  /** `head` came from `next` and has been dealt with. */
  take(head: Head): void {
    (head.type === "fresh" ? this.fresh : this.again)[head.lane]?.shift();
    if (head.type === "fresh") this.group.cursors[head.lane] = head.place + 1;
  }

  /** The sets of known messages have changed under the heads. */
  changed(): void {
    for (let lane = 0; lane < laneCount; lane++) {
      this.again[lane] = [];
      this.againEnded[lane] = false;
    }
  }

  private head(lane: number): Head | null {
    const again = this.firstAgain(lane);
    const fresh = this.firstFresh(lane);
    if (again === null || fresh === null) return again ?? fresh;
    return again.place < fresh.place && !mutant("queue-new-before-again") ? again : fresh;
  }

  private firstAgain(lane: number): Head | null {
    const buffer = this.again[lane] as Head[];
    // Both counts spare a walk in the store that finds nothing, which most would.
    if (buffer.length === 0 && this.againEnded[lane] !== true && this.group.again > 0) {
      const prefix = keyOf(tables.again, this.partition.queue, this.partition.index, this.group.id, lane);
      this.partition.shard.view.scan(prefix, keysEnd(prefix), (key, value) => {
        const [sequence = 0] = decodeIntegers(value, 1);
        buffer.push({ type: "again", lane, place: lastPart(key, 4), sequence });
        return buffer.length < this.wanted;
      });
      this.againEnded[lane] = buffer.length < this.wanted;
    }
    return buffer[0] ?? null;
  }

  private firstFresh(lane: number): Head | null {
    const buffer = this.fresh[lane] as Head[];
    if (buffer.length === 0 && this.freshEnded[lane] !== true) {
      const { partition } = this;
      const cursor = this.group.cursors[lane] as number;
      if (cursor >= (partition.counters.ends[lane] as number)) return null;
      const from = keyOf(tables.message, partition.queue, partition.index, lane, cursor);
      let weight = 0;
      let ended = true;
      partition.shard.view.scan(from, keysEnd(keyOf(tables.message, partition.queue, partition.index, lane)), (key, value) => {
        buffer.push({ type: "fresh", lane, place: lastPart(key, 3), weight: value.length, message: decodeMessageRecord(value) });
        weight += value.length;
        ended = buffer.length < this.wanted && weight < partition.shard.limits.handOutBytes;
        return ended;
      });
      this.freshEnded[lane] = ended;
    }
    return buffer[0] ?? null;
  }
}

/** The integer after so many others. */
function lastPart(key: Uint8Array, before: number): number {
  const reader = new KeyReader(key);
  for (let left = before; left > 0; left--) reader.integer();
  return reader.integer();
}
