import type { ByteReader, ByteWriter } from "./bytes.ts";
import {
  type CacheCommand,
  type CacheExpire,
  type CacheFlushed,
  type CacheMode,
  type CachePut,
  type ExpiredValue,
  type LoadToken,
  type NamespaceDefinition,
  type WriteCondition,
  cacheCommandNumbers,
  cacheModes,
  packedPutNumber,
  packings,
} from "./cache-commands.ts";
import { CodecError } from "./codec-error.ts";
import { decodeDuration, decodeFlag, decodeIndexed } from "./fields.ts";
import { limits } from "./limits.ts";

/** Numbers on the wire are places in this list, which only grows at its end. */
const conditionTypes = ["always", "absent", "present", "version"] as const satisfies readonly WriteCondition["type"][];

/** Appends `command`: its number, then its fields. Throws CodecError for values that the format cannot carry. */
export function encodeCacheCommand(writer: ByteWriter, command: CacheCommand): void {
  const isPacked = command.type === "cache-put" && command.packing !== undefined;
  writer.u8(isPacked ? packedPutNumber : cacheCommandNumbers[command.type]);
  switch (command.type) {
    case "configure-namespace":
      writer.varint(command.namespace);
      return encodeNamespace(writer, command.definition);
    case "drop-namespace":
      writer.varint(command.namespace);
      return writer.varint(command.version);
    case "cache-put":
      return encodePut(writer, command);
    case "cache-delete":
      encodeKeyWrite(writer, command);
      return encodeCondition(writer, command.condition);
    case "cache-increment":
      encodeKeyWrite(writer, command);
      encodeSigned(writer, command.by);
      return writer.varint(command.ttlMs);
    case "cache-invalidate":
      writer.varint(command.namespace);
      return writer.string(command.tag);
    case "cache-expire":
    case "cache-flushed":
      return encodeVersions(writer, command);
    case "register-holder":
    case "forget-holder":
      writer.string(command.holder);
      return writer.varint(command.incarnation);
    case "lease-barrier":
    case "lease-resume":
      return writer.varint(command.term);
  }
}

/** Reads the rest of a command of this number; null where that is none of the cache's. Values are views. Throws CodecError. */
export function decodeCacheCommand(number: number, reader: ByteReader): CacheCommand | null {
  switch (number) {
    case cacheCommandNumbers["configure-namespace"]:
      return { type: "configure-namespace", namespace: reader.varint(), definition: decodeNamespace(reader) };
    case cacheCommandNumbers["drop-namespace"]:
      return { type: "drop-namespace", namespace: reader.varint(), version: reader.varint() };
    case cacheCommandNumbers["cache-put"]:
      return decodePut(reader);
    case packedPutNumber:
      return decodePackedPut(reader);
    case cacheCommandNumbers["cache-delete"]:
      return { type: "cache-delete", ...decodeKeyWrite(reader), condition: decodeCondition(reader) };
    case cacheCommandNumbers["cache-increment"]:
      return { type: "cache-increment", ...decodeKeyWrite(reader), by: decodeSigned(reader), ttlMs: decodeDuration(reader) };
    case cacheCommandNumbers["cache-invalidate"]:
      return { type: "cache-invalidate", namespace: reader.varint(), tag: reader.string(limits.maxTagBytes) };
    case cacheCommandNumbers["cache-expire"]:
      return { type: "cache-expire", values: decodeVersions(reader) };
    case cacheCommandNumbers["cache-flushed"]:
      return { type: "cache-flushed", values: decodeVersions(reader) };
    case cacheCommandNumbers["register-holder"]:
      return { type: "register-holder", ...decodeHolder(reader) };
    case cacheCommandNumbers["forget-holder"]:
      return { type: "forget-holder", ...decodeHolder(reader) };
    case cacheCommandNumbers["lease-barrier"]:
      return { type: "lease-barrier", term: reader.varint() };
    case cacheCommandNumbers["lease-resume"]:
      return { type: "lease-resume", term: reader.varint() };
    default:
      return null;
  }
}

export function encodeNamespace(writer: ByteWriter, definition: NamespaceDefinition): void {
  writer.string(definition.name);
  writer.varint(definition.version);
  // As before values were written behind, where they are not.
  const isBehind = definition.write === "behind";
  const isRevalidated = definition.revalidateMs > 0;
  writer.u8(cacheModes.indexOf(definition.mode) + (isBehind ? behindFlag : 0) + (isRevalidated ? revalidatedFlag : 0));
  writer.varint(definition.staleMs);
  writer.varint(definition.ttlMs);
  writer.varint(definition.negativeTtlMs);
  writer.varint(definition.maxEntries);
  writer.varint(definition.maxBytes);
  if (isBehind) writer.varint(definition.maxBehind);
  if (isRevalidated) writer.varint(definition.revalidateMs);
}

/** Beside the mode. */
const behindFlag = 0x80;
const revalidatedFlag = 0x40;

