import type { GroupId, SnapshotMeta } from "@trivet/core";
import { logIndex, term } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { ByteReader, ByteWriter, CodecError } from "@trivet/wire";
import type { Crypto } from "../ports/crypto.ts";
import { IoError } from "../ports/file.ts";
import type { FileHandle } from "../ports/file.ts";
import { logLimits } from "./limits.ts";
import { readGroup, readMembership, writeMembership } from "./record-format.ts";

/**
 * A snapshot file. The same bytes travel to peers, so the receiver checks what the sender wrote.
 *
 * ```
 * magic u32 · crc u32 · format u32 · length u32 · description
 * then chunks: length u32 (never 0) · crc u32 · data
 * then the end: 0 u32 · crc u32 over the rest · chunks u32 · crc u32 over all checksums before
 * ```
 */
export const snapshotFormat = 1;
const magic = 0x50_4e_53_54;
const headBytes = 16;
const chunkHeadBytes = 8;
const endBytes = 16;
const maxDescriptionBytes = 1024 * 1024;

/** What a snapshot file says about itself. Its size is known only at the end. */
export interface SnapshotDescription extends Omit<SnapshotMeta, "bytes"> {
  readonly group: GroupId;
}

export function encodeSnapshotHead(description: SnapshotDescription, crypto: Crypto): Uint8Array {
  const out = new ByteWriter(512);
  for (const value of [magic, 0, snapshotFormat, 0]) out.u32(value);
  out.string(description.id);
  out.varint(description.group);
  out.varint(description.index);
  out.varint(description.term);
  out.varint(description.membershipIndex);
  writeMembership(out, description.membership);
  const bytes = out.finish();
  const view = new DataView(bytes.buffer);
  view.setUint32(12, bytes.length - headBytes, true);
  view.setUint32(4, crypto.crc32(bytes.subarray(8)), true);
  return bytes;
}

/** Running state of a file being written: the checksum over all checksums ties chunks of one snapshot together (mutant 33). */
export class SnapshotEncoder {
  private readonly crypto: Crypto;
  private chunks = 0;
  private total: number;
  bytes: number;

  constructor(crypto: Crypto, head: Uint8Array) {
    this.crypto = crypto;
    this.total = crypto.crc32(head);
    this.bytes = head.length;
  }

  chunk(data: Uint8Array): readonly Uint8Array[] {
    const head = new Uint8Array(chunkHeadBytes);
    const view = new DataView(head.buffer);
    view.setUint32(0, data.length, true);
    view.setUint32(4, this.crypto.crc32(data), true);
    this.total = this.crypto.crc32(head, this.total);
    this.chunks++;
    this.bytes += chunkHeadBytes + data.length;
    return [head, data];
  }

  end(): Uint8Array {
    const end = new Uint8Array(endBytes);
    const view = new DataView(end.buffer);
    view.setUint32(8, this.chunks, true);
    view.setUint32(12, this.total, true);
    view.setUint32(4, this.crypto.crc32(end.subarray(8)), true);
    this.bytes += endBytes;
    return end;
  }
}

export type ChunkRead = (error: IoError | null, chunk: Uint8Array | null) => void;

/** Reads a snapshot file from its beginning to its end and checks every byte of it. */
export class SnapshotFileReader {
  private readonly handle: FileHandle;
  private readonly crypto: Crypto;
  private position = 0;
  /** The head of the next chunk, read together with the chunk before it. */
  private next: Uint8Array = new Uint8Array(0);
  private chunks = 0;
  private total = 0;

  constructor(handle: FileHandle, crypto: Crypto) {
    this.handle = handle;
    this.crypto = crypto;
  }

