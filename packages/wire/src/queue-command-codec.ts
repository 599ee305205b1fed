import { decodeBegun, decodeConsumerGone, encodeConsumerGone } from "./begun-codec.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { decodeCacheCommand, encodeCacheCommand } from "./cache-command-codec.ts";
import { isCacheCommand } from "./cache-commands.ts";
import { CodecError } from "./codec-error.ts";
import { checkedCount, decodeDuration, decodeFlag, decodeIndexed } from "./fields.ts";
import { limits } from "./limits.ts";
import {
  type Consume,
  type ExpireLeases,
  type GroupStart,
  type NewMessage,
  type Produce,
  type QueueDefinition,
  type Receipt,
  type Settle,
  type Settlement,
  type ShardCommand,
  formerShardCommandNumbers,
  settlements,
  shardCommandNumbers,
} from "./queue-commands.ts";
import { decodeRedrive, encodeRedrive } from "./redrive-codec.ts";
import { clipText } from "./text.ts";

const settlementNumbers = Object.fromEntries(settlements.map((settlement, number) => [settlement, number])) as Readonly<
  Record<Settlement, number>
>;

/** Which fields of a message differ from the usual and therefore follow. */
const keyFlag = 1;
const headersFlag = 2;
const priorityFlag = 4;
const delayFlag = 8;
const dueFlag = 16;
const ttlFlag = 32;
const dedupFlag = 64;

/** Priorities, 0 is handed out first. */
const lowestPriority = 3;
/** `delayMs` of a nack that leaves it to the queue: -1 travels as 0, all others one higher. */
const delayShift = 1;

/** Appends `command`: its number, then its fields. Throws CodecError for values that the format cannot carry. */
export function encodeShardCommand(writer: ByteWriter, command: ShardCommand): void {
  if (isCacheCommand(command)) return encodeCacheCommand(writer, command);
  writer.u8(numberOf(command));
  switch (command.type) {
    case "configure-queue":
      writer.varint(command.queue);
      return encodeDefinition(writer, command.definition);
    case "drop-queue":
      writer.varint(command.queue);
      return writer.varint(command.version);
    case "produce":
      return encodeProduce(writer, command);
    case "create-group":
      writer.varint(command.queue);
      writer.varint(command.partition);
      writer.string(command.group);
      return encodeStart(writer, command.start);
    case "delete-group":
      writer.varint(command.queue);
      writer.varint(command.partition);
      return writer.string(command.group);
    case "consume":
      return encodeConsume(writer, command);
    case "settle":
      return encodeSettle(writer, command);
    case "expire-leases":
      return encodeExpired(writer, command);
    case "consumer-gone":
      return encodeConsumerGone(writer, command);
    case "adopt-rules":
      return writer.varint(command.rules);
    case "purge-queue":
      writer.varint(command.queue);
      writer.varint(command.partition);
      return writer.u8(command.dead ? 1 : 0);
    case "redrive":
      return encodeRedrive(writer, command);
    case "raise-fence":
      writer.string(command.lock);
      return writer.varint(command.fence);
    case "fence-floor":
      return writer.varint(command.fence);
  }
}