export function decodeNamespace(reader: ByteReader): NamespaceDefinition {
  const [name, version] = [reader.string(limits.maxNameBytes, 1), reader.varint()];
  const first = reader.u8();
  const isBehind = (first & behindFlag) !== 0;
  const isRevalidated = (first & revalidatedFlag) !== 0;
  const mode: CacheMode | undefined = cacheModes[first & ~(behindFlag | revalidatedFlag)];
  if (mode === undefined) throw new CodecError(`unknown cache mode ${first}`);
  const definition: NamespaceDefinition = {
    name,
    version,
    mode,
    staleMs: decodeDuration(reader),
    ttlMs: decodeDuration(reader),
    negativeTtlMs: decodeDuration(reader),
    maxEntries: reader.varint(),
    maxBytes: reader.varint(),
    write: isBehind ? "behind" : "here",
    maxBehind: isBehind ? reader.varint() : 0,
    revalidateMs: isRevalidated ? decodeDuration(reader) : 0,
  };
  // One encoding of each: what is not revalidated says so by the flag.
  if (isRevalidated && definition.revalidateMs === 0) throw new CodecError("a namespace said to be revalidated after no time");
  return definition;
}

type KeyWriteFields = Pick<CachePut, "namespace" | "key" | "version" | "ifFence">;

function encodeKeyWrite(writer: ByteWriter, { ifFence, key, namespace, version }: KeyWriteFields): void {
  writer.varint(namespace);
  writer.string(key);
  writer.varint(version);
  writer.u8(ifFence === null ? 0 : 1);
  if (ifFence === null) return;
  writer.string(ifFence.lock);
  writer.varint(ifFence.fence);
}

function decodeKeyWrite(reader: ByteReader): KeyWriteFields {
  const namespace = reader.varint();
  const key = reader.string(limits.maxCacheKeyBytes, 1);
  const version = reader.varint();
  const ifFence = decodeFlag(reader) ? { lock: reader.string(limits.maxNameBytes, 1), fence: reader.varint() } : null;
  return { namespace, key, version, ifFence };
}

function encodePut(writer: ByteWriter, put: CachePut): void {
  if (put.packing !== undefined) writer.u8(packings.indexOf(put.packing));
  encodeKeyWrite(writer, put);
  encodeCondition(writer, put.condition);
  writer.u8((put.value === null ? 0 : 1) | (put.token === null ? 0 : 2));
  writer.varint(put.ttlMs);
  encodeTags(writer, put.tags);
  if (put.token !== null) {
    writer.varint(put.token.version);
    writer.varint(put.token.asOf);
  }
  if (put.value !== null) writer.bytes(put.value);
}

function decodePackedPut(reader: ByteReader): CachePut {
  const packing = decodeIndexed(reader, packings, "packing");
  const put = decodePut(reader);
  if (put.value === null) throw new CodecError("nothing, and compressed");
  return { ...put, packing };
}

function decodePut(reader: ByteReader): CachePut {
  const fields = decodeKeyWrite(reader);
  const condition = decodeCondition(reader);
  const flags = reader.u8();
  if (flags > 3) throw new CodecError(`unknown fields of a put: ${flags}`);
  const ttlMs = decodeDuration(reader);
  const tags = decodeTags(reader);
  const token: LoadToken | null = (flags & 2) === 0 ? null : { version: reader.varint(), asOf: reader.varint() };
  const value = (flags & 1) === 0 ? null : reader.bytes(limits.maxBodyBytes);
  return { type: "cache-put", ...fields, condition, ttlMs, tags, token, value };
}

export function encodeTags(writer: ByteWriter, tags: readonly string[]): void {
  if (tags.length > limits.maxTags) throw new CodecError(`${tags.length} tags where ${limits.maxTags} are allowed at most`);
  writer.u8(tags.length);
  for (const tag of tags) writer.string(tag);
}

export function decodeTags(reader: ByteReader): readonly string[] {
  const count = reader.u8();
  if (count > limits.maxTags) throw new CodecError(`${count} tags where ${limits.maxTags} are allowed at most`);
  return Array.from({ length: count }, () => reader.string(limits.maxTagBytes, 1));
}

function encodeCondition(writer: ByteWriter, condition: WriteCondition): void {
  writer.u8(conditionTypes.indexOf(condition.type));
  if (condition.type === "version") writer.varint(condition.version);
}

function decodeCondition(reader: ByteReader): WriteCondition {
  const type = decodeIndexed(reader, conditionTypes, "condition");
  return type === "version" ? { type, version: reader.varint() } : { type };
}

/** A whole number as its sign and its size. */
function encodeSigned(writer: ByteWriter, value: number): void {
  writer.u8(value < 0 ? 1 : 0);
  writer.varint(Math.abs(value));
}

function decodeSigned(reader: ByteReader): number {
  const negative = decodeFlag(reader);
  const size = reader.varint();
  if (negative && size === 0) throw new CodecError("zero with a sign");
  return negative ? -size : size;
}

function encodeVersions(writer: ByteWriter, { values }: CacheExpire | CacheFlushed): void {
  if (values.length > limits.maxMessagesPerCommand) throw new CodecError(`${values.length} values in one command`);
  writer.varint(values.length);
  for (const { key, namespace, version } of values) {
    writer.varint(namespace);
    writer.string(key);
    writer.varint(version);
  }
}

function decodeVersions(reader: ByteReader): readonly ExpiredValue[] {
  const count = reader.varint(limits.maxMessagesPerCommand);
  const values: ExpiredValue[] = [];
  for (let left = count; left > 0; left--) {
    values.push({ namespace: reader.varint(), key: reader.string(limits.maxCacheKeyBytes, 1), version: reader.varint() });
  }
  return values;
}

function decodeHolder(reader: ByteReader): { readonly holder: string; readonly incarnation: number } {
  return { holder: reader.string(limits.maxIdentityBytes, 1), incarnation: reader.varint() };
}