  /** First call. */
  readHead(done: (error: IoError | null, description: SnapshotDescription | null) => void): void {
    this.read(headBytes, (error, head) => {
      if (head === null) return done(error, null);
      const view = viewOf(head);
      const length = view.getUint32(12, true);
      if (view.getUint32(0, true) !== magic || length > maxDescriptionBytes) return done(this.bad("not a snapshot file"), null);
      this.read(length + chunkHeadBytes, (error, rest) => {
        if (rest === null) return done(error, null);
        const body = rest.subarray(0, length);
        const crc = this.crypto.crc32(body, this.crypto.crc32(head.subarray(8)));
        if (crc !== view.getUint32(4, true)) return done(this.bad("bad checksum of the head"), null);
        const format = view.getUint32(8, true);
        if (format !== snapshotFormat) return done(this.bad(`snapshot format ${format}; this version reads ${snapshotFormat}`), null);
        this.total = this.crypto.crc32(body, this.crypto.crc32(head));
        this.next = rest.subarray(length);
        const description = decodeDescription(body);
        if (description === null) done(this.bad("bad description"), null);
        else done(null, description);
      });
    });
  }

  /** Next chunk, or null at the end, when the whole file has proved good. */
  readChunk(done: ChunkRead): void {
    const head = this.next;
    const view = viewOf(head);
    const length = view.getUint32(0, true);
    if (length === 0) return this.readEnd(view.getUint32(4, true), done);
    // Asynchronously, like every other answer.
    if (length > logLimits.maxSnapshotChunkBytes) return this.handle.size(() => done(this.bad("bad length of a chunk"), null));
    this.read(length + chunkHeadBytes, (error, bytes) => {
      if (bytes === null) return done(error, null);
      const data = bytes.subarray(0, length);
      if (this.crypto.crc32(data) !== view.getUint32(4, true) && !mutant("wal-snapshot-unchecked"))
        return done(this.bad("bad checksum of a chunk"), null);
      this.total = this.crypto.crc32(head, this.total);
      this.chunks++;
      this.next = bytes.subarray(length);
      done(null, data);
    });
  }

  private readEnd(crc: number, done: ChunkRead): void {
    this.read(endBytes - chunkHeadBytes, (error, end) => {
      if (end === null) return done(error, null);
      const view = viewOf(end);
      const good = this.crypto.crc32(end) === crc && view.getUint32(0, true) === this.chunks && view.getUint32(4, true) === this.total;
      if (!good && !mutant("wal-snapshot-unchecked")) return done(this.bad("bad checksum of the whole"), null);
      this.handle.size((error, size) => {
        if (error !== null) done(error, null);
        else done(size === this.position ? null : this.bad(`${(size ?? 0) - this.position} bytes after the end`), null);
      });
    });
  }

  private read(length: number, done: ChunkRead): void {
    this.handle.read(this.position, length, (error, bytes) => {
      if (bytes === undefined) return done(error, null);
      if (bytes.length < length) return done(this.bad("the file ends too early"), null);
      this.position += length;
      done(null, bytes);
    });
  }

  private bad(detail: string): IoError {
    return new IoError("io", "read", this.handle.path, new DamagedSnapshot(`${detail}, near ${this.position}`));
  }
}

/** The cause of an IoError that says: the disk answered, but these are not the bytes that were written. */
export class DamagedSnapshot extends Error {
  readonly code = "damaged_snapshot";
}

/** Reads the whole file; gives its description and size when every byte is good. */
export function verifySnapshot(
  handle: FileHandle,
  crypto: Crypto,
  done: (error: IoError | null, meta: VerifiedSnapshot | null) => void,
): void {
  const reader = new SnapshotFileReader(handle, crypto);
  reader.readHead((error, description) => {
    if (description === null) return done(error, null);
    const next = (): void =>
      reader.readChunk((error, chunk) => {
        if (error !== null) return done(error, null);
        if (chunk !== null) return next();
        handle.size((error, bytes) => {
          if (bytes === undefined) done(error, null);
          else done(null, { description, bytes });
        });
      });
    next();
  });
}

export interface VerifiedSnapshot {
  readonly description: SnapshotDescription;
  readonly bytes: number;
}

function decodeDescription(bytes: Uint8Array): SnapshotDescription | null {
  try {
    const input = new ByteReader(bytes);
    const id = input.string(logLimits.maxSnapshotIdBytes, 1);
    const group = readGroup(input);
    const index = logIndex(input.varint());
    const snapshotTerm = term(input.varint());
    const membershipIndex = logIndex(input.varint());
    const membership = readMembership(input);
    input.expectEnd();
    return { id, group, index, term: snapshotTerm, membershipIndex, membership };
  } catch (error) {
    if (error instanceof CodecError) return null;
    throw error;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
