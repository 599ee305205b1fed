import { mutant } from "@trivet/core/mutation";
import type { Done, FileHandle, FileStore, IoError } from "../ports/file.ts";

/**
 * Zeros are written in pieces no larger than the batches that will go over them: a large write makes the system keep the place in large pieces,
 * and count a whole piece as written for every small batch that is synced into it. Where batches are large, small pieces only cost calls.
 */
const smallestPiece = 4096;
const zeros = new Uint8Array(128 * 1024);
/** Twice what the disk guard keeps free: zeros must never be what makes it refuse writes. */
const freeSegmentsNeeded = 8;

/**
 * Zeros ahead of the end of the log, durable before they are written over. A write that makes a file longer has to change the file
 * system's own records too, which on ext4 costs as much again as the data; a write over blocks that are there does not.
 *
 * What is behind the last batch reads as zeros then, see torn-tail.ts. Room is a matter of speed alone: where there is none, batches make
 * the file longer themselves. So none is made on a disk that is getting full: the last space is for the batches.
 */
export class SegmentRoom {
  private readonly files: FileStore;
  private readonly path: string;
  /** Zeros are written so many bytes at a time; 0 = never. */
  private readonly stepBytes: number;
  /** No room is made beyond. */
  private readonly segmentBytes: number;
  /** No room is made before the log has grown to here: the disk had too little left when last asked. */
  private askAgainAt = 0;
  private readonly failed: (error: IoError) => void;
  private handle: FileHandle | null = null;
  /** Up to here the file is there, durably. */
  private end: number;
  /** Where the zeros under way begin: a batch may be written below. */
  private from = 0;
  private busy = false;
  /** Where the last batch ended, and how long batches are lately. */
  private lastEnd: number;
  private batchBytes = 0;
  private given: boolean;
  private waiting: (() => void)[] = [];

  constructor(files: FileStore, path: string, end: number, stepBytes: number, segmentBytes: number, failed: (error: IoError) => void) {
    this.files = files;
    this.path = path;
    this.end = end;
    this.lastEnd = end;
    this.stepBytes = stepBytes;
    this.segmentBytes = segmentBytes;
    this.failed = failed;
    this.given = stepBytes === 0;
  }

  /** May a batch that ends at `to` be written now? Not where zeros are on their way: they could overtake it. */
  allows(to: number): boolean {
    return !this.busy || to <= this.from || mutant("wal-room-over-batch");
  }

  /** Calls back once everything is allowed. */
  whenIdle(then: () => void): void {
    this.waiting.push(then);
  }

  /** A batch that ends at `position` is durable: makes more room when little is left. */
  used(position: number): void {
    if (position > this.lastEnd) this.batchBytes += (position - this.lastEnd - this.batchBytes) / 8;
    this.lastEnd = position;
    if (position > this.end) this.end = position;
    if (this.given || this.busy || this.end - position >= this.stepBytes / 2 || position < this.askAgainAt) return;
    const to = Math.min(this.end + this.stepBytes, this.segmentBytes);
    // A little further on, so that the batches of the meantime need not wait.
    this.from = Math.max(this.end, position + Math.floor(this.stepBytes / 4));
    if (to <= this.from) {
      this.given = true;
      return;
    }
    this.busy = true;
    this.files.freeBytes((error, free) => {
      if (error === null && free !== undefined && free >= freeSegmentsNeeded * this.segmentBytes) return this.extend(to);
      // Also where it cannot be told: a disk whose space is unknown is treated as a full one.
      this.askAgainAt = position + this.stepBytes;
      this.finished(null);
    });
  }

  /** Nothing comes behind `position` any more: gives back what is left, after waiting for what is under way. */
  close(position: number, done: () => void): void {
    this.given = true;
    if (this.busy) {
      this.waiting.push(() => this.close(position, done));
      return;
    }
    const { handle } = this;
    if (handle === null) return done();
    this.handle = null;
    // A crash may undo it: zeros at the end of a file say nothing.
    handle.truncate(position, (truncateError) =>
      handle.close((closeError) => {
        const error = truncateError ?? closeError;
        if (error !== null) this.failed(error);
        done();
      }),
    );
  }

  private extend(to: number): void {
    if (this.handle === null) {
      this.files.open(this.path, "write", (error, handle) => {
        if (handle === undefined) return this.finished(error);
        this.handle = handle;
        this.extend(to);
      });
      return;
    }
    const { handle } = this;
    this.writeZeros(handle, this.from, to, pieceFor(this.batchBytes), (error) => {
      if (error !== null) return this.finished(error);
      handle.sync((error) => {
        if (error === null) this.end = to;
        this.finished(error);
      });
    });
  }

  private writeZeros(handle: FileHandle, from: number, to: number, piece: number, done: Done): void {
    const upTo = Math.min(to, from - (from % piece) + piece);
    handle.write(from, [zeros.subarray(0, upTo - from)], (error) => {
      if (error !== null || upTo === to) done(error);
      else this.writeZeros(handle, upTo, to, piece, done);
    });
  }

  private finished(error: IoError | null): void {
    this.busy = false;
    if (error !== null) {
      this.given = true;
      // A full disk is no fault of the log: the batches may still fit. Anything else is.
      if (error.code !== "no-space" && error.code !== "too-many-open") return this.failed(error);
    }
    for (const then of this.waiting.splice(0)) then();
  }
}

/** The largest power of two that is not above the length of a batch, within bounds. */
function pieceFor(batchBytes: number): number {
  let piece = smallestPiece;
  while (piece * 2 <= Math.min(batchBytes, zeros.length)) piece *= 2;
  return piece;
}
