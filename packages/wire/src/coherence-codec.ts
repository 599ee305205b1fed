import type { ByteReader, ByteWriter } from "./bytes.ts";
import { decodeTags, encodeTags } from "./cache-command-codec.ts";
import { CodecError } from "./codec-error.ts";
import {
  type CachedRecord,
  grants,
  type HolderMessage,
  holderMessageNumbers,
  type HomeMessage,
  homeMessageNumbers,
  leaseRefusals,
  type LineName,
  type Scope,
  type WriteOutcome,
} from "./coherence-messages.ts";
import { decodeDuration, decodeFlag, decodeIndexed } from "./fields.ts";
import { limits } from "./limits.ts";
import { formOf, readForm } from "./value-form.ts";

/** A namespace, what parts it from the key, and the key. */
const maxLineBytes = limits.maxNameBytes + 1 + limits.maxCacheKeyBytes;
/** Numbers on the wire are places in this list, which only grows at its end. */
const scopeTypes = ["line", "namespace", "everything"] as const satisfies readonly Scope["type"][];

/** Appends `message`: its number, term and incarnation, then its fields. Throws CodecError for values that the format cannot carry. */
export function encodeHolderMessage(writer: ByteWriter, message: HolderMessage): void {
  writer.u8(holderMessageNumbers[message.type]);
  writer.varint(message.term);
  writer.varint(message.incarnation);
  switch (message.type) {
    case "renew":
      writer.varint(message.request);
      return writer.varint(message.processed);
    case "fetch":
      writer.string(message.line);
      writer.varint(message.txn);
      return writer.u8(message.confirmed ? 1 : 0);
    case "write":
      writer.string(message.line);
      writer.varint(message.txn);
      writer.u8(message.keep ? 1 : 0);
      return writer.bytes(message.command);
    case "inv-ack":
      return writer.varint(message.sequence);
    case "evict":
      writer.string(message.line);
      return writer.varint(message.fill);
    case "read":
      writer.string(message.line);
      return writer.varint(message.txn);
    case "flush-ack":
    case "leave":
  }
}

/** Reads one message. A command is a view. Throws CodecError. */
export function decodeHolderMessage(reader: ByteReader): HolderMessage {
  const number = reader.u8();
  const envelope = { term: reader.varint(), incarnation: reader.varint() };
  switch (number) {
    case holderMessageNumbers.renew:
      return { type: "renew", ...envelope, request: reader.varint(), processed: reader.varint() };
    case holderMessageNumbers.fetch:
      return { type: "fetch", ...envelope, line: decodeLine(reader), txn: reader.varint(), confirmed: decodeFlag(reader) };
    case holderMessageNumbers.write: {
      const [line, txn, keep] = [decodeLine(reader), reader.varint(), decodeFlag(reader)];
      return { type: "write", ...envelope, line, txn, keep, command: reader.bytes(limits.maxFrameBytes) };
    }
    case holderMessageNumbers["inv-ack"]:
      return { type: "inv-ack", ...envelope, sequence: reader.varint() };
    case holderMessageNumbers.evict:
      return { type: "evict", ...envelope, line: decodeLine(reader), fill: reader.varint() };
    case holderMessageNumbers["flush-ack"]:
      return { type: "flush-ack", ...envelope };
    case holderMessageNumbers.leave:
      return { type: "leave", ...envelope };
    case holderMessageNumbers.read:
      return { type: "read", ...envelope, line: decodeLine(reader), txn: reader.varint() };
    default:
      throw new CodecError(`unknown message ${number} of a holder`);
  }
}

/** As `encodeHolderMessage`. */
export function encodeHomeMessage(writer: ByteWriter, message: HomeMessage): void {
  writer.u8(homeMessageNumbers[message.type]);
  writer.varint(message.term);
  writer.varint(message.incarnation);
  switch (message.type) {
    case "renewed":
      writer.varint(message.request);
      return writer.varint(message.sequence);
    case "refused":
      writer.varint(message.request);
      writer.u8(leaseRefusals.indexOf(message.reason));
      return writer.varint(Math.ceil(message.retryMs));
    case "data":
      encodeGrant(writer, message);
      return encodeRecord(writer, message.record);
    case "done":
      encodeGrant(writer, message);
      encodeOutcome(writer, message.outcome);
      return encodeRecord(writer, message.record);
    case "inv":
      writer.varint(message.sequence);
      return encodeScope(writer, message.scope);
    case "share":
      writer.varint(message.sequence);
      return writer.string(message.line);
    case "flush":
  }
}