/** Reads one command. Throws CodecError for an unknown type, a value out of bounds or bytes that end too early. */
export function decodeShardCommand(reader: ByteReader): ShardCommand {
  const number = reader.u8();
  switch (number) {
    case shardCommandNumbers["configure-queue"]:
      return { type: "configure-queue", queue: reader.varint(), definition: decodeDefinition(reader) };
    case shardCommandNumbers["drop-queue"]:
      return { type: "drop-queue", queue: reader.varint(), version: reader.varint() };
    case shardCommandNumbers.produce:
      return decodeProduce(reader);
    case shardCommandNumbers["create-group"]:
      return {
        type: "create-group",
        queue: reader.varint(),
        partition: decodePartition(reader),
        group: decodeGroup(reader),
        start: decodeStart(reader),
      };
    case shardCommandNumbers["delete-group"]:
      return { type: "delete-group", queue: reader.varint(), partition: decodePartition(reader), group: decodeGroup(reader) };
    case shardCommandNumbers.consume:
      return decodeConsume(reader);
    case shardCommandNumbers.settle:
      return decodeSettle(reader, decodeReceipt);
    case formerShardCommandNumbers.settle:
      return decodeSettle(reader, decodeFormerReceipt);
    case shardCommandNumbers["expire-leases"]:
      return decodeExpired(reader, decodeReceipt);
    case formerShardCommandNumbers["expire-leases"]:
      return decodeExpired(reader, decodeFormerReceipt);
    case shardCommandNumbers["consumer-gone"]:
      return decodeConsumerGone(reader, decodeBegun);
    case formerShardCommandNumbers["consumer-gone"]:
      return decodeConsumerGone(reader, () => null);
    case shardCommandNumbers["adopt-rules"]:
      return { type: "adopt-rules", rules: unusual(reader.varint()) };
    case shardCommandNumbers["purge-queue"]:
      return { type: "purge-queue", queue: reader.varint(), partition: decodePartition(reader), dead: decodeFlag(reader) };
    case shardCommandNumbers.redrive:
      return decodeRedrive(reader, true);
    case formerShardCommandNumbers.redrive:
      return decodeRedrive(reader, false);
    case shardCommandNumbers["raise-fence"]:
      return { type: "raise-fence", lock: reader.string(limits.maxNameBytes, 1), fence: reader.varint() };
    case shardCommandNumbers["fence-floor"]:
      return { type: "fence-floor", fence: reader.varint() };
    default: {
      const command = decodeCacheCommand(number, reader);
      if (command === null) throw new CodecError(`unknown shard command ${number}`);
      return command;
    }
  }
}

/** One command has one encoding: that of before where no receipt says an incarnation, a redrive has no bound, or nothing is said of what was begun. */
function numberOf(command: ShardCommand): number {
  if (command.type === "consumer-gone" && command.begun === null) return formerShardCommandNumbers["consumer-gone"];
  if (command.type === "settle" && command.receipts.every(isFormer)) return formerShardCommandNumbers.settle;
  if (command.type === "expire-leases" && command.leases.every(({ receipt }) => isFormer(receipt)))
    return formerShardCommandNumbers["expire-leases"];
  if (command.type === "redrive" && !command.bounded) return formerShardCommandNumbers.redrive;
  return shardCommandNumbers[command.type];
}

export function encodeDefinition(writer: ByteWriter, definition: QueueDefinition): void {
  writer.string(definition.name);
  writer.varint(definition.version);
  writer.varint(definition.partitions);
  writer.varint(definition.visibilityMs);
  writer.varint(definition.maxDeliveries);
  writer.varint(definition.maxAcquired);
  writer.varint(definition.backoffMs);
  writer.varint(definition.maxMessages);
  writer.varint(definition.maxBytes);
  writer.varint(definition.ttlMs);
  writer.varint(definition.dedupeWindowMs);
  writer.varint(definition.maxLeased);
  writer.varint(definition.ratePerSecond);
  writer.u8(definition.paused ? 1 : 0);
}

export function decodeDefinition(reader: ByteReader): QueueDefinition {
  const name = reader.string(limits.maxNameBytes, 1);
  const version = reader.varint();
  const partitions = reader.varint(limits.maxPartitions);
  if (partitions === 0) throw new CodecError("a queue without partitions");
  return {
    name,
    version,
    partitions,
    visibilityMs: decodeDuration(reader),
    maxDeliveries: reader.varint(),
    maxAcquired: reader.varint(),
    backoffMs: decodeDuration(reader),
    maxMessages: reader.varint(),
    maxBytes: reader.varint(),
    ttlMs: reader.varint(),
    dedupeWindowMs: reader.varint(),
    maxLeased: reader.varint(),
    ratePerSecond: reader.varint(),
    paused: decodeFlag(reader),
  };
}

function encodeProduce(writer: ByteWriter, { queue, partition, version, messages, ifFence }: Produce): void {
  writer.varint(queue);
  writer.varint(partition);
  writer.varint(version);
  writer.u8(ifFence === null ? 0 : 1);
  if (ifFence !== null) {
    writer.string(ifFence.lock);
    writer.varint(ifFence.fence);
  }
  writer.varint(checkedCount(messages.length, 1));
  for (const message of messages) encodeMessage(writer, message);
}

