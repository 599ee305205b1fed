import { mutant } from "#mutation";
import type { ShardContext } from "./context.ts";
import { keyOf, keysEnd, tables } from "./keys.ts";
import {
  type GroupRecord,
  type MessageRecord,
  type PartitionRecord,
  type Waiting,
  decodeGroupRecord,
  decodeIntegers,
  decodePartitionRecord,
  emptyPartition,
  encodeGroup,
  encodeIntegers,
  encodeMessageRecord,
  encodePartition,
} from "./records.ts";
import { schedule, unschedule } from "./calendar.ts";
import { type Ending, hasDelivery } from "./delivery.ts";
import { laneCount } from "./limits.ts";

/** Where a message stands, and what its removal must know. */
export interface Placed {
  readonly sequence: number;
  readonly lane: number;
  readonly place: number;
  readonly size: number;
  readonly expiresAt: number;
  readonly targeted: boolean;
  readonly key: string;
}

/** How a message comes to be no one's: as its last group's ending, or because that group was deleted. */
export type Leaving = Ending | "dropped";
const counterOf = { settled: "acked", dead: "died", expired: "expired", purged: "purged", dropped: "dropped" } as const satisfies Record<
  Leaving,
  keyof PartitionRecord
>;

/** One partition of one queue while a command runs: its counters and its consumer groups. */
export class Partition {
  readonly shard: ShardContext;
  readonly queue: number;
  readonly index: number;
  readonly counters: PartitionRecord;
  private readonly before: Uint8Array | undefined;
  private loaded: GroupRecord[] | null = null;
  private readonly changed: Set<GroupRecord> = new Set();

  constructor(shard: ShardContext, queue: number, index: number) {
    this.shard = shard;
    this.queue = queue;
    this.index = index;
    this.before = shard.view.get(this.key())?.slice();
    this.counters = this.before === undefined ? emptyPartition(shard.now) : decodePartitionRecord(this.before);
  }

  /** In the order of their names. */
  groups(): readonly GroupRecord[] {
    if (this.loaded !== null) return this.loaded;
    const groups: GroupRecord[] = [];
    const prefix = keyOf(tables.group, this.queue, this.index);
    this.shard.view.scan(prefix, keysEnd(prefix), (_key, value) => {
      groups.push(decodeGroupRecord(value));
      return true;
    });
    this.loaded = groups;
    return groups;
  }

  group(name: string): GroupRecord | undefined {
    return this.groups().find((group) => group.name === name);
  }

  /** Null when there are too many. */
  createGroup(name: string, fromLatest: boolean): GroupRecord | null {
    const { counters } = this;
    if (this.groups().length >= this.shard.limits.groupsPerPartition && !mutant("queue-groups-unbounded")) return null;
    const latest = mutant("queue-latest-is-earliest") ? false : fromLatest;
    const group: GroupRecord = {
      id: counters.nextGroup++,
      name,
      cursors: Array.from({ length: laneCount }, () => (latest ? counters.next : 0)),
      leased: 0,
      again: 0,
      grants: 0,
      waiting: "nothing",
      found: latest ? counters.delayed : counters.messages - counters.targeted,
      producedBefore: counters.produced,
      redriven: 0,
      settled: 0,
      dead: 0,
      expired: 0,
      purged: 0,
    };
    this.loaded = [...this.groups(), group];
    this.changed.add(group);
    return group;
  }

  /** Its deliveries go in bounded steps (clear.ts). */
  forgetGroup(group: GroupRecord): void {
    this.setWaiting(group, "nothing");
    this.changed.delete(group);
    this.loaded = this.groups().filter((other) => other !== group);
    this.shard.view.remove(keyOf(tables.group, this.queue, this.index, group.name));
  }

  /** A group that is deleted already is not stored again. */
  leaveOut(group: GroupRecord): void {
    this.changed.delete(group);
  }

  touch(group: GroupRecord): void {
    this.changed.add(group);
  }

  setWaiting(group: GroupRecord, waiting: Waiting): void {
    if (group.waiting === waiting) return;
    if (group.waiting === "nothing") this.counters.waiting++;
    if (waiting === "nothing") this.counters.waiting--;
    group.waiting = waiting;
    this.touch(group);
  }

  /** What `group` waits for is there: its consumers are told, once. */
  wake(group: GroupRecord, waiting: Waiting): void {
    if (group.waiting !== waiting || mutant("queue-ready-not-told")) return;
    this.setWaiting(group, "nothing");
    this.shard.ready.ready(this.queue, this.index, group.name);
  }

