import { invariant } from "../kernel/assert.ts";
import { KeyReader, keyOf, keysEnd, tables } from "../queues/keys.ts";
import {
  type DeliveryRecord,
  type GroupRecord,
  type MessageRecord,
  decodeDelayed,
  decodeDelivery,
  decodeGroupRecord,
  decodeIntegers,
  decodeMessageRecord,
  decodePartitionRecord,
  emptyPartition,
} from "../queues/records.ts";
import type { OrderedView } from "../queues/store.ts";

/** A message in its lane. */
interface Standing {
  readonly lane: number;
  readonly place: number;
  readonly message: MessageRecord;
}

/**
 * Walks everything a shard's store holds of one partition and throws InvariantError where it contradicts itself. For tests and the
 * simulator: the work grows with the backlog. Not to be called while a dropped queue or a deleted group is being cleared.
 */
export function checkPartition(view: OrderedView, queue: number, index: number): void {
  const stored = view.get(keyOf(tables.partition, queue, index));
  const counters = stored === undefined ? emptyPartition(0) : decodePartitionRecord(stored);
  const messages = standing(view, queue, index);
  const delayed = pairs(view, keyOf(tables.delayed, queue, index)).map(({ value }) => decodeDelayed(value).message);
  const groups = pairs(view, keyOf(tables.group, queue, index)).map(({ value }) => decodeGroupRecord(value));
  const live = [...messages.map(({ message }) => message), ...delayed];
  equal("queue-count-messages", counters.messages, live.length);
  equal("queue-count-delayed", counters.delayed, delayed.length);
  equal("queue-count-bytes", counters.bytes, sum(live.map(({ body }) => body.length)));
  equal("queue-count-targeted", counters.targeted, live.filter(({ target }) => target !== 0).length);
  equal("queue-count-dead", counters.dead, pairs(view, keyOf(tables.dead, queue, index)).length);
  equal("queue-count-waiting", counters.waiting, groups.filter(({ waiting }) => waiting !== "nothing").length);
  equal("queue-count-low", counters.keyedLow, messages.filter(({ lane, message }) => lane > 0 && message.key !== "").length);
  const { acked, died, dropped, expired, messages: there, produced, purged, returned } = counters;
  equal("queue-conservation", there + acked + died + expired + purged + dropped, produced + returned);
  distinct(
    "queue-names-unique",
    live.map(({ sequence }) => sequence),
  );
  for (const { lane, place, message } of messages) {
    invariant(place < (counters.ends[lane] as number), "queue-lane-end", `place ${place} of lane ${lane}`);
    invariant(place < counters.next && message.sequence <= place, "queue-place-after-name", `${message.sequence} at ${place}`);
  }
  for (const group of groups) checkGroup(view, queue, index, group, messages, { produced: counters.produced, delayed: delayed.length });
}

/** Every group accounts for every message it was owed: none lost, none twice. */
function checkGroup(
  view: OrderedView,
  queue: number,
  index: number,
  group: GroupRecord,
  messages: readonly Standing[],
  totals: { readonly produced: number; readonly delayed: number },
): void {
  const deliveries = new Map<number, DeliveryRecord>();
  for (const { value } of pairs(view, keyOf(tables.delivery, queue, index, group.id))) {
    const delivery = decodeDelivery(value);
    deliveries.set(delivery.sequence, delivery);
  }
  let ready = 0;
  const byPlace = new Map(messages.map((standing) => [`${standing.lane}/${standing.place}`, standing]));
  for (const { lane, place, message } of messages) {
    if (message.target !== 0 && message.target !== group.id) continue;
    const isAhead = place >= (group.cursors[lane] as number);
    if (isAhead) ready++;
    invariant(!(isAhead && deliveries.has(message.sequence)), "queue-cursor-passed", `message ${message.sequence} of ${group.name}`);
  }
  for (const { sequence, lane, place } of deliveries.values()) {
    invariant(byPlace.get(`${lane}/${place}`)?.message.sequence === sequence, "queue-body-kept", `message ${sequence} of ${group.name}`);
  }
  const { found, producedBefore, redriven, settled, dead, expired, purged } = group;
  const owed = found + totals.produced - producedBefore + redriven;
  equal(`queue-conservation of ${group.name}`, settled + dead + expired + purged + ready + deliveries.size + totals.delayed, owed);
  checkSets(view, queue, index, group, deliveries);
}

function checkSets(
  view: OrderedView,
  queue: number,
  index: number,
  group: GroupRecord,
  deliveries: ReadonlyMap<number, DeliveryRecord>,
): void {
  const inState = (state: string): number[] => [...deliveries.values()].filter((d) => d.state === state).map((d) => d.sequence);
  const inTable = (table: 8 | 10): number[] =>
    pairs(view, keyOf(table, queue, index, group.id)).map(({ value }) => decodeIntegers(value, 1)[0] as number);
  equal("queue-count-leased", group.leased, inState("leased").length);
  // Hand-outs look only for as many as are counted.
  equal("queue-count-again", group.again, inState("again").length);
  sameMembers("queue-again-set", inTable(tables.again), inState("again"));
  sameMembers("queue-parked-set", inTable(tables.parked), inState("parked"));
  const heads = new Map<string, number>();
  for (const { key, value } of pairs(view, keyOf(tables.head, queue, index, group.id))) {
    const reader = new KeyReader(key);
    for (let skip = 3; skip > 0; skip--) reader.integer();
    heads.set(reader.text(), decodeIntegers(value, 1)[0] as number);
  }
  for (const delivery of deliveries.values()) {
    if (delivery.key === "") continue;
    const head = heads.get(delivery.key);
    // One message of a key at a time, and it is the oldest: all others of it are parked (rule Q1).
    invariant(
      (head === delivery.sequence) === (delivery.state !== "parked"),
      "queue-key-head",
      `message ${delivery.sequence} of ${group.name}`,
    );
    const ahead = deliveries.get(head ?? 0);
    invariant(ahead !== undefined && ahead.place <= delivery.place, "queue-key-order", `message ${delivery.sequence} of ${group.name}`);
  }
  for (const [key, head] of heads) invariant(deliveries.get(head)?.key === key, "queue-head-lives", `key ${key} of ${group.name}`);
}

function standing(view: OrderedView, queue: number, index: number): readonly Standing[] {
  return pairs(view, keyOf(tables.message, queue, index)).map(({ key, value }) => {
    const reader = new KeyReader(key);
    reader.integer();
    reader.integer();
    return { lane: reader.integer(), place: reader.integer(), message: decodeMessageRecord(value) };
  });
}

function pairs(view: OrderedView, prefix: Uint8Array): readonly { readonly key: Uint8Array; readonly value: Uint8Array }[] {
  const found: { readonly key: Uint8Array; readonly value: Uint8Array }[] = [];
  view.scan(prefix, keysEnd(prefix), (key, value) => {
    found.push({ key: key.slice(), value: value.slice() });
    return true;
  });
  return found;
}

function equal(name: string, counted: number, found: number): void {
  invariant(counted === found, name, `${counted} by the counters, ${found} in the store`);
}

function distinct(name: string, numbers: readonly number[]): void {
  invariant(new Set(numbers).size === numbers.length, name);
}

function sameMembers(name: string, a: readonly number[], b: readonly number[]): void {
  const [left, right] = [a, b].map((list) => [...list].sort((x, y) => x - y).join(" "));
  invariant(left === right, name, `${left} where ${right} is expected`);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
