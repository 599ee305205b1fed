import type { ByteReader } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import { limits } from "./limits.ts";

/** Fields that commands and results have in common. All throw CodecError for what no encoder wrote. */
export function decodeName(reader: ByteReader): string {
  return reader.string(limits.maxNameBytes, 1);
}

export function decodeIdentity(reader: ByteReader): string {
  return reader.string(limits.maxIdentityBytes);
}

export function decodeDuration(reader: ByteReader): number {
  return reader.varint(limits.maxDurationMs);
}

export function decodeFlag(reader: ByteReader): boolean {
  const value = reader.u8();
  if (value > 1) throw new CodecError(`${value} is neither true nor false`);
  return value === 1;
}

/** A value named by its place in an append-only list. */
export function decodeIndexed<T>(reader: ByteReader, list: readonly T[], what: string): T {
  const number = reader.u8();
  const value = list[number];
  if (value === undefined) throw new CodecError(`unknown ${what} ${number}`);
  return value;
}

/** Lists have no limit of their own: a count above the bytes that are left cannot be true, and must not cost memory. */
export function decodeCount(reader: ByteReader): number {
  const count = reader.varint();
  if (count > reader.remaining) throw new CodecError(`a list of ${count} in ${reader.remaining} bytes`);
  return count;
}

/** Of messages that one command of a queue concerns, on the way out and on the way in. */
export function checkedCount(count: number, least: number): number {
  if (count < least || count > limits.maxMessagesPerCommand) {
    throw new CodecError(`${count} where ${least} to ${limits.maxMessagesPerCommand} are allowed in one command`);
  }
  return count;
}