function decodeProduce(reader: ByteReader): Produce {
  const queue = reader.varint();
  const partition = decodePartition(reader);
  const version = reader.varint();
  const ifFence = decodeFlag(reader) ? { lock: reader.string(limits.maxNameBytes, 1), fence: reader.varint() } : null;
  const messages: NewMessage[] = [];
  for (let left = decodeCount(reader, 1); left > 0; left--) messages.push(decodeMessage(reader));
  return { type: "produce", queue, partition, version, messages, ifFence };
}

function encodeMessage(writer: ByteWriter, message: NewMessage): void {
  const { key, headers, priority, delayMs, dueAt, ttlMs, dedupId, body } = message;
  writer.u8(
    (key === "" ? 0 : keyFlag) |
      (headers.length === 0 ? 0 : headersFlag) |
      (priority === 0 ? 0 : priorityFlag) |
      (delayMs === 0 ? 0 : delayFlag) |
      (dueAt === 0 ? 0 : dueFlag) |
      (ttlMs === 0 ? 0 : ttlFlag) |
      (dedupId === "" ? 0 : dedupFlag),
  );
  if (key !== "") writer.string(key);
  if (headers.length > 0) encodeHeaders(writer, headers);
  if (priority !== 0) writer.u8(priority);
  if (delayMs !== 0) writer.varint(delayMs);
  if (dueAt !== 0) writer.varint(dueAt);
  if (ttlMs !== 0) writer.varint(ttlMs);
  if (dedupId !== "") writer.string(dedupId);
  writer.bytes(body);
}

function decodeMessage(reader: ByteReader): NewMessage {
  const flags = reader.u8();
  if (flags > 127) throw new CodecError(`unknown fields of a message: ${flags}`);
  const key = (flags & keyFlag) === 0 ? "" : reader.string(limits.maxKeyBytes, 1);
  const headers = (flags & headersFlag) === 0 ? [] : decodeHeaders(reader);
  const priority = (flags & priorityFlag) === 0 ? 0 : unusual(reader.u8());
  if (priority > lowestPriority) throw new CodecError(`priority ${priority}; the lowest is ${lowestPriority}`);
  const delayMs = (flags & delayFlag) === 0 ? 0 : unusual(decodeDuration(reader));
  const dueAt = (flags & dueFlag) === 0 ? 0 : unusual(reader.varint());
  const ttlMs = (flags & ttlFlag) === 0 ? 0 : unusual(reader.varint());
  const dedupId = (flags & dedupFlag) === 0 ? "" : reader.string(limits.maxKeyBytes, 1);
  if ((flags & headersFlag) !== 0) unusual(headers.length);
  return { key, headers, priority, delayMs, dueAt, ttlMs, dedupId, body: reader.bytes(limits.maxBodyBytes) };
}

/** One value has one encoding: what is usual must not be written out. */
function unusual(value: number): number {
  if (value === 0) throw new CodecError("a field that says nothing");
  return value;
}

/** Also used by the results. */
export function encodeHeaders(writer: ByteWriter, headers: NewMessage["headers"]): void {
  if (headers.length > limits.maxHeadersPerMessage) throw new CodecError(`${headers.length} headers of a message`);
  writer.u8(headers.length);
  for (const [name, value] of headers) {
    writer.string(name);
    writer.string(value);
  }
}

export function decodeHeaders(reader: ByteReader): NewMessage["headers"] {
  const count = reader.u8();
  if (count > limits.maxHeadersPerMessage) throw new CodecError(`${count} headers where ${limits.maxHeadersPerMessage} are allowed`);
  const headers: [string, string][] = [];
  for (let left = count; left > 0; left--) headers.push([reader.string(limits.maxHeaderBytes, 1), reader.string(limits.maxHeaderBytes)]);
  return headers;
}

function encodeStart(writer: ByteWriter, start: GroupStart): void {
  writer.u8(start.type === "earliest" ? 0 : 1);
}

