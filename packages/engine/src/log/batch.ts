import { ByteReader, ByteWriter, CodecError } from "@trivet/wire";
import { mutant } from "@trivet/core/mutation";
import type { Crypto } from "../ports/crypto.ts";
import { logLimits } from "./limits.ts";
import { readRecord, writeRecord } from "./record-format.ts";
import type { WalRecord } from "./record-format.ts";

/**
 * A batch is what one write and one sync make durable.
 *
 * ```
 * magic u32 · head crc u32 · segment u32 · position u32 · number 2×u32 · durable-up-to u32 · body length u32 · records length u32 · body crc u32
 * body: records · payloads of their entries, in order · end mark u8
 * ```
 *
 * The head has a checksum of its own, so that a good head with a bad body still tells how far the batch reaches and what was durable
 * when it was written (rule W3). Segment and position bind a batch to its place: bytes of another file or offset never pass.
 */
export const batchHeadBytes = 40;
const batchMagic = 0x42_56_52_54;
/** Not zero: a batch's last sector is all zero only when it was never written (see torn-tail.ts). */
const endMark = 0x5a;

export interface BatchHead {
  readonly segment: number;
  readonly position: number;
  readonly number: number;
  /** Bytes of the segment known to be durable when this batch was written (rule W3). */
  readonly durableTo: number;
  readonly bodyBytes: number;
  readonly recordBytes: number;
  readonly bodyCrc: number;
}

/** Where a batch is about to be written. */
export interface BatchPlace {
  readonly segment: number;
  readonly position: number;
  readonly number: number;
  readonly durableTo: number;
}

/** Collects the records of one batch. Reused: the encoded head and records stay valid until `reset`. */
export class BatchBuilder {
  private readonly out = new ByteWriter(4096);
  private readonly payloads: Uint8Array[] = [];
  private payloadBytes = 0;
  /** What the batch says, for the ledger of the log once it is durable. */
  readonly records: WalRecord[] = [];
  readonly callbacks: (() => void)[] = [];
  /** Monotonic time of the first record. */
  since: number = 0;

  constructor() {
    this.out.raw(emptyHead);
  }

  /** Size of the batch in the file. */
  get bytes(): number {
    return this.out.length + this.payloadBytes + 1;
  }

  add(record: WalRecord): void {
    this.records.push(record);
    writeRecord(this.out, record);
    if (record.type !== "entries") return;
    for (const { payload } of record.entries) {
      this.payloads.push(payload);
      this.payloadBytes += payload.length;
    }
  }

  /** The buffers to write at `place`, payloads as they were given. */
  chunks(place: BatchPlace, crypto: Crypto): Uint8Array[] {
    const recordBytes = this.out.length - batchHeadBytes;
    const first = this.out.view();
    const chunks = [first];
    this.gatherPayloads(chunks);
    chunks.push(endMarkChunk);
    let bodyCrc = crypto.crc32(first.subarray(batchHeadBytes));
    for (let i = 1; i < chunks.length; i++) bodyCrc = crypto.crc32(chunks[i] as Uint8Array, bodyCrc);
    const bodyBytes = recordBytes + this.payloadBytes + 1;
    writeBatchHead(first, { ...place, bodyBytes, recordBytes, bodyCrc }, crypto);
    return chunks;
  }

  reset(): void {
    this.out.reset();
    this.out.raw(emptyHead);
    this.payloads.length = 0;
    this.payloadBytes = 0;
    this.records.length = 0;
    this.callbacks.length = 0;
  }

  /** Large payloads as they are, runs of small ones in one buffer. */
  private gatherPayloads(chunks: Uint8Array[]): void {
    const { payloads } = this;
    for (let i = 0; i < payloads.length;) {
      let end = i;
      let bytes = 0;
      for (; end < payloads.length; end++) {
        const { length } = payloads[end] as Uint8Array;
        if (length > logLimits.copyPayloadBytes) break;
        bytes += length;
      }
      if (end - i < 2) {
        chunks.push(payloads[i++] as Uint8Array);
        continue;
      }
      const run = new Uint8Array(bytes);
      for (let at = 0; i < end; i++) {
        const payload = payloads[i] as Uint8Array;
        run.set(payload, at);
        at += payload.length;
      }
      chunks.push(run);
    }
  }
}

