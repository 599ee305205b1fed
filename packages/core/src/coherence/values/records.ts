import { ByteReader, ByteWriter, CodecError, decodeTags, encodeTags, formOf, limits, type Packing, readForm } from "@trivet/wire";

/** First byte of every value record. A change of its fields takes a new number. */
const recordVersion = 1;

/** A cached value as the shard keeps it. */
export interface ValueRecord {
  readonly version: number;
  /** Null = a negative entry. */
  readonly value: Uint8Array | null;
  /** How `value` is compressed; left out = it is not. Nothing is unpacked here: what is counted and moved is what is stored (decision 0024). */
  readonly packing?: Packing;
  readonly tags: readonly string[];
  /** Group time from which it is over; 0 = never. */
  readonly endsAt: number;
}

const writer: ByteWriter = new ByteWriter(1024);

export function encodeValue({ endsAt, packing, tags, value, version }: ValueRecord): Uint8Array {
  writer.reset();
  writer.u8(recordVersion);
  writer.varint(version);
  writer.varint(endsAt);
  encodeTags(writer, tags);
  writer.u8(formOf(value, packing));
  if (value !== null) writer.raw(value);
  return writer.finish();
}

/** The value is a copy. */
export function decodeValue(bytes: Uint8Array): ValueRecord {
  const reader = new ByteReader(bytes);
  const found = reader.u8();
  if (found !== recordVersion) {
    const next = "start the version that wrote this store, or begin with an empty data directory";
    throw new CodecError(`a cached value of version ${found} where ${recordVersion} is expected; ${next}`);
  }
  const version = reader.varint();
  const endsAt = reader.varint();
  const tags = decodeTags(reader);
  const { isThere, ...packed } = readForm(reader.u8());
  return { version, value: isThere ? reader.raw(reader.remaining).slice() : null, ...packed, tags, endsAt };
}

/** How far the clearing of a tag has come. */
export interface ClearingRecord {
  /** Values up to this version go. */
  readonly version: number;
  /** The first key not looked at; null = from the beginning. */
  readonly next: Uint8Array | null;
}

export function encodeClearing({ next, version }: ClearingRecord): Uint8Array {
  writer.reset();
  writer.u8(recordVersion);
  writer.varint(version);
  writer.bytes(next ?? new Uint8Array(0));
  return writer.finish();
}

export function decodeClearing(bytes: Uint8Array): ClearingRecord {
  const reader = new ByteReader(bytes);
  reader.u8();
  const version = reader.varint();
  const next = reader.bytes(4 * limits.maxCacheKeyBytes).slice();
  return { version, next: next.length === 0 ? null : next };
}
