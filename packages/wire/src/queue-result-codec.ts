import { ByteReader, type ByteWriter } from "./bytes.ts";
import { decodeCacheResult, encodeCacheResult } from "./cache-result-codec.ts";
import { isCacheResult } from "./cache-results.ts";
import { CodecError } from "./codec-error.ts";
import { decodeFlag, decodeIndexed } from "./fields.ts";
import { limits } from "./limits.ts";
import { decodeHeaders, encodeHeaders } from "./queue-command-codec.ts";
import {
  type HandedOut,
  type ProducedMessage,
  type SettleOutcome,
  type ShardResult,
  settleOutcomes,
  shardResultNumbers,
} from "./queue-results.ts";
import { decodeResult } from "./result-codec.ts";
import type { Result } from "./results.ts";

const outcomeNumbers = Object.fromEntries(settleOutcomes.map((outcome, number) => [outcome, number])) as Readonly<
  Record<SettleOutcome, number>
>;
/** What can be full; numbers on the wire are places in this list, which only grows at its end. */
const fullThings = ["messages", "bytes"] as const;

/** Appends `result`: its number, then its fields. */
export function encodeShardResult(writer: ByteWriter, result: ShardResult): void {
  if (isCacheResult(result)) return encodeCacheResult(writer, result);
  writer.u8(shardResultNumbers[result.type]);
  switch (result.type) {
    case "produced":
      writer.varint(result.partition);
      writer.varint(result.messages.length);
      for (const { sequence, duplicate } of result.messages) {
        writer.varint(sequence);
        writer.u8(duplicate ? 1 : 0);
      }
      return;
    case "queue-full":
      writer.u8(fullThings.indexOf(result.limit));
      return writer.varint(result.max);
    case "handed-out":
      writer.varint(result.leaseMs);
      writer.u8(result.more ? 1 : 0);
      writer.varint(result.messages.length);
      for (const message of result.messages) encodeHandedOut(writer, message);
      return;
    case "settled":
      writer.varint(result.outcomes.length);
      for (const outcome of result.outcomes) writer.u8(outcomeNumbers[outcome]);
      return;
    case "not-configured":
      writer.varint(result.queue);
      return writer.varint(result.version);
    case "fence-behind":
      writer.string(result.lock);
      return writer.varint(result.highest);
    case "counted":
      return writer.varint(result.count);
    case "no-group":
      return writer.string(result.group);
  }
}

/** A shard's answer, as its apply encoded it: one of its own, or that the command was not for it. Bodies are copies. Throws CodecError. */
export function decodeShardAnswer(bytes: Uint8Array): ShardResult | Extract<Result, { readonly type: "malformed" | "refused" }> {
  const reader = new ByteReader(bytes);
  if ((bytes[0] ?? 0) >= firstShardResult) return decodeShardResult(reader);
  const result = decodeResult(reader);
  if (result.type === "malformed" || result.type === "refused") return result;
  throw new CodecError(`${result.type} as the answer of a shard`);
}

/** How many messages an answer hands out, without decoding them; 0 = it hands out none. */
export function handedOutBy(bytes: Uint8Array): number {
  if (bytes[0] !== shardResultNumbers["handed-out"]) return 0;
  const reader = new ByteReader(bytes, 1);
  reader.varint();
  reader.u8();
  return reader.varint();
}

/** Numbers of a shard's own results begin here; below are those that all groups have. */
const firstShardResult = 64;

/** Reads one result. Throws CodecError for an unknown type, a value out of bounds or bytes that end too early. */
export function decodeShardResult(reader: ByteReader): ShardResult {
  const number = reader.u8();
  switch (number) {
    case shardResultNumbers.produced: {
      const partition = reader.varint();
      const messages: ProducedMessage[] = [];
      for (let left = decodeCount(reader); left > 0; left--) messages.push({ sequence: reader.varint(), duplicate: decodeFlag(reader) });
      return { type: "produced", partition, messages };
    }
    case shardResultNumbers["queue-full"]:
      return { type: "queue-full", limit: decodeIndexed(reader, fullThings, "full thing"), max: reader.varint() };
    case shardResultNumbers["handed-out"]: {
      const leaseMs = reader.varint(limits.maxDurationMs);
      const more = decodeFlag(reader);
      const messages: HandedOut[] = [];
      for (let left = decodeCount(reader); left > 0; left--) messages.push(decodeHandedOut(reader));
      return { type: "handed-out", leaseMs, messages, more };
    }
    case shardResultNumbers.settled: {
      const outcomes: SettleOutcome[] = [];
      for (let left = decodeCount(reader); left > 0; left--) outcomes.push(decodeIndexed(reader, settleOutcomes, "outcome"));
      return { type: "settled", outcomes };
    }
    case shardResultNumbers["not-configured"]:
      return { type: "not-configured", queue: reader.varint(), version: reader.varint() };
    case shardResultNumbers["fence-behind"]:
      return { type: "fence-behind", lock: reader.string(limits.maxNameBytes), highest: reader.varint() };
    case shardResultNumbers.counted:
      return { type: "counted", count: reader.varint() };
    case shardResultNumbers["no-group"]:
      return { type: "no-group", group: reader.string(limits.maxKeyBytes) };
    default: {
      const result = decodeCacheResult(number, reader);
      if (result === null) throw new CodecError(`unknown shard result ${number}`);
      return result;
    }
  }
}

function encodeHandedOut(writer: ByteWriter, message: HandedOut): void {
  writer.varint(message.partition);
  writer.varint(message.sequence);
  writer.varint(message.acquired);
  writer.varint(message.incarnation);
  writer.varint(message.deliveries);
  writer.string(message.key);
  writer.u8(message.priority);
  writer.varint(message.producedAt);
  encodeHeaders(writer, message.headers);
  writer.bytes(message.body);
}

function decodeHandedOut(reader: ByteReader): HandedOut {
  return {
    partition: reader.varint(),
    sequence: reader.varint(),
    acquired: reader.varint(),
    incarnation: reader.varint(),
    deliveries: reader.varint(),
    key: reader.string(limits.maxKeyBytes),
    priority: reader.u8(),
    producedAt: reader.varint(),
    headers: decodeHeaders(reader),
    body: reader.bytes(limits.maxBodyBytes),
  };
}

function decodeCount(reader: ByteReader): number {
  const count = reader.varint();
  if (count > limits.maxMessagesPerCommand) throw new CodecError(`${count} where ${limits.maxMessagesPerCommand} are allowed at most`);
  return count;
}
