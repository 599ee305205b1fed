import { ByteReader, ByteWriter, CodecError, limits } from "@trivet/wire";
import { decodeBase64, encodeBase64 } from "../base/base64.ts";

/** One hand-out of one message to a group. */
export interface ReceiptParts {
  readonly queue: number;
  readonly partition: number;
  readonly sequence: number;
  readonly acquired: number;
  readonly group: string;
  /** Of the group, from 1. */
  readonly incarnation: number;
}
/** One message, for ever. */
export interface MessageName {
  readonly queue: number;
  readonly partition: number;
  readonly sequence: number;
}

/** First byte of every receipt. A change of the layout takes a new number. 1 did not tell groups of one name apart, and is not taken any more. */
const receiptVersion = 2;

/** A receipt as callers see it: one opaque word that fits into URLs. It is no secret, and grants nothing that its parts do not. */
export function formatReceipt({ queue, partition, sequence, acquired, group, incarnation }: ReceiptParts): string {
  const writer = new ByteWriter(32);
  writer.u8(receiptVersion);
  for (const number of [queue, partition, sequence, acquired, incarnation]) writer.varint(number);
  writer.string(group);
  return encodeBase64(writer.view()).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Null for anything that `formatReceipt` does not give. */
export function parseReceipt(text: string): ReceiptParts | null {
  if (text.length > maxReceiptLength || !/^[\w-]+$/.test(text)) return null;
  const padded = text.replaceAll("-", "+").replaceAll("_", "/") + "=".repeat((4 - (text.length % 4)) % 4);
  const bytes = decodeBase64(padded);
  const parts = bytes === null ? null : read(new ByteReader(bytes));
  // One receipt has one spelling.
  return parts !== null && formatReceipt(parts) === text ? parts : null;
}

/** Numbers of 8 bytes at most each. */
const maxReceiptLength = Math.ceil(((limits.maxKeyBytes + 48) * 4) / 3);

function read(reader: ByteReader): ReceiptParts | null {
  try {
    if (reader.u8() !== receiptVersion) return null;
    const [queue, partition, sequence] = [reader.varint(), reader.varint(), reader.varint()];
    const [acquired, incarnation] = [reader.varint(), reader.varint()];
    return incarnation === 0 ? null : { queue, partition, sequence, acquired, incarnation, group: reader.string(limits.maxKeyBytes) };
  } catch (error) {
    if (error instanceof CodecError) return null;
    throw error;
  }
}

export function formatMessageId({ queue, partition, sequence }: MessageName): string {
  return `${queue}-${partition}-${sequence}`;
}

/** Null for anything that `formatMessageId` does not give. */
export function parseMessageId(text: string): MessageName | null {
  const match = /^(0|[1-9]\d{0,15})-(0|[1-9]\d{0,3})-([1-9]\d{0,15})$/.exec(text);
  if (match === null) return null;
  const name = { queue: Number(match[1]), partition: Number(match[2]), sequence: Number(match[3]) };
  return Number.isSafeInteger(name.queue) && Number.isSafeInteger(name.sequence) ? name : null;
}
