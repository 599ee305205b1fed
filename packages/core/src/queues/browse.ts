import type { ShardContext } from "./context.ts";
import { findDelivery } from "./delivery.ts";
import { KeyReader, keyAfter, keyOf, keysEnd, tables } from "./keys.ts";
import { laneCount } from "./limits.ts";
import type { Partition } from "./partition.ts";
import { type DeadRecord, type MessageRecord, decodeDead, decodeDelayed, decodeMessageRecord } from "./records.ts";

export type BrowseState = "ready" | "delayed" | "dead";

/** One message looked at without taking it. */
export interface BrowsedMessage {
  readonly partition: number;
  readonly sequence: number;
  readonly state: BrowseState;
  readonly key: string;
  readonly priority: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array;
  readonly producedAt: number;
  /** Group time from which it is ready; 0 unless delayed. */
  readonly dueAt: number;
  readonly expiresAt: number;
  /** Of dead letters: why, when, by which group, after how many hand-outs and failures. */
  readonly dead: {
    readonly group: string;
    readonly reason: string;
    readonly acquired: number;
    readonly deliveries: number;
    readonly diedAt: number;
  } | null;
}
export interface BrowsePage {
  readonly messages: readonly BrowsedMessage[];
  /** Where to go on; null = that was all. A page may be short, or empty, and have a next one. */
  readonly next: string | null;
}

/** Messages in memory at a time that may yet be passed by. */
const page = 32;

/**
 * Messages after `cursor`: ready ones in the order of their lanes, delayed ones by their time, dead letters by their number. Ready is what
 * some group has still to be handed, or what is there while there is no group. Looks at no more than `limit` messages, and stops when
 * the bodies are as large as a hand-out may be. A cursor that is none gets nothing.
 */
export function browseFrom(
  shard: ShardContext,
  queue: number,
  index: number,
  state: BrowseState,
  cursor: string,
  limit: number,
): BrowsePage {
  const after = parse(cursor);
  if (after === null) return { messages: [], next: null };
  const browse = new Browse(shard.partition(queue, index), Math.min(limit, shard.limits.messagesPerCommand));
  return browse.run(state, after);
}

/** The two numbers that a place of each kind has: lane and place, due time and sequence, sequence and group. */
type Place = readonly [number, number];

class Browse {
  private readonly partition: Partition;
  private left: number;
  private bytes = 0;
  private readonly found: BrowsedMessage[] = [];

  constructor(partition: Partition, limit: number) {
    this.partition = partition;
    this.left = limit;
  }

  run(state: BrowseState, after: Place | "start"): BrowsePage {
    const last = state === "ready" ? this.ready(after) : this.table(state, after);
    return { messages: this.found, next: last === null ? null : last.join(".") };
  }

  /** The last place looked at, or null when there are no more. */
  private ready(after: Place | "start"): Place | null {
    const { index, queue, shard } = this.partition;
    let [lane, from] = after === "start" ? [0, 0] : [after[0], after[1] + 1];
    for (; lane < laneCount; lane++, from = 0) {
      for (let ended = false; !ended;) {
        const some: { readonly place: number; readonly message: MessageRecord }[] = [];
        const most = Math.min(page, this.left);
        let bytes = this.bytes;
        const end = keysEnd(keyOf(tables.message, queue, index, lane));
        shard.view.scan(keyOf(tables.message, queue, index, lane, from), end, (key, value) => {
          const message = decodeMessageRecord(value);
          bytes += message.body.length;
          some.push({ place: placeOf(key)[1], message });
          return some.length < most && bytes < shard.limits.handOutBytes;
        });
        ended = some.length < most && bytes < shard.limits.handOutBytes;
        for (const { place, message } of some) {
          from = place + 1;
          this.left--;
          if (this.isReady(lane, place, message)) this.add("ready", message, 0, null);
        }
        if (!ended && this.isFull()) return [lane, from - 1];
      }
    }
    return null;
  }

  private table(state: "delayed" | "dead", after: Place | "start"): Place | null {
    const { index, queue, shard } = this.partition;
    const table = tables[state];
    const prefix = keyOf(table, queue, index);
    let last: Place | null = null;
    shard.view.scan(after === "start" ? prefix : keyAfter(keyOf(table, queue, index, ...after)), keysEnd(prefix), (key, value) => {
      const place = placeOf(key);
      this.left--;
      if (state === "delayed") this.add(state, decodeDelayed(value).message, place[0], null);
      else {
        const dead = decodeDead(value);
        this.add(state, dead.message, 0, dead);
      }
      if (!this.isFull()) return true;
      last = place;
      return false;
    });
    return last;
  }

  private isFull(): boolean {
    return this.left <= 0 || this.bytes >= this.partition.shard.limits.handOutBytes;
  }

  private isReady(lane: number, place: number, message: MessageRecord): boolean {
    const { partition } = this;
    if (message.expiresAt > 0 && message.expiresAt <= partition.shard.now) return false;
    const groups = partition.groups();
    return (
      groups.length === 0 ||
      groups.some((group) => {
        if (message.target !== 0 && message.target !== group.id) return false;
        if ((group.cursors[lane] as number) <= place) return true;
        const delivery = findDelivery(partition, group, message.sequence);
        return delivery !== undefined && delivery.state !== "leased";
      })
    );
  }

  private add(state: BrowseState, message: MessageRecord, dueAt: number, dead: DeadRecord | null): void {
    const { sequence, key, priority, headers, body, producedAt, expiresAt } = message;
    const history = dead === null ? null : historyOf(dead);
    this.bytes += body.length;
    this.found.push({
      partition: this.partition.index,
      sequence,
      state,
      key,
      priority,
      headers,
      body,
      producedAt,
      dueAt,
      expiresAt,
      dead: history,
    });
  }
}

function historyOf({ group, reason, acquired, deliveries, diedAt }: DeadRecord): NonNullable<BrowsedMessage["dead"]> {
  return { group, reason, acquired, deliveries, diedAt };
}

/** What follows the queue and the partition in a key. */
function placeOf(key: Uint8Array): Place {
  const reader = new KeyReader(key);
  reader.integer();
  reader.integer();
  return [reader.integer(), reader.integer()];
}

function parse(cursor: string): Place | "start" | null {
  if (cursor === "") return "start";
  const match = /^(\d{1,16})\.(\d{1,16})$/.exec(cursor);
  if (match === null) return null;
  const place: Place = [Number(match[1]), Number(match[2])];
  return place.every(Number.isSafeInteger) ? place : null;
}
