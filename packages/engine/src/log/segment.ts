import type { GroupId, HardState, LogIndex } from "@trivet/core";
import { invariant, logIndex, term } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { ByteReader, ByteWriter, CodecError } from "@trivet/wire";
import type { Crypto } from "../ports/crypto.ts";
import type { DoneWith, FileHandle, FileStore } from "../ports/file.ts";
import { writeFileAtomically } from "./atomic-file.ts";
import { readFloor, readGroup, readHardState, writeFloor, writeHardState } from "./record-format.ts";
import type { Doubt, Floor } from "./types.ts";

/**
 * A segment is one file of the log. It opens with a checksummed table of every group's state (rule W1), then come batches.
 *
 * ```
 * magic u32 · crc u32 over all that follows · format u32 · table length u32 · table
 * ```
 *
 * A segment gets its final name only when this header is durable, so a bad header is damage, never a crash.
 */
export const walFormat = 1;
const segmentMagic = 0x53_56_52_54;
const prefixBytes = 16;
/** Recovery reads so much of each file to see how the segments hang together. */
export const maxHeaderBytes: number = 1024 * 1024;

/** State of one group when the segment began. */
export interface GroupTable {
  readonly group: GroupId;
  readonly hardState: HardState;
  readonly commit: LogIndex;
  readonly floor: Floor | null;
  /** Its last entry, or the floor's index: tells when a segment that should hold entries is gone. */
  readonly last: LogIndex;
  /** Why this group alone is in doubt (record `distrust`); null = it is not. */
  readonly lost: string | null;
  /** See RecoveredGroup. Kept from table to table, because only the start that finds damage reads what is behind it. */
  readonly lostConfig: Uint8Array | null;
}

/**
 * A loss that was found: groups that are not `cleared` neither vote nor campaign (rules W3, W6). It is carried from table to table,
 * because a restart does not see the cut again.
 */
export interface Distrust {
  readonly doubt: Exclude<Doubt, "newcomer">;
  readonly detail: string;
  readonly cleared: readonly GroupId[];
}

export interface SegmentHeader {
  readonly sequence: number;
  /** Number of its first batch. */
  readonly firstBatch: number;
  /**
   * The log continues here after byte `end` of segment `sequence`; null = the log begins here. Everything in older files beyond that
   * is void: this is how a torn tail is cut, in one atomic step, with the evidence kept until the file is deleted.
   */
  readonly follows: { readonly sequence: number; readonly end: number } | null;
  readonly distrust: Distrust | null;
  readonly groups: readonly GroupTable[];
}

export function segmentName(sequence: number): string {
  return `${sequence.toString().padStart(10, "0")}.wal`;
}

/** The sequence number in a segment's file name, or null. */
export function segmentSequence(name: string): number | null {
  return /^\d{10}\.wal$/.test(name) ? Number.parseInt(name, 10) : null;
}