const emptyHead = new Uint8Array(batchHeadBytes);
const endMarkChunk = Uint8Array.of(endMark);

function writeBatchHead(target: Uint8Array, head: BatchHead, crypto: Crypto): void {
  const view = new DataView(target.buffer, target.byteOffset, batchHeadBytes);
  view.setUint32(0, batchMagic, true);
  view.setUint32(8, head.segment, true);
  view.setUint32(12, head.position, true);
  view.setUint32(16, head.number % 2 ** 32, true);
  view.setUint32(20, Math.floor(head.number / 2 ** 32), true);
  view.setUint32(24, head.durableTo, true);
  view.setUint32(28, head.bodyBytes, true);
  view.setUint32(32, head.recordBytes, true);
  view.setUint32(36, head.bodyCrc, true);
  view.setUint32(4, crypto.crc32(target.subarray(8, batchHeadBytes)), true);
}

/** The head of a batch at `position` of a segment, or null when there is no good one (also when the file ends inside it). */
export function readBatchHead(bytes: Uint8Array, position: number, segment: number, crypto: Crypto): BatchHead | null {
  if (bytes.length - position < batchHeadBytes) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + position, batchHeadBytes);
  if (view.getUint32(0, true) !== batchMagic) return null;
  if (view.getUint32(4, true) !== crypto.crc32(bytes.subarray(position + 8, position + batchHeadBytes))) return null;
  const head: BatchHead = {
    segment: view.getUint32(8, true),
    position: view.getUint32(12, true),
    number: view.getUint32(16, true) + view.getUint32(20, true) * 2 ** 32,
    durableTo: view.getUint32(24, true),
    bodyBytes: view.getUint32(28, true),
    recordBytes: view.getUint32(32, true),
    bodyCrc: view.getUint32(36, true),
  };
  if (head.segment !== segment || head.position !== position || head.durableTo > position) return null;
  return head.bodyBytes > head.recordBytes ? head : null;
}

export function batchEnd(head: BatchHead): number {
  return head.position + batchHeadBytes + head.bodyBytes;
}

/** True when the whole body is there and its checksum fits. */
export function batchBodyIsGood(bytes: Uint8Array, head: BatchHead, crypto: Crypto): boolean {
  if (batchEnd(head) > bytes.length) return false;
  if (mutant("wal-body-crc-unchecked")) return true;
  return crypto.crc32(bytes.subarray(head.position + batchHeadBytes, batchEnd(head))) === head.bodyCrc;
}

/** Decodes the records of a batch whose checksums are good. Throws CodecError when they make no sense all the same. */
export function readBatchRecords(bytes: Uint8Array, head: BatchHead): WalRecord[] {
  const start = head.position + batchHeadBytes;
  const input = new ByteReader(bytes, start, start + head.recordBytes);
  const payloads = new ByteReader(bytes, start + head.recordBytes, batchEnd(head));
  const records: WalRecord[] = [];
  while (input.remaining > 0) records.push(readRecord(input, payloads));
  if (payloads.u8() !== endMark) throw new CodecError("no end mark");
  payloads.expectEnd();
  return records;
}

/** Positions from `from` on where the first byte of a batch's magic stands together with the rest. */
export function* findBatchMagic(bytes: Uint8Array, from: number): Generator<number> {
  const low = batchMagic & 0xff;
  for (let at = bytes.indexOf(low, from); at >= 0; at = bytes.indexOf(low, at + 1)) {
    if (
      bytes[at + 1] === ((batchMagic >>> 8) & 0xff) &&
      bytes[at + 2] === ((batchMagic >>> 16) & 0xff) &&
      bytes[at + 3] === batchMagic >>> 24
    )
      yield at;
  }
}
