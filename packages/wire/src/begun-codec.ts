import type { ByteReader, ByteWriter } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import { limits } from "./limits.ts";
import { type Begun, type ConsumerGone, maxBegun } from "./queue-commands.ts";

/** Of commands and of the stream. */
export function encodeBegun(writer: ByteWriter, { messages, partitions }: Begun): void {
  writer.varint(messages);
  writer.varint(partitions.length);
  for (const partition of partitions) writer.varint(partition);
}

/** One value has one encoding: partitions come in their order, each once. */
export function decodeBegun(reader: ByteReader): Begun {
  const messages = reader.varint(maxBegun);
  const partitions: number[] = [];
  for (let left = reader.varint(limits.maxPartitions); left > 0; left--) {
    const partition = reader.varint(limits.maxPartitions - 1);
    if (partition <= (partitions.at(-1) ?? -1)) throw new CodecError(`partition ${partition} out of order`);
    partitions.push(partition);
  }
  return { messages, partitions };
}

/** Without what was begun it is the command of before, under its number. */
export function encodeConsumerGone(writer: ByteWriter, { begun, consumer, queue }: ConsumerGone): void {
  writer.varint(queue);
  writer.string(consumer);
  if (begun !== null) encodeBegun(writer, begun);
}

export function decodeConsumerGone(reader: ByteReader, decode: (reader: ByteReader) => Begun | null): ConsumerGone {
  return { type: "consumer-gone", queue: reader.varint(), consumer: reader.string(limits.maxKeyBytes, 1), begun: decode(reader) };
}
