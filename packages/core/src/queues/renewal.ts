import { mutant } from "#mutation";
import { counterBase, type Takeover } from "../kernel/counter-base.ts";
import { schedule, unschedule } from "./calendar.ts";
import { fencesJob } from "./jobs.ts";
import { KeyReader, keyOf, keysEnd, tables } from "./keys.ts";
import {
  decodeDelayed,
  decodeDelivery,
  decodeGroupRecord,
  decodeIntegers,
  decodeMessageRecord,
  decodePartitionRecord,
  encodeDelayed,
  encodeDelivery,
  encodeGroup,
  encodeIntegers,
  encodeMessageRecord,
  encodePartition,
  type DeliveryRecord,
  type GroupRecord,
} from "./records.ts";
import type { OrderedView } from "./store.ts";

/** What is looked at in one step, so that no transaction grows with the backlog, nor with what is in it. */
const rowsPerStep = 1000;
const bytesPerStep = 4 * 1024 * 1024;
const fenceFloorKey: Uint8Array = keyOf(tables.meta, 1);
const versionKey: Uint8Array = keyOf(tables.meta, 3);
const leaseMarkerKey: Uint8Array = keyOf(tables.meta, 5);

/** One piece of the work. True when nothing of it is left; else it goes on in another transaction. */
type Task = (view: OrderedView) => boolean;

export interface ShardRenewalOptions extends Takeover {
  /** No fence of the former cluster reaches it: the base of the new group 0. */
  readonly fenceFloor: number;
  /** Index of the state's last entry: it is one of the counters. */
  readonly index: number;
}

/**
 * Makes a shard's state that of a new cluster (rule W9), in place and in steps: leases of messages are returned, consumer groups become other
 * ones so that no receipt of before settles anything, counters begin above all that the former cluster can have given, and holders of copies
 * are forgotten. Not to be used on a store that a running node has.
 */
export class ShardRenewal {
  private readonly options: ShardRenewalOptions;
  private readonly tasks: Task[];
  private counters = 0;

  constructor(options: ShardRenewalOptions) {
    this.options = options;
    this.tasks = [(view) => this.survey(view), removal(keyOf(tables.consumer)), removal(keyOf(tables.holder)), (view) => this.raise(view)];
  }

  /** Where the counters of the shard begin, its log's index among them. Known after the first step. */
  get base(): number {
    return this.counters;
  }

  /** True when it is done. */
  step(view: OrderedView): boolean {
    const task = this.tasks[0];
    if (task?.(view) === true) this.tasks.shift();
    return this.tasks.length === 0;
  }

  /** What is there, and how far the former cluster has counted. */
  private survey(view: OrderedView): boolean {
    let highest = Math.max(this.options.index, integerAt(view, versionKey));
    const partitions: (readonly [queue: number, index: number])[] = [];
    scanAll(view, keyOf(tables.partition), (key, value) => {
      const { next, nextGroup } = decodePartitionRecord(value);
      highest = Math.max(highest, next, nextGroup);
      const reader = new KeyReader(key);
      partitions.push([reader.integer(), reader.integer()]);
    });
    this.counters = counterBase(highest, this.options);
    for (const [queue, index] of partitions) this.tasks.push((at) => this.renewPartition(at, queue, index));
    return true;
  }

  private raise(view: OrderedView): boolean {
    view.put(versionKey, encodeIntegers(this.counters));
    view.remove(leaseMarkerKey);
    if (mutant("renewal-fence-floor-kept")) return true;
    view.put(fenceFloorKey, encodeIntegers(this.options.fenceFloor));
    // Registers below it go as they do in a running shard.
    view.put(keyOf(tables.job, fencesJob), keyOf(tables.fence));
    return true;
  }

  private renewPartition(view: OrderedView, queue: number, index: number): boolean {
    const key = keyOf(tables.partition, queue, index);
    const partition = decodePartitionRecord(stored(view, key));
    const targets = new Map<number, number>();
    partition.next = mutant("renewal-message-names-go-on") ? partition.next : this.counters;
    partition.nextGroup = this.counters;
    partition.waiting = 0;
    scanAll(view, keyOf(tables.group, queue, index), (groupKey, value) => {
      const group = decodeGroupRecord(value);
      const id = mutant("renewal-groups-keep-ids") ? group.id : partition.nextGroup++;
      targets.set(group.id, id);
      this.tasks.push(...renewGroup(queue, index, group, id, groupKey.slice()));
    });
    view.put(key, encodePartition(partition));
    if (partition.targeted > 0) this.tasks.push(...retarget(queue, index, targets));
    return true;
  }
}

