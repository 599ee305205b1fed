import { ByteReader, ByteWriter, CodecError, type NewMessage, limits } from "@trivet/wire";
import { invariant } from "../kernel/assert.ts";
import { laneCount } from "./limits.ts";

/** First byte of every value. A change of a record's fields takes a new number. */
const recordVersion = 1;
/** Of a partition's own record: since 2 it tells how its messages left it. */
const partitionVersion = 2;
/** Since a group counts what is to be handed out again. */
const groupVersion = 2;

/** Of what a group knows of a message: since 2 it may tell how often it was given back. Where it never was, what is stored is that of before. */
const deliveryVersion = 2;

/** A message in its lane; `sequence` names it, its place orders it. */
export interface MessageRecord {
  readonly sequence: number;
  readonly priority: number;
  readonly producedAt: number;
  /** Group time from which it is over; 0 = never. */
  readonly expiresAt: number;
  /** The only group that it is for; 0 = all. */
  readonly target: number;
  readonly key: string;
  readonly headers: NewMessage["headers"];
  readonly body: Uint8Array;
}

/** Not ready yet. Its time to live begins when it is. */
export interface DelayedRecord {
  readonly ttlMs: number;
  readonly message: MessageRecord;
}

export interface PartitionRecord {
  /** The next sequence or place: both are drawn from one counter, so one number never names two things. */
  next: number;
  /** Messages accepted so far, those of one group only (`target`) left out. */
  produced: number;
  /** In lanes or delayed. */
  messages: number;
  bytes: number;
  delayed: number;
  /** Messages for one group only. */
  targeted: number;
  /** Dead letters there are. */
  dead: number;
  /** Dead letters that went back to one of several groups; others count as produced again. */
  returned: number;
  /** How messages left: as the last group that needed them was done with them, or as all were at once. */
  acked: number;
  died: number;
  expired: number;
  purged: number;
  /** With the group that alone had still to settle them. */
  dropped: number;
  nextGroup: number;
  /** Groups that want to be told when something is ready. */
  waiting: number;
  /** Keyed messages in lanes other than the first. */
  keyedLow: number;
  /** By lane: what lies at or above it holds no message. */
  readonly ends: number[];
  /** Thousandths of hand-outs that the rate allows, as of `tokensAt`. */
  tokens: number;
  tokensAt: number;
}

/** What a group waits for; only then it is told. */
export const waitings = ["nothing", "messages", "leases", "queue"] as const;
export type Waiting = (typeof waitings)[number];

export interface GroupRecord {
  /** From 1, never given again in the partition: what tells groups of one name apart. */
  readonly id: number;
  readonly name: string;
  /** By lane: the first place not looked at. */
  readonly cursors: number[];
  leased: number;
  /** Deliveries to be handed out again. */
  again: number;
  /** Hand-outs so far. */
  grants: number;
  waiting: Waiting;
  /** Messages that were there for it at its creation, and how many the partition had accepted then. */
  readonly found: number;
  readonly producedBefore: number;
  /** Messages that came back for it alone. */
  redriven: number;
  settled: number;
  dead: number;
  expired: number;
  purged: number;
}

export const deliveryStates = ["leased", "again", "parked", "later"] as const;
export type DeliveryState = (typeof deliveryStates)[number];

/** What a group knows of a message behind its cursor that it has not settled. */
export interface DeliveryRecord {
  readonly sequence: number;
  /** "unknown" = not stored: the group hears of the message now. */
  state: DeliveryState | "unknown";
  readonly lane: number;
  readonly place: number;
  /** Stored bytes, and those of the body alone. */
  readonly weight: number;
  readonly size: number;
  readonly expiresAt: number;
  readonly targeted: boolean;
  readonly key: string;
  acquired: number;
  /** Of these hand-outs, those that ended unharmed: given back, or lost before they were begun. They count towards no limit. */
  released: number;
  deliveries: number;
  consumer: string;
  leaseMs: number;
  /** Extensions of the present hand-out. */
  extended: number;
  /** Group time of the retry, in the state `later`. */
  until: number;
}

