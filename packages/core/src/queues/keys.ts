import { encodeUtf8, decodeUtf8 } from "@trivet/wire";
import { invariant } from "../kernel/assert.ts";

/**
 * First byte of every key. Append only; never reuse. What follows: integers as their length and big-endian bytes, so that keys compare as
 * the integers do; texts as two bytes of length and UTF-8, so that no text is the beginning of another.
 */
export const tables = {
  /** → group time, fence floor, number of callers, latest version, bytes of values, lease marker, rules. */
  meta: 1,
  /** queue → definition, or that it was dropped. */
  queue: 2,
  /** queue, partition → counters. */
  partition: 3,
  /** queue, partition, name → cursors and counters of a consumer group. */
  group: 4,
  /** queue, partition, lane, place → message. */
  message: 5,
  /** queue, partition, due time, sequence → message that is not ready yet. */
  delayed: 6,
  /** queue, partition, group, sequence → what a group knows of a message behind its cursor that it has not settled. */
  delivery: 7,
  /** queue, partition, group, lane, place → sequence: to be handed out (again). */
  again: 8,
  /** queue, partition, group, key → sequence of the only message of the key that may be handed out. */
  head: 9,
  /** queue, partition, group, key, place → sequence: waits for its key. */
  parked: 10,
  /** queue, consumer, partition, group, sequence → what a consumer holds: its place in the order of the hand-outs to the group. */
  consumer: 11,
  /** queue, partition, sequence, group → dead letter. */
  dead: 12,
  /** queue, partition, dedupe id → sequence and end. */
  dedupe: 13,
  /** queue, partition, key → number of the key's messages in each lane after the first. */
  keyLane: 14,
  /** time, kind, … → nothing: calendar deadlines of all queues (rule L3). */
  calendar: 15,
  /** lock → highest fence seen (rule K5). */
  fence: 16,
  /** kind, … → work that is done in bounded steps. */
  job: 17,
  /** caller → its record (rule X1). */
  caller: 18,
  /** caller, sequence → answer. */
  answer: 19,
  /** holder → incarnation (rule M1). */
  holder: 20,
  /** namespace → definition, or that it was dropped. */
  namespace: 21,
  /** namespace → entries, bytes. */
  namespaceUse: 22,
  /** namespace, key → cached value. */
  value: 23,
  /** namespace, tag, key → nothing. */
  tagged: 24,
  /** namespace, tag ("" = all) → version of the latest invalidation, for a while. */
  invalidated: 25,
  /** namespace → version below which loaders' tokens are refused. */
  tokenFloor: 26,
  /** namespace, bucket of keys → version of the latest removal. */
  removed: 27,
  /** end, namespace, key → version: values that are over at a time (rule L3). */
  valueEnd: 28,
  /** namespace, key → the latest write of it that its origin does not have (decision 0020). */
  outbox: 29,
  /** place, namespace, key → nothing: whose turn it is. */
  outboxTurn: 30,
  /** namespace → keys and bytes that wait for its origin. */
  outboxUse: 31,
} as const;
export type Table = (typeof tables)[keyof typeof tables];

/** Tables whose keys begin with the queue: what goes when it is dropped. The definition stays, as the mark that it was. */
export const queueTables: readonly Table[] = [
  tables.delivery,
  tables.message,
  tables.delayed,
  tables.again,
  tables.head,
  tables.parked,
  tables.consumer,
  tables.dead,
  tables.dedupe,
  tables.keyLane,
  tables.group,
  tables.partition,
];

/** The shortest value: where the key says everything. */
export const present: Uint8Array = new Uint8Array([1]);

type Part = number | string;

/** Keys are built here, then copied: room for the longest text and what else there is. */
const maxTextLength = 1024;
const scratch = new Uint8Array(16 * 1024);

/** The key of `parts` in `table`. A key of fewer parts is the beginning of all that go on with more. */
export function keyOf(table: Table, ...parts: readonly Part[]): Uint8Array {
  scratch[0] = table;
  let position = 1;
  for (const part of parts) {
    position = typeof part === "number" ? writeInteger(scratch, position, part) : writeText(scratch, position, part);
  }
  return scratch.slice(0, position);
}

/** The first key after all that begin with `prefix`. */
export function keysEnd(prefix: Uint8Array): Uint8Array {
  let last = prefix.length - 1;
  // Table numbers are small: some byte can always be raised.
  while (prefix[last] === 0xff) last--;
  const end = prefix.slice(0, last + 1);
  end[last] = (end[last] as number) + 1;
  return end;
}

/** The first key after `key`. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}

/** Reads the parts of a key in their order, after its table. */
export class KeyReader {
  private readonly key: Uint8Array;
  private position = 1;

  constructor(key: Uint8Array) {
    this.key = key;
  }

  integer(): number {
    const { key } = this;
    let left = key[this.position++] as number;
    let value = 0;
    for (; left > 0; left--) value = value * 0x100 + (key[this.position++] as number);
    return value;
  }

  text(): string {
    const { key, position } = this;
    const start = position + 2;
    const end = start + (((key[position] as number) << 8) | (key[position + 1] as number));
    this.position = end;
    return decodeUtf8(key.subarray(start, end));
  }
}

function integerBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x100; rest = Math.floor(rest / 0x100)) bytes++;
  return bytes;
}

/** Two bytes of length, then the text. */
function writeText(key: Uint8Array, position: number, text: string): number {
  invariant(text.length <= maxTextLength, "queue-key-text-short", () => `${text.length} characters`);
  const start = position + 2;
  let length = 0;
  for (; length < text.length; length++) {
    const code = text.charCodeAt(length);
    if (code > 0x7f) break;
    key[start + length] = code;
  }
  if (length < text.length) {
    const bytes = encodeUtf8(text);
    length = bytes.length;
    key.set(bytes, start);
  }
  key[position] = length >>> 8;
  key[position + 1] = length;
  return start + length;
}

function writeInteger(key: Uint8Array, position: number, value: number): number {
  const bytes = integerBytes(value);
  key[position] = bytes;
  let rest = value;
  for (let at = position + bytes; at > position; at--) {
    key[at] = rest % 0x100;
    rest = Math.floor(rest / 0x100);
  }
  return position + bytes + 1;
}
