import { mutant } from "#mutation";
import {
  ByteReader,
  ByteWriter,
  type CacheFlushed,
  CodecError,
  encodeUtf8,
  formOf,
  type NamespaceDefinition,
  type Packing,
  readForm,
  type ShardResult,
} from "@trivet/wire";
import type { ShardContext } from "../../queues/context.ts";
import { KeyReader, keyOf, keysEnd, present, tables } from "../../queues/keys.ts";
import { decodeIntegers, encodeIntegers } from "../../queues/records.ts";
import { namespaceOf } from "./namespaces.ts";
import { nextVersion, noteRemoval } from "./value-table.ts";

/**
 * Writes of this shard that their origins do not have yet (decision 0020): of each key the latest, with its value, as the value itself may end before it
 * is written there. Acknowledged, so it is part of the replicated state; only what the leader says of an origin takes it out.
 */
export interface QueuedWrite {
  readonly version: number;
  /** Group time of that version: with it, what origins compare (a shard's group time never goes back, nor do its versions). */
  readonly at: number;
  /** Group time since when the origin has been behind with this key. */
  readonly since: number;
  /** Null = deleted. */
  readonly value: Uint8Array | null;
  /** How `value` is compressed; left out = it is not, and origins get it so. */
  readonly packing?: Packing;
}
/** A value as it is stored. */
export type StoredBytes = Pick<QueuedWrite, "value" | "packing">;
export interface QueuedWriteOfKey extends QueuedWrite {
  readonly namespace: number;
  readonly key: string;
  /** Its turn: the version with which the key began to wait. A key that is written again and again keeps it. */
  readonly place: number;
}
type Stored = QueuedWrite & { readonly place: number };
export interface BacklogOfNamespace {
  readonly namespace: number;
  readonly keys: number;
  readonly bytes: number;
  /** Of the namespace's definition, as this shard has it: whoever knows an older one does not know where to. */
  readonly version: number;
}
export interface QueuedPage {
  /** In their turns. */
  readonly writes: readonly QueuedWriteOfKey[];
  /** To go on behind; 0 = those were all. */
  readonly next: number;
}

export interface QueuedBounds {
  /** Namespaces that are passed over. */
  readonly without: ReadonlySet<number>;
  readonly most: number;
  readonly mostBytes: number;
}

const recordVersion = 1;
/** Turns that one look goes through, those that are passed over included. */
const lookedAt = 4096;
const writer: ByteWriter = new ByteWriter(1024);

export function queuedWrite(shard: ShardContext, namespace: number, key: string): QueuedWrite | undefined {
  return stored(shard, namespace, key);
}

/** Puts the latest write of the key in the place of the one that waits. */
export function queueWrite(shard: ShardContext, namespace: number, key: string, version: number, { packing, value }: StoredBytes): void {
  shard.hasQueued = true;
  const bytes = packing === undefined ? { value } : { value, packing };
  const former = stored(shard, namespace, key);
  const { place, since } = former ?? { place: version, since: shard.now };
  put(shard, namespace, key, { version, at: shard.now, since, ...bytes, place }, former);
}

/** Null when one more write of the key may wait. What is there already makes room for what replaces it. */
export function backlogFull(
  shard: ShardContext,
  { maxBehind }: NamespaceDefinition,
  namespace: number,
  key: string,
  value: Uint8Array | null,
): ShardResult | null {
  if (mutant("behind-backlog-unbounded")) return null;
  const { behindBytes, behindKeys } = shard.limits;
  const former = stored(shard, namespace, key);
  const { bytes, keys } = backlogOf(shard, namespace);
  const mostKeys = maxBehind === 0 ? behindKeys : Math.min(maxBehind, behindKeys);
  if (former === undefined && keys >= mostKeys) return { type: "cache-full", limit: "behind", max: mostKeys };
  const more = weightQueued(key, value) - (former === undefined ? 0 : weightQueued(key, former.value));
  return more > 0 && bytes + more > behindBytes ? { type: "cache-full", limit: "behind", max: behindBytes } : null;
}

/** The origins have these versions, or newer ones that came from here. What was written since goes on waiting. */
export function flushed(shard: ShardContext, { values }: CacheFlushed): ShardResult {
  let count = 0;
  for (const { key, namespace, version } of values) {
    const found = stored(shard, namespace, key);
    if (found === undefined || found.version < version) continue;
    if (found.version > version && !mutant("behind-flush-of-another-version")) {
      // Its new turn is behind those that waited while this one was written: nobody starves beside a key that never rests.
      put(shard, namespace, key, { ...found, place: found.version, since: found.at }, found);
    } else {
      drop(shard, namespace, key, found);
    }
    // Who began to load before this may have read what the origin had before the write.
    if (!mutant("behind-flush-not-noted")) noteRemoval(shard, namespace, key, nextVersion(shard));
    count++;
  }
  return { type: "counted", count };
}