export interface DeadRecord {
  readonly group: string;
  readonly reason: string;
  readonly acquired: number;
  readonly deliveries: number;
  readonly diedAt: number;
  readonly message: MessageRecord;
}

const writer: ByteWriter = new ByteWriter(1024);

function begin(version: number = recordVersion): ByteWriter {
  writer.reset();
  writer.u8(version);
  return writer;
}

function read(bytes: Uint8Array, expected: number = recordVersion): ByteReader {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== expected) {
    const next = "start the version that wrote this store, or begin with an empty data directory";
    throw new CodecError(`a record of version ${version} where ${expected} is expected; ${next}`);
  }
  return reader;
}

export function encodeMessageRecord(message: MessageRecord): Uint8Array {
  begin();
  writeMessage(message);
  return writer.finish();
}

/** The body is a copy. */
export function decodeMessageRecord(bytes: Uint8Array): MessageRecord {
  return readMessage(read(bytes));
}

export function encodeDelayed({ ttlMs, message }: DelayedRecord): Uint8Array {
  begin().varint(ttlMs);
  writeMessage(message);
  return writer.finish();
}

export function decodeDelayed(bytes: Uint8Array): DelayedRecord {
  const reader = read(bytes);
  return { ttlMs: reader.varint(), message: readMessage(reader) };
}

export function encodeDead(dead: DeadRecord): Uint8Array {
  begin();
  writer.string(dead.group);
  writer.string(dead.reason);
  writer.varint(dead.acquired);
  writer.varint(dead.deliveries);
  writer.varint(dead.diedAt);
  writeMessage(dead.message);
  return writer.finish();
}

export function decodeDead(bytes: Uint8Array): DeadRecord {
  const reader = read(bytes);
  return {
    group: reader.string(limits.maxKeyBytes),
    reason: reader.string(limits.maxDetailBytes),
    acquired: reader.varint(),
    deliveries: reader.varint(),
    diedAt: reader.varint(),
    message: readMessage(reader),
  };
}

function writeMessage(message: MessageRecord): void {
  writer.varint(message.sequence);
  writer.u8(message.priority);
  writer.varint(message.producedAt);
  writer.varint(message.expiresAt);
  writer.varint(message.target);
  writer.string(message.key);
  writer.u8(message.headers.length);
  for (const [name, value] of message.headers) {
    writer.string(name);
    writer.string(value);
  }
  writer.bytes(message.body);
}

function readMessage(reader: ByteReader): MessageRecord {
  const sequence = reader.varint();
  const priority = reader.u8();
  const producedAt = reader.varint();
  const expiresAt = reader.varint();
  const target = reader.varint();
  const key = reader.string(limits.maxKeyBytes);
  const headers: [string, string][] = [];
  for (let left = reader.u8(); left > 0; left--) headers.push([reader.string(limits.maxHeaderBytes), reader.string(limits.maxHeaderBytes)]);
  return { sequence, priority, producedAt, expiresAt, target, key, headers, body: reader.bytes(limits.maxBodyBytes).slice() };
}

export function emptyPartition(now: number): PartitionRecord {
  const none = { produced: 0, messages: 0, bytes: 0, delayed: 0, targeted: 0, dead: 0, returned: 0 };
  const left = { acked: 0, died: 0, expired: 0, purged: 0, dropped: 0 };
  const ends = Array.from({ length: laneCount }, () => 0);
  return { next: 1, ...none, ...left, nextGroup: 1, waiting: 0, keyedLow: 0, ends, tokens: 0, tokensAt: now };
}

const partitionFields = [
  "next",
  "produced",
  "messages",
  "bytes",
  "delayed",
  "targeted",
  "dead",
  "returned",
  "acked",
  "died",
  "expired",
  "purged",
  "dropped",
  "nextGroup",
  "waiting",
  "keyedLow",
  "tokens",
  "tokensAt",
] as const satisfies readonly Exclude<keyof PartitionRecord, "ends">[];

export function encodePartition(partition: PartitionRecord): Uint8Array {
  begin(partitionVersion);
  for (const field of partitionFields) writer.varint(partition[field]);
  for (const end of partition.ends) writer.varint(end);
  return writer.finish();
}

