import type { ByteReader, ByteWriter } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import { type DefineMode, type DefineQueue, type DeleteQueue, type SetPlacement, defineModes } from "./commands.ts";
import { decodeCount, decodeFlag, decodeIdentity, decodeIndexed, decodeName } from "./fields.ts";
import { limits } from "./limits.ts";
import type { QueueSettings } from "./queue-commands.ts";

/** The numbers of a queue's settings, by their bits in the mask of those present. Append only; the flag `paused` has its own bit. */
const settingBits = {
  partitions: 1,
  visibilityMs: 2,
  maxDeliveries: 4,
  maxAcquired: 8,
  backoffMs: 16,
  maxMessages: 32,
  maxBytes: 64,
  ttlMs: 128,
  dedupeWindowMs: 256,
  maxLeased: 512,
  ratePerSecond: 1024,
} as const satisfies Record<Exclude<keyof QueueSettings, "paused">, number>;
const numberSettings = Object.entries(settingBits) as readonly (readonly [keyof typeof settingBits, number])[];
const pausedBit = 2048;
const allBits = 4095;

const modeNumbers = Object.fromEntries(defineModes.map((mode, number) => [mode, number])) as Readonly<Record<DefineMode, number>>;

export function encodeDefineQueue(writer: ByteWriter, { name, mode, settings, principal }: DefineQueue): void {
  writer.string(name);
  writer.u8(modeNumbers[mode]);
  encodeQueueSettings(writer, settings);
  writer.string(principal);
}

/** Only those that are there. */
export function encodeQueueSettings(writer: ByteWriter, settings: Partial<QueueSettings>): void {
  const { paused } = settings;
  let mask = paused === undefined ? 0 : pausedBit;
  for (const [setting, bit] of numberSettings) if (settings[setting] !== undefined) mask |= bit;
  writer.varint(mask);
  for (const [setting] of numberSettings) {
    const value = settings[setting];
    if (value !== undefined) writer.varint(value);
  }
  if (paused !== undefined) writer.u8(paused ? 1 : 0);
}

/** Whether the values make a queue is for apply to say: it answers with what is wrong. */
export function decodeDefineQueue(reader: ByteReader): DefineQueue {
  const name = decodeName(reader);
  const mode = decodeIndexed(reader, defineModes, "mode of a definition");
  return { type: "define-queue", name, mode, settings: decodeQueueSettings(reader), principal: decodeIdentity(reader) };
}

export function decodeQueueSettings(reader: ByteReader): Partial<QueueSettings> {
  const mask = reader.varint(allBits);
  const settings: { -readonly [Setting in keyof QueueSettings]?: QueueSettings[Setting] } = {};
  for (const [setting, bit] of numberSettings) if ((mask & bit) !== 0) settings[setting] = reader.varint();
  if ((mask & pausedBit) !== 0) settings.paused = decodeFlag(reader);
  return settings;
}

export function encodeDeleteQueue(writer: ByteWriter, { name, principal }: DeleteQueue): void {
  writer.string(name);
  writer.string(principal);
}

export function decodeDeleteQueue(reader: ByteReader): DeleteQueue {
  return { type: "delete-queue", name: decodeName(reader), principal: decodeIdentity(reader) };
}

export function encodeSetPlacement(writer: ByteWriter, { epoch, replication, shards }: SetPlacement): void {
  if (shards.length > limits.maxShards) throw new CodecError(`${shards.length} shards`);
  writer.varint(epoch);
  writer.varint(replication);
  writer.varint(shards.length);
  for (const nodes of shards) {
    writer.varint(nodes.length);
    for (const node of nodes) writer.string(node);
  }
}

export function decodeSetPlacement(reader: ByteReader): SetPlacement {
  const epoch = reader.varint();
  const replication = reader.varint();
  const shards: string[][] = [];
  for (let left = reader.varint(limits.maxShards); left > 0; left--) {
    const nodes: string[] = [];
    for (let more = decodeCount(reader); more > 0; more--) nodes.push(decodeIdentity(reader));
    shards.push(nodes);
  }
  return { type: "set-placement", epoch, replication, shards };
}