export function encodeSegmentHeader(header: SegmentHeader, crypto: Crypto): Uint8Array {
  const out = new ByteWriter(1024);
  out.u32(segmentMagic);
  out.u32(0);
  out.u32(walFormat);
  out.u32(0);
  out.varint(header.sequence);
  out.varint(header.firstBatch);
  out.varint(header.follows?.sequence ?? 0);
  out.varint(header.follows?.end ?? 0);
  writeDistrust(out, header.distrust);
  out.varint(header.groups.length);
  for (const table of header.groups) {
    out.varint(table.group);
    writeHardState(out, table.hardState);
    out.varint(table.commit);
    out.varint(table.last);
    out.u8((table.floor === null ? 0 : 1) | (table.lost === null ? 0 : 2) | (table.lostConfig === null ? 0 : 4));
    if (table.floor !== null) writeFloor(out, table.floor);
    if (table.lost !== null) out.string(table.lost);
    if (table.lostConfig !== null) out.bytes(table.lostConfig);
  }
  const bytes = out.finish();
  invariant(bytes.length <= maxHeaderBytes, "wal-table-fits", () => `a segment table of ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer);
  view.setUint32(12, bytes.length - prefixBytes, true);
  view.setUint32(4, crypto.crc32(bytes.subarray(8)), true);
  return bytes;
}

export type HeaderRead =
  | { readonly type: "header"; readonly header: SegmentHeader; readonly bytes: number }
  | { readonly type: "bad"; readonly detail: string };

/** Reads the header of the segment that the file name says is number `sequence`. */
export function decodeSegmentHeader(bytes: Uint8Array, sequence: number, crypto: Crypto): HeaderRead {
  if (bytes.length < prefixBytes) return { type: "bad", detail: "the file ends inside the segment header" };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = prefixBytes + view.getUint32(12, true);
  if (view.getUint32(0, true) !== segmentMagic || length > bytes.length) return { type: "bad", detail: "not a segment header" };
  if (view.getUint32(4, true) !== crypto.crc32(bytes.subarray(8, length)))
    return { type: "bad", detail: "bad checksum of the segment header" };
  const format = view.getUint32(8, true);
  if (format !== walFormat) return { type: "bad", detail: `log format ${format}; this version reads ${walFormat}` };
  try {
    const header = readHeaderTable(new ByteReader(bytes, prefixBytes, length));
    if ((header.follows?.sequence ?? 0) >= sequence) return { type: "bad", detail: "it follows a later segment" };
    if (header.sequence !== sequence) return { type: "bad", detail: `it is segment ${header.sequence} under another name` };
    return { type: "header", header, bytes: length };
  } catch (error) {
    if (error instanceof CodecError) return { type: "bad", detail: `bad segment table: ${error.message}` };
    throw error;
  }
}

function readHeaderTable(input: ByteReader): SegmentHeader {
  const sequence = input.varint();
  const firstBatch = input.varint();
  const followed = input.varint();
  const end = input.varint();
  const distrust = readDistrust(input);
  const groups: GroupTable[] = [];
  for (let left = input.varint(); left > 0; left--) {
    const group = readGroup(input);
    const hardState = readHardState(input);
    const commit = logIndex(input.varint());
    const last = logIndex(input.varint());
    const parts = input.u8();
    if (parts > 7) throw new CodecError(`unknown parts of a group's table: ${parts}`);
    const floor = (parts & 1) === 0 ? null : readFloor(input);
    const lost = (parts & 2) === 0 ? null : input.string(Number.MAX_SAFE_INTEGER);
    const lostConfig = (parts & 4) === 0 ? null : input.bytes(maxHeaderBytes).slice();
    groups.push({ group, hardState, commit, last, floor, lost, lostConfig });
  }
  input.expectEnd();
  return { sequence, firstBatch, follows: followed === 0 ? null : { sequence: followed, end }, distrust, groups };
}

function writeDistrust(out: ByteWriter, distrust: Distrust | null): void {
  // A log written before the two were told apart says 1 for both.
  out.u8(distrust === null ? 0 : distrust.doubt === "damage" || mutant("wal-doubt-kind-forgotten") ? 1 : 2);
  if (distrust === null) return;
  out.string(distrust.detail);
  out.varint(distrust.cleared.length);
  for (const group of distrust.cleared) out.varint(group);
}

function readDistrust(input: ByteReader): Distrust | null {
  const kind = input.u8();
  if (kind === 0) return null;
  if (kind > 2) throw new CodecError(`unknown doubt ${kind}`);
  const detail = input.string(Number.MAX_SAFE_INTEGER);
  const cleared: GroupId[] = [];
  for (let left = input.varint(); left > 0; left--) cleared.push(readGroup(input));
  return { doubt: kind === 1 ? "damage" : "torn-tail", detail, cleared };
}

/** State of a group nothing is known of. */
export const unknownHardState: HardState = { term: term(0), vote: null };

export interface CreatedSegment {
  readonly handle: FileHandle;
  /** Where its first batch goes. */
  readonly headerBytes: number;
}

/**
 * Creates a segment so that a crash leaves either no file of that name or one with a durable header: temporary name, write, sync,
 * rename, sync of the directory.
 */
export function createSegment(
  files: FileStore,
  directory: string,
  header: SegmentHeader,
  crypto: Crypto,
  done: DoneWith<CreatedSegment>,
): void {
  const path = `${directory}/${segmentName(header.sequence)}`;
  const bytes = encodeSegmentHeader(header, crypto);
  writeFileAtomically(files, path, [bytes], (error) => {
    if (error !== null) return done(error, undefined);
    files.open(path, "write", (error, handle) => {
      if (handle === undefined) done(error, undefined);
      else done(null, { handle, headerBytes: bytes.length });
    });
  });
}