/** Its rows move to the new id; what was leased is to be handed out again, which is no failure of the message. */
function renewGroup(queue: number, index: number, group: GroupRecord, id: number, groupKey: Uint8Array): Task[] {
  const at = [queue, index] as const;
  let returned = 0;
  const deliveryRow = (view: OrderedView, value: Uint8Array): Uint8Array => {
    const delivery = decodeDelivery(value);
    if (delivery.state === "leased") returned += 1;
    return encodeDelivery(renewDelivery(view, at, group.id, id, delivery));
  };
  const move = (table: GroupTable, change?: (view: OrderedView, value: Uint8Array) => Uint8Array): Task =>
    id === group.id
      ? change === undefined
        ? () => true
        : inPlace(keyOf(table, ...at, id), change)
      : moved(table, at, group.id, id, change);
  return [
    move(tables.again),
    move(tables.head),
    move(tables.parked),
    move(tables.delivery, deliveryRow),
    (view) => {
      view.put(groupKey, encodeGroup({ ...group, id, leased: 0, again: group.again + returned, waiting: "nothing" }));
      return true;
    },
  ];
}

function renewDelivery(
  view: OrderedView,
  [queue, index]: readonly [number, number],
  former: number,
  id: number,
  delivery: DeliveryRecord,
): DeliveryRecord {
  const { lane, place, sequence, state, until } = delivery;
  if (state === "later") {
    unschedule(view, until, "retry", [queue, index, former, sequence]);
    schedule(view, until, "retry", [queue, index, id, sequence]);
  }
  if (state !== "leased" || mutant("renewal-leases-kept")) return delivery;
  view.put(keyOf(tables.again, queue, index, id, lane, place), encodeIntegers(sequence));
  return { ...delivery, state: "again", consumer: "" };
}

type GroupTable = (typeof tables)["again" | "head" | "parked" | "delivery"];

function moved(
  table: GroupTable,
  at: readonly [number, number],
  former: number,
  id: number,
  change: (view: OrderedView, value: Uint8Array) => Uint8Array = (_view, value) => value,
): Task {
  const from = keyOf(table, ...at, former);
  const to = keyOf(table, ...at, id);
  return (view) => {
    const { isLast, rows } = firstRows(view, from, from);
    for (const [key, value] of rows) {
      view.remove(key);
      view.put(joined(to, key.subarray(from.length)), change(view, value));
    }
    return isLast;
  };
}

/** Every row below `prefix` gets what `change` makes of its value. */
function inPlace(prefix: Uint8Array, change: (view: OrderedView, value: Uint8Array) => Uint8Array | null): Task {
  let from = prefix;
  return (view) => {
    const { isLast, rows } = firstRows(view, prefix, from);
    for (const [key, value] of rows) {
      const changed = change(view, value);
      if (changed !== null) view.put(key, changed);
    }
    const last = rows.at(-1)?.[0];
    if (last !== undefined) from = joined(last, new Uint8Array(1));
    return isLast;
  };
}

/** Messages for one group only follow it to its new id. */
function retarget(queue: number, index: number, targets: ReadonlyMap<number, number>): Task[] {
  const lane = (_view: OrderedView, value: Uint8Array): Uint8Array | null => {
    const message = decodeMessageRecord(value);
    const target = targets.get(message.target);
    return target === undefined ? null : encodeMessageRecord({ ...message, target });
  };
  const delayed = (_view: OrderedView, value: Uint8Array): Uint8Array | null => {
    const { message, ttlMs } = decodeDelayed(value);
    const target = targets.get(message.target);
    return target === undefined ? null : encodeDelayed({ ttlMs, message: { ...message, target } });
  };
  return [inPlace(keyOf(tables.message, queue, index), lane), inPlace(keyOf(tables.delayed, queue, index), delayed)];
}

function removal(prefix: Uint8Array): Task {
  return (view) => {
    const { isLast, rows } = firstRows(view, prefix, prefix);
    for (const [key] of rows) view.remove(key);
    return isLast;
  };
}

interface Rows {
  readonly rows: readonly (readonly [key: Uint8Array, value: Uint8Array])[];
  readonly isLast: boolean;
}

/** Rows below `prefix` from `from` on, as many as a step takes; copies, for they are about to be changed. */
function firstRows(view: OrderedView, prefix: Uint8Array, from: Uint8Array): Rows {
  const rows: (readonly [Uint8Array, Uint8Array])[] = [];
  let bytes = 0;
  let isLast = true;
  view.scan(from, keysEnd(prefix), (key, value) => {
    rows.push([key.slice(), value.slice()]);
    bytes += key.length + value.length;
    isLast = rows.length < rowsPerStep && (bytes < bytesPerStep || mutant("renewal-step-unbounded"));
    return isLast;
  });
  return { rows, isLast };
}

function scanAll(view: OrderedView, prefix: Uint8Array, visit: (key: Uint8Array, value: Uint8Array) => void): void {
  view.scan(prefix, keysEnd(prefix), (key, value) => {
    visit(key, value);
    return true;
  });
}

function stored(view: OrderedView, key: Uint8Array): Uint8Array {
  const value = view.get(key);
  if (value === undefined) throw new Error("a record that was there a moment ago is gone");
  return value;
}

function integerAt(view: OrderedView, key: Uint8Array): number {
  const value = view.get(key);
  return value === undefined ? 0 : (decodeIntegers(value, 1)[0] as number);
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