  /** A message becomes ready: it takes the next place of its lane. One put, whatever the number of groups. */
  enqueue(message: MessageRecord): void {
    const { counters, shard } = this;
    // A message that was not delayed is named by its place.
    const place = message.sequence === counters.next ? counters.next++ : this.nextNumber();
    const lane = this.laneOf(message.key, message.priority);
    if (!mutant("queue-lane-end-not-raised")) counters.ends[lane] = place + 1;
    shard.view.put(keyOf(tables.message, this.queue, this.index, lane, place), encodeMessageRecord(message), true);
    if (message.expiresAt > 0) schedule(shard.view, message.expiresAt, "expire", [this.queue, this.index, lane, place]);
    if (counters.waiting === 0) return;
    for (const group of this.groups()) {
      if (message.target === 0 || message.target === group.id) this.wake(group, "messages");
    }
  }

  nextNumber(): number {
    return this.counters.next++;
  }

  /** The message is no one's any more. */
  remove(message: Placed, leaving: Leaving): void {
    const { counters, shard } = this;
    shard.view.remove(keyOf(tables.message, this.queue, this.index, message.lane, message.place));
    if (message.expiresAt > 0) unschedule(shard.view, message.expiresAt, "expire", [this.queue, this.index, message.lane, message.place]);
    counters.messages--;
    counters.bytes -= message.size;
    this.left(leaving);
    if (message.targeted) counters.targeted--;
    if (message.key !== "" && message.lane > 0) this.leaveLane(message.key, message.lane);
  }

  /** Has `group` still to settle it? */
  needs(group: GroupRecord, message: Placed): boolean {
    if ((group.cursors[message.lane] as number) <= message.place) return true;
    return hasDelivery(this, group, message.sequence);
  }

  /** Conservation: what was produced is here, or is counted by how it left. */
  left(leaving: Leaving, count = 1): void {
    if (!mutant("queue-leaving-uncounted")) this.counters[counterOf[leaving]] += count;
  }

  /** Rule Q2: a group is done with the message; its body goes when no other group needs it. */
  release(group: GroupRecord, message: Placed, leaving: Leaving): void {
    const kept =
      !message.targeted &&
      !mutant("queue-body-gone-with-first-group") &&
      this.groups().some((other) => other !== group && this.needs(other, message));
    if (!kept) this.remove(message, leaving);
  }

  store(): void {
    const { view } = this.shard;
    for (const group of this.changed) view.put(keyOf(tables.group, this.queue, this.index, group.name), encodeGroup(group));
    this.changed.clear();
    const after = encodePartition(this.counters);
    if (this.before === undefined ? this.counters.next > 1 || this.counters.nextGroup > 1 : !sameBytes(this.before, after)) {
      view.put(this.key(), after);
    }
  }

  /**
   * Messages of one key must not overtake each other by priority (rule Q1). Within a lane places keep the order, and a lower lane is
   * handed out after a higher; so a message whose key has others in a lower lane joins them there.
   */
  private laneOf(key: string, priority: number): number {
    const { counters } = this;
    if (key === "" || (priority === 0 && counters.keyedLow === 0)) return priority;
    const counts = this.lowLanes(key);
    const lowest = counts.findLastIndex((count) => count > 0) + 1;
    const lane = mutant("queue-priority-overtakes-key") ? priority : Math.max(priority, lowest);
    if (lane === 0) return lane;
    counts[lane - 1] = (counts[lane - 1] as number) + 1;
    this.shard.view.put(keyOf(tables.keyLane, this.queue, this.index, key), encodeIntegers(...counts));
    counters.keyedLow++;
    return lane;
  }

  private leaveLane(key: string, lane: number): void {
    const at = keyOf(tables.keyLane, this.queue, this.index, key);
    const counts = this.lowLanes(key);
    counts[lane - 1] = (counts[lane - 1] as number) - 1;
    if (counts.some((count) => count > 0)) this.shard.view.put(at, encodeIntegers(...counts));
    else this.shard.view.remove(at);
    this.counters.keyedLow--;
  }

  /** How many messages of the key stand in each lane after the first. */
  private lowLanes(key: string): number[] {
    const stored = this.counters.keyedLow === 0 ? undefined : this.shard.view.get(keyOf(tables.keyLane, this.queue, this.index, key));
    return stored === undefined ? Array.from({ length: laneCount - 1 }, () => 0) : decodeIntegers(stored, laneCount - 1);
  }

  private key(): Uint8Array {
    return keyOf(tables.partition, this.queue, this.index);
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