/** Writes that wait, from behind `after` (0 = from the first) until the bounds are reached; at least one, when there is one. */
export function queuedWrites(shard: ShardContext, after: number, { most, mostBytes, without }: QueuedBounds): QueuedPage {
  const writes: QueuedWriteOfKey[] = [];
  let [bytes, last, looked, next] = [0, 0, 0, 0];
  shard.view.scan(keyOf(tables.outboxTurn, after + 1), keysEnd(keyOf(tables.outboxTurn)), (turn) => {
    if (writes.length >= most || bytes >= mostBytes || looked >= lookedAt) {
      next = last;
      return false;
    }
    const reader = new KeyReader(turn);
    const [place, namespace, key] = [reader.integer(), reader.integer(), reader.text()];
    last = place;
    looked++;
    const found = without.has(namespace) ? undefined : stored(shard, namespace, key);
    if (found === undefined) return true;
    bytes += weightQueued(key, found.value);
    writes.push({ ...found, namespace, key, place });
    return true;
  });
  return { writes, next };
}

/** Of the first in turn. */
export function waitingSince(shard: ShardContext): number {
  let since = 0;
  const prefix = keyOf(tables.outboxTurn);
  shard.view.scan(prefix, keysEnd(prefix), (turn) => {
    const reader = new KeyReader(turn);
    reader.integer();
    since = stored(shard, reader.integer(), reader.text())?.since ?? 0;
    return false;
  });
  return since;
}

/** What waits of each namespace that something waits of. */
export function backlogs(shard: ShardContext): readonly BacklogOfNamespace[] {
  const found: BacklogOfNamespace[] = [];
  const prefix = keyOf(tables.outboxUse);
  shard.view.scan(prefix, keysEnd(prefix), (key, value) => {
    const [keys = 0, bytes = 0] = decodeIntegers(value, 2);
    const namespace = new KeyReader(key).integer();
    found.push({ namespace, keys, bytes, version: namespaceOf(shard, namespace)?.version ?? 0 });
    return true;
  });
  return found;
}

/** Of a namespace that is gone: one bounded step; true when nothing is left. */
export function clearQueued(shard: ShardContext, namespace: number): boolean {
  const names: string[] = [];
  const prefix = keyOf(tables.outbox, namespace);
  shard.view.scan(prefix, keysEnd(prefix), (key) => {
    const reader = new KeyReader(key);
    reader.integer();
    names.push(reader.text());
    return names.length < shard.limits.clearedPerEntry;
  });
  for (const key of names) {
    const found = stored(shard, namespace, key);
    if (found !== undefined) drop(shard, namespace, key, found);
  }
  return names.length < shard.limits.clearedPerEntry;
}

function stored(shard: ShardContext, namespace: number, key: string): Stored | undefined {
  const bytes = shard.view.get(keyOf(tables.outbox, namespace, key));
  return bytes === undefined ? undefined : decodeQueued(bytes);
}

/** The value is a copy. */
export function decodeQueued(bytes: Uint8Array): QueuedWrite & { readonly place: number } {
  const reader = new ByteReader(bytes);
  const found = reader.u8();
  if (found !== recordVersion) {
    const next = "start the version that wrote this store, or begin with an empty data directory";
    throw new CodecError(`a queued write of version ${found} where ${recordVersion} is expected; ${next}`);
  }
  const [version, place, at, since] = [reader.varint(), reader.varint(), reader.varint(), reader.varint()];
  const { isThere, ...packed } = readForm(reader.u8());
  return { version, place, at, since, value: isThere ? reader.raw(reader.remaining).slice() : null, ...packed };
}

function put(shard: ShardContext, namespace: number, key: string, record: Stored, former: Stored | undefined): void {
  if (former !== undefined) drop(shard, namespace, key, former);
  const { at, packing, place, since, value, version } = record;
  writer.reset();
  writer.u8(recordVersion);
  for (const number of [version, place, at, since]) writer.varint(number);
  writer.u8(formOf(value, packing));
  if (value !== null) writer.raw(value);
  shard.view.put(keyOf(tables.outbox, namespace, key), writer.finish());
  shard.view.put(keyOf(tables.outboxTurn, place, namespace, key), present);
  count(shard, namespace, 1, weightQueued(key, value));
}

function drop(shard: ShardContext, namespace: number, key: string, { place, value }: Stored): void {
  shard.view.remove(keyOf(tables.outbox, namespace, key));
  shard.view.remove(keyOf(tables.outboxTurn, place, namespace, key));
  count(shard, namespace, -1, -weightQueued(key, value));
}

function count(shard: ShardContext, namespace: number, keys: number, bytes: number): void {
  const use = backlogOf(shard, namespace);
  const key = keyOf(tables.outboxUse, namespace);
  if (use.keys + keys === 0) shard.view.remove(key);
  else shard.view.put(key, encodeIntegers(use.keys + keys, use.bytes + bytes));
}

function backlogOf(shard: ShardContext, namespace: number): { readonly keys: number; readonly bytes: number } {
  const bytes = shard.view.get(keyOf(tables.outboxUse, namespace));
  const [keys = 0, size = 0] = bytes === undefined ? [] : decodeIntegers(bytes, 2);
  return { keys, bytes: size };
}

/** Bytes that a waiting write takes, its key included. */
export function weightQueued(key: string, value: Uint8Array | null): number {
  return encodeUtf8(key).length + (value?.length ?? 0);
}