function decodeStart(reader: ByteReader): GroupStart {
  return decodeFlag(reader) ? { type: "latest" } : { type: "earliest" };
}

function encodeConsume(writer: ByteWriter, command: Consume): void {
  writer.varint(command.queue);
  writer.varint(command.partition);
  writer.string(command.group);
  writer.string(command.consumer);
  writer.varint(command.maxMessages);
  writer.varint(command.maxBytes);
  writer.varint(command.visibilityMs);
  writer.u8(command.autoAck ? 1 : 0);
  encodeStart(writer, command.start);
}

function decodeConsume(reader: ByteReader): Consume {
  return {
    type: "consume",
    queue: reader.varint(),
    partition: decodePartition(reader),
    group: decodeGroup(reader),
    consumer: reader.string(limits.maxKeyBytes),
    maxMessages: decodeCount(reader, 1),
    maxBytes: reader.varint(),
    visibilityMs: decodeDuration(reader),
    autoAck: decodeFlag(reader),
    start: decodeStart(reader),
  };
}

function encodeSettle(writer: ByteWriter, command: Settle): void {
  writer.varint(command.queue);
  writer.string(command.group);
  writer.u8(settlementNumbers[command.settlement]);
  writer.varint(command.delayMs + delayShift);
  writer.string(clipText(command.reason, limits.maxDetailBytes));
  writer.varint(checkedCount(command.receipts.length, 1));
  const former = command.receipts.every(isFormer);
  for (const receipt of command.receipts) encodeReceipt(writer, receipt, former);
}

function decodeSettle(reader: ByteReader, decode: (reader: ByteReader) => Receipt): Settle {
  const queue = reader.varint();
  const group = decodeGroup(reader);
  const settlement = decodeIndexed(reader, settlements, "settlement");
  const delayMs = reader.varint(limits.maxDurationMs + delayShift) - delayShift;
  const reason = reader.string(limits.maxDetailBytes);
  const receipts: Receipt[] = [];
  for (let left = decodeCount(reader, 1); left > 0; left--) receipts.push(decode(reader));
  return { type: "settle", queue, group, settlement, delayMs, reason, receipts };
}

function encodeExpired(writer: ByteWriter, { leases }: ExpireLeases): void {
  writer.varint(checkedCount(leases.length, 1));
  const former = leases.every(({ receipt }) => isFormer(receipt));
  for (const { queue, group, receipt, extended } of leases) {
    writer.varint(queue);
    writer.string(group);
    encodeReceipt(writer, receipt, former);
    writer.varint(extended);
  }
}

function decodeExpired(reader: ByteReader, decode: (reader: ByteReader) => Receipt): ExpireLeases {
  const leases: ExpireLeases["leases"][number][] = [];
  for (let left = decodeCount(reader, 1); left > 0; left--) {
    const [queue, group, receipt] = [reader.varint(), decodeGroup(reader), decode(reader)];
    leases.push({ queue, group, receipt, extended: reader.varint() });
  }
  return { type: "expire-leases", leases };
}

function isFormer({ incarnation }: Receipt): boolean {
  return incarnation === 0;
}

function encodeReceipt(writer: ByteWriter, { partition, sequence, acquired, incarnation }: Receipt, former: boolean): void {
  writer.varint(partition);
  writer.varint(sequence);
  writer.varint(acquired);
  if (!former) writer.varint(incarnation);
}

function decodeFormerReceipt(reader: ByteReader): Receipt {
  return { partition: decodePartition(reader), sequence: reader.varint(), acquired: reader.varint(), incarnation: 0 };
}

function decodeReceipt(reader: ByteReader): Receipt {
  return { ...decodeFormerReceipt(reader), incarnation: unusual(reader.varint()) };
}

function decodePartition(reader: ByteReader): number {
  return reader.varint(limits.maxPartitions - 1);
}

function decodeGroup(reader: ByteReader): string {
  return reader.string(limits.maxKeyBytes);
}

function decodeCount(reader: ByteReader, least: number): number {
  return checkedCount(reader.varint(), least);
}
