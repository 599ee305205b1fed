import type { ByteReader, ByteWriter } from "./bytes.ts";
import { checkedCount } from "./fields.ts";
import { limits } from "./limits.ts";
import type { Redrive } from "./queue-commands.ts";

/** Whether it is bounded is said by its number. */
export function encodeRedrive(writer: ByteWriter, { limit, partition, queue, sequences }: Redrive): void {
  writer.varint(queue);
  writer.varint(partition);
  writer.varint(limit);
  writer.varint(checkedCount(sequences.length, 0));
  for (const sequence of sequences) writer.varint(sequence);
}

export function decodeRedrive(reader: ByteReader, bounded: boolean): Redrive {
  const queue = reader.varint();
  const partition = reader.varint(limits.maxPartitions - 1);
  const limit = reader.varint();
  const sequences: number[] = [];
  for (let left = checkedCount(reader.varint(), 0); left > 0; left--) sequences.push(reader.varint());
  return { type: "redrive", queue, partition, sequences, limit, bounded };
}
