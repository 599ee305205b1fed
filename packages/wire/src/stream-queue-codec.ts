import { decodeBegun, encodeBegun } from "./begun-codec.ts";
import { type ByteReader, ByteWriter } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import { decodeDuration, decodeFlag, decodeIndexed } from "./fields.ts";
import { limits } from "./limits.ts";
import {
  type AwaitQueue,
  type PlainClientFrame,
  type ConsumerBegun,
  type QueueReady,
  type QueueResolved,
  type ResolveQueue,
  type ServerFrame,
  type ShardRefused,
  type ShardResults,
  type WatchQueue,
  clientFrameNumbers,
  queueBackends,
  resolveRefusals,
  serverFrameNumbers,
} from "./stream-frames.ts";
import { decodeRefusedFields, encodeRefusedFields } from "./stream-refused.ts";
import { ShardResultsBuilder, ShardResultsCursor } from "./stream-results.ts";
import { clipText } from "./text.ts";

/** Frames of protocol 3 (queues). Called by stream-codec.ts alone, but for the hot paths. */

/** A command frame of a shard as a message: the hot path of a client. */
export function encodeShardCommandsFrame(group: number, frame: Uint8Array): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(frame.length + 8);
  writer.u8(clientFrameNumbers["shard-commands"]);
  writer.varint(group);
  writer.raw(frame);
  return writer.finish();
}

export function encodeQueueClientFields(writer: ByteWriter, frame: ResolveQueue | AwaitQueue | WatchQueue | ConsumerBegun): void {
  if (frame.type === "resolve-queue") {
    writer.varint(frame.request);
    writer.string(frame.name);
    writer.u8(frame.create ? 1 : 0);
    return;
  }
  if (frame.type === "await-queue") {
    writer.varint(frame.request);
    writer.string(frame.name);
    return writer.varint(frame.waitMs);
  }
  writer.varint(frame.queue);
  writer.string(frame.group);
  writer.string(frame.consumer);
  if (frame.type === "watch-queue") writer.u8(frame.on ? 1 : 0);
  else encodeBegun(writer, frame.begun);
}

export function decodeQueueClientFields(reader: ByteReader, number: number): PlainClientFrame {
  switch (number) {
    case clientFrameNumbers["resolve-queue"]:
      return { type: "resolve-queue", request: reader.varint(), name: reader.string(limits.maxNameBytes), create: decodeFlag(reader) };
    case clientFrameNumbers["await-queue"]:
      return { type: "await-queue", request: reader.varint(), name: reader.string(limits.maxNameBytes), waitMs: decodeDuration(reader) };
    case clientFrameNumbers["watch-queue"]:
      return {
        type: "watch-queue",
        queue: reader.varint(),
        group: reader.string(limits.maxKeyBytes),
        consumer: reader.string(limits.maxKeyBytes),
        on: decodeFlag(reader),
      };
    case clientFrameNumbers["consumer-begun"]:
      return {
        type: "consumer-begun",
        queue: reader.varint(),
        group: reader.string(limits.maxKeyBytes),
        consumer: reader.string(limits.maxKeyBytes),
        begun: decodeBegun(reader),
      };
    default:
      throw new CodecError(`unknown frame type ${number}`);
  }
}

export function encodeQueueServerFields(writer: ByteWriter, frame: ShardRefused | QueueResolved | QueueReady): void {
  switch (frame.type) {
    case "shard-refused":
      writer.varint(frame.group);
      return encodeRefusedFields(writer, frame);
    case "queue-resolved":
      writer.varint(frame.request);
      writer.varint(frame.queue);
      writer.varint(frame.version);
      writer.varint(frame.partitions);
      writer.varint(frame.shards);
      writer.u8(queueBackends.indexOf(frame.backend));
      writer.u8(resolveRefusals.indexOf(frame.refusal));
      return writer.string(clipText(frame.detail, limits.maxDetailBytes));
    case "queue-ready":
      writer.varint(frame.queue);
      writer.varint(frame.partition + 1);
      return writer.string(frame.group);
  }
}

export function decodeQueueServerFields(reader: ByteReader, number: number): ServerFrame {
  switch (number) {
    case serverFrameNumbers["shard-refused"]:
      return { type: "shard-refused", group: reader.varint(limits.maxShards), ...decodeRefusedFields(reader) };
    case serverFrameNumbers["queue-resolved"]:
      return {
        type: "queue-resolved",
        request: reader.varint(),
        queue: reader.varint(),
        version: reader.varint(),
        partitions: reader.varint(limits.maxPartitions),
        shards: reader.varint(limits.maxShards),
        backend: decodeIndexed(reader, queueBackends, "backend"),
        refusal: decodeIndexed(reader, resolveRefusals, "refusal"),
        detail: reader.string(limits.maxDetailBytes),
      };
    case serverFrameNumbers["queue-ready"]:
      return {
        type: "queue-ready",
        queue: reader.varint(),
        partition: reader.varint(limits.maxPartitions) - 1,
        group: reader.string(limits.maxKeyBytes),
      };
    default:
      throw new CodecError(`unknown frame type ${number}`);
  }
}

export function encodeShardResults(frame: ShardResults): Uint8Array<ArrayBuffer> {
  const builder = new ShardResultsBuilder();
  builder.begin(frame.group, frame.caller);
  for (const { sequence, bytes } of frame.results) builder.add(sequence, bytes);
  return builder.finish();
}

export function decodeShardResults(bytes: Uint8Array): ShardResults {
  const cursor = new ShardResultsCursor();
  cursor.open(bytes);
  const results: { sequence: number; bytes: Uint8Array }[] = [];
  while (cursor.next()) results.push({ sequence: cursor.sequence, bytes: cursor.bytes });
  return { type: "shard-results", group: cursor.group, caller: cursor.caller, results };
}
