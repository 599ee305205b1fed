import { crc32 } from "node:zlib";

/**
 * A backup, and the answer of a node that gives one group for it, are rows of records:
 *
 * ```
 * payload length u32 · crc u32 over type and payload · type u8 · payload
 * ```
 *
 * Numbers are little-endian and append-only. A group is `groupBegin`, chunks, `groupEnd`; its chunks are those of a snapshot of Raft.
 */
export const recordTypes = { fileBegin: 1, groupBegin: 2, chunk: 3, groupEnd: 4, fileEnd: 5 } as const;
export type RecordType = keyof typeof recordTypes;

const typeNames: ReadonlyMap<number, RecordType> = new Map(
  Object.entries(recordTypes).map(([name, number]) => [number, name as RecordType]),
);
const headBytes = 9;
/** Larger than any chunk there is: a single cached value or message with its key. */
const maxPayloadBytes = 32 * 1024 * 1024;

export interface BackupRecord {
  readonly type: RecordType;
  readonly payload: Buffer;
  /** All of it, as it stands in the file. */
  readonly bytes: Buffer;
  /** Where it begins. */
  readonly offset: number;
}

/** What was read is not what was written. */
export class BackupDamaged extends Error {
  readonly code = "backup_damaged";
  constructor(detail: string) {
    super(detail);
    this.name = "BackupDamaged";
  }
}

export function encodeRecord(type: RecordType, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(headBytes + payload.length);
  bytes.writeUInt32LE(payload.length, 0);
  bytes.writeUInt8(recordTypes[type], 8);
  bytes.set(payload, headBytes);
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4);
  return bytes;
}

export const encodeJsonRecord = (type: RecordType, value: unknown): Buffer => encodeRecord(type, Buffer.from(JSON.stringify(value)));

/** Records from pieces of any length, each checked. Throws BackupDamaged; an end in the middle of one is told, too. */
export async function* readRecords(pieces: AsyncIterable<Uint8Array>, start = 0): AsyncGenerator<BackupRecord> {
  let held: Buffer = Buffer.alloc(0);
  let offset = start;
  for await (const piece of pieces) {
    held = held.length === 0 ? Buffer.from(piece.buffer, piece.byteOffset, piece.length) : Buffer.concat([held, piece]);
    for (;;) {
      const record = firstRecord(held, offset);
      if (record === null) break;
      held = held.subarray(record.bytes.length);
      offset += record.bytes.length;
      yield record;
    }
  }
  if (held.length > 0) throw new BackupDamaged(`it ends in the middle of a record, at byte ${offset + held.length}`);
}

function firstRecord(held: Buffer, offset: number): BackupRecord | null {
  if (held.length < headBytes) return null;
  const length = held.readUInt32LE(0);
  const type = typeNames.get(held.readUInt8(8));
  if (length > maxPayloadBytes || type === undefined) throw new BackupDamaged(`there is no record at byte ${offset}`);
  if (held.length < headBytes + length) return null;
  const bytes = held.subarray(0, headBytes + length);
  if (crc32(bytes.subarray(8)) !== bytes.readUInt32LE(4)) throw new BackupDamaged(`the record at byte ${offset} has a bad checksum`);
  return { type, payload: bytes.subarray(headBytes), bytes, offset };
}

export function jsonOf(record: BackupRecord): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(record.payload.toString("utf8"));
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch {
    // Told below.
  }
  throw new BackupDamaged(`the record at byte ${record.offset} does not say what it is`);
}
