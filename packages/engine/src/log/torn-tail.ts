import { mutant } from "@trivet/core/mutation";
import type { Crypto } from "../ports/crypto.ts";
import { batchBodyIsGood, batchEnd, batchHeadBytes, findBatchMagic, readBatchHead } from "./batch.ts";
import type { BatchHead } from "./batch.ts";

/** The smallest unit a disk writes or leaves unwritten. */
const sectorBytes = 512;

export type TailVerdict =
  /** Nothing after this position was ever known to be durable: it may be cut (rule W3). `unfinished` = it shows that its write did not finish. */
  | { readonly type: "torn"; readonly unfinished: boolean }
  /** A later batch was written when this place was durable already: bit rot, and never the end of the log (mutant 36, rule W6). */
  | { readonly type: "rot" };

/** Judges the first bad batch of the newest segment. `lastNumber` is that of the last good batch before it. */
export function judgeTail(bytes: Uint8Array, position: number, segment: number, lastNumber: number, crypto: Crypto): TailVerdict {
  if (mutant("wal-36-corrupt-middle-is-end")) return { type: "torn", unfinished: true };
  for (const head of laterHeads(bytes, position, segment, lastNumber, crypto)) {
    if (head.durableTo > position) return { type: "rot" };
  }
  return { type: "torn", unfinished: showsUnfinishedWrite(bytes, position, segment, crypto) };
}

/** Good batches behind a damaged place, in the order of the file. */
export function* laterBatches(
  bytes: Uint8Array,
  position: number,
  segment: number,
  lastNumber: number,
  crypto: Crypto,
): Generator<BatchHead> {
  let end = position;
  for (const head of laterHeads(bytes, position, segment, lastNumber, crypto)) {
    if (head.position < end || !batchBodyIsGood(bytes, head, crypto)) continue;
    end = batchEnd(head);
    yield head;
  }
}

function* laterHeads(bytes: Uint8Array, position: number, segment: number, lastNumber: number, crypto: Crypto): Generator<BatchHead> {
  for (const at of findBatchMagic(bytes, position + 1)) {
    const head = readBatchHead(bytes, at, segment, crypto);
    if (head !== null && head.number > lastNumber) yield head;
  }
}

/**
 * True when the bad batch at `position` cannot have been synced by an honest disk: the file ends inside it, or a whole sector of it
 * is still zero (a batch is written behind the end of the file or over zeros, begins with a magic and ends with a mark, so a sector's share of it
 * is all zero only if it never reached the disk, or in the middle of a payload of zeros). A damaged bit shows neither.
 */
function showsUnfinishedWrite(bytes: Uint8Array, position: number, segment: number, crypto: Crypto): boolean {
  if (bytes.length - position < batchHeadBytes) return true;
  const head = readBatchHead(bytes, position, segment, crypto);
  const end = head === null ? position + batchHeadBytes : batchEnd(head);
  if (end > bytes.length) return true;
  for (let from = position; from < end;) {
    const to = Math.min(end, (Math.floor(from / sectorBytes) + 1) * sectorBytes);
    if (allZero(bytes, from, to)) return true;
    from = to;
  }
  return false;
}

export function allZero(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== 0) return false;
  return true;
}