export function decodePartitionRecord(bytes: Uint8Array): PartitionRecord {
  const reader = read(bytes, partitionVersion);
  const partition = emptyPartition(0);
  for (const field of partitionFields) partition[field] = reader.varint();
  for (let lane = 0; lane < laneCount; lane++) partition.ends[lane] = reader.varint();
  return partition;
}

export function encodeGroup(group: GroupRecord): Uint8Array {
  begin(groupVersion);
  writer.varint(group.id);
  writer.string(group.name);
  for (const cursor of group.cursors) writer.varint(cursor);
  writer.varint(group.leased);
  writer.varint(group.again);
  writer.varint(group.grants);
  writer.u8(waitings.indexOf(group.waiting));
  writer.varint(group.found);
  writer.varint(group.producedBefore);
  writer.varint(group.redriven);
  writer.varint(group.settled);
  writer.varint(group.dead);
  writer.varint(group.expired);
  writer.varint(group.purged);
  return writer.finish();
}

export function decodeGroupRecord(bytes: Uint8Array): GroupRecord {
  const reader = read(bytes, groupVersion);
  const id = reader.varint();
  const name = reader.string(limits.maxKeyBytes);
  const cursors = Array.from({ length: laneCount }, () => reader.varint());
  return {
    id,
    name,
    cursors,
    leased: reader.varint(),
    again: reader.varint(),
    grants: reader.varint(),
    waiting: oneOf(waitings, reader.u8()),
    found: reader.varint(),
    producedBefore: reader.varint(),
    redriven: reader.varint(),
    settled: reader.varint(),
    dead: reader.varint(),
    expired: reader.varint(),
    purged: reader.varint(),
  };
}

export function encodeDelivery(delivery: DeliveryRecord): Uint8Array {
  const { released } = delivery;
  begin(released > 0 ? deliveryVersion : recordVersion);
  if (released > 0) writer.varint(released);
  writer.varint(delivery.sequence);
  invariant(delivery.state !== "unknown", "queue-delivery-stored-with-state");
  writer.u8(deliveryStates.indexOf(delivery.state));
  writer.u8(delivery.lane);
  writer.varint(delivery.place);
  writer.varint(delivery.weight);
  writer.varint(delivery.size);
  writer.varint(delivery.expiresAt);
  writer.u8(delivery.targeted ? 1 : 0);
  writer.string(delivery.key);
  writer.varint(delivery.acquired);
  writer.varint(delivery.deliveries);
  writer.string(delivery.consumer);
  writer.varint(delivery.leaseMs);
  writer.varint(delivery.extended);
  writer.varint(delivery.until);
  return writer.finish();
}

export function decodeDelivery(bytes: Uint8Array): DeliveryRecord {
  const isPlain = bytes[0] === recordVersion;
  const reader = read(bytes, isPlain ? recordVersion : deliveryVersion);
  const released = isPlain ? 0 : reader.varint();
  return {
    released,
    sequence: reader.varint(),
    state: oneOf(deliveryStates, reader.u8()),
    lane: reader.u8(),
    place: reader.varint(),
    weight: reader.varint(),
    size: reader.varint(),
    expiresAt: reader.varint(),
    targeted: reader.u8() === 1,
    key: reader.string(limits.maxKeyBytes),
    acquired: reader.varint(),
    deliveries: reader.varint(),
    consumer: reader.string(limits.maxKeyBytes),
    leaseMs: reader.varint(),
    extended: reader.varint(),
    until: reader.varint(),
  };
}

/** Several integers, as small records are. */
export function encodeIntegers(...values: readonly number[]): Uint8Array {
  begin();
  for (const value of values) writer.varint(value);
  return writer.finish();
}

export function decodeIntegers(bytes: Uint8Array, count: number): number[] {
  const reader = read(bytes);
  return Array.from({ length: count }, () => reader.varint());
}

function oneOf<T>(list: readonly T[], number: number): T {
  const item = list[number];
  if (item === undefined) throw new CodecError(`${number} where one of ${list.length} is expected`);
  return item;
}