/** Reads one message. Values are views. Throws CodecError. */
export function decodeHomeMessage(reader: ByteReader): HomeMessage {
  const number = reader.u8();
  const envelope = { term: reader.varint(), incarnation: reader.varint() };
  switch (number) {
    case homeMessageNumbers.renewed:
      return { type: "renewed", ...envelope, request: reader.varint(), sequence: reader.varint() };
    case homeMessageNumbers.refused: {
      const request = reader.varint();
      return {
        type: "refused",
        ...envelope,
        request,
        reason: decodeIndexed(reader, leaseRefusals, "refusal"),
        retryMs: decodeDuration(reader),
      };
    }
    case homeMessageNumbers.data:
      return { type: "data", ...envelope, ...decodeGrant(reader), record: decodeRecord(reader) };
    case homeMessageNumbers.done:
      return { type: "done", ...envelope, ...decodeGrant(reader), outcome: decodeOutcome(reader), record: decodeRecord(reader) };
    case homeMessageNumbers.inv:
      return { type: "inv", ...envelope, sequence: reader.varint(), scope: decodeScope(reader) };
    case homeMessageNumbers.share:
      return { type: "share", ...envelope, sequence: reader.varint(), line: decodeLine(reader) };
    case homeMessageNumbers.flush:
      return { type: "flush", ...envelope };
    default:
      throw new CodecError(`unknown message ${number} of a home`);
  }
}

type GrantFields = Pick<Extract<HomeMessage, { readonly type: "data" }>, "line" | "txn" | "grant" | "sequence">;

function encodeGrant(writer: ByteWriter, { grant, line, sequence, txn }: GrantFields): void {
  writer.string(line);
  writer.varint(txn);
  writer.u8(grants.indexOf(grant));
  writer.varint(sequence);
}

function decodeGrant(reader: ByteReader): GrantFields {
  return { line: decodeLine(reader), txn: reader.varint(), grant: decodeIndexed(reader, grants, "grant"), sequence: reader.varint() };
}

function encodeRecord(writer: ByteWriter, { asOf, packing, tags, ttlMs, value, version }: CachedRecord): void {
  writer.varint(version);
  writer.varint(ttlMs);
  writer.varint(asOf);
  encodeTags(writer, tags);
  writer.u8(formOf(value, packing));
  if (value !== null) writer.bytes(value);
}

function decodeRecord(reader: ByteReader): CachedRecord {
  const [version, ttlMs, asOf] = [reader.varint(), reader.varint(), reader.varint()];
  const tags = decodeTags(reader);
  const { isThere, ...packed } = readForm(reader.u8());
  return { version, ttlMs, asOf, tags, value: isThere ? reader.bytes(limits.maxBodyBytes) : null, ...packed };
}

/** A version is at least 1, so 0 says that nothing was changed. */
function encodeOutcome(writer: ByteWriter, { answer, version }: WriteOutcome): void {
  writer.varint(version ?? 0);
  writer.bytes(answer);
}

function decodeOutcome(reader: ByteReader): WriteOutcome {
  const version = reader.varint();
  return { version: version === 0 ? null : version, answer: reader.bytes(limits.maxFrameBytes) };
}

function encodeScope(writer: ByteWriter, scope: Scope): void {
  writer.u8(scopeTypes.indexOf(scope.type));
  if (scope.type === "line") writer.string(scope.line);
  if (scope.type !== "namespace") return;
  writer.string(scope.namespace);
  writer.string(scope.tag ?? "");
}

function decodeScope(reader: ByteReader): Scope {
  const type = decodeIndexed(reader, scopeTypes, "scope");
  if (type === "line") return { type, line: decodeLine(reader) };
  if (type === "everything") return { type };
  const [namespace, tag] = [reader.string(limits.maxNameBytes, 1), reader.string(limits.maxTagBytes)];
  return { type, namespace, tag: tag === "" ? null : tag };
}

function decodeLine(reader: ByteReader): LineName {
  const line = reader.string(maxLineBytes, 1);
  if (!line.includes("\u0000")) throw new CodecError("a line without a namespace");
  return line;
}
