import { closeSync, constants, existsSync, fdatasync, fdatasyncSync, fsyncSync, openSync, readSync, write, writeSync } from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import { StoreDamaged } from "@trivet/engine";

/** Of the environment. Fixed, so that a file is the same on machines whose own pages are larger. */
export const pageBytes = 4096;
/** Of each meta page: its header (24 bytes) and what LMDB keeps behind it (144). */
const metaBytes = 168;
/** One sector: a disk writes it whole or not at all. */
const recordBytes = 512;
/** The two records lie in different pages, so that writing one cannot harm the other. */
const recordSpacing = 4096;
const magic = 0x5452_464c;

interface Record {
  readonly sequence: number;
  /** Of the system that ran when it was written; empty = to be restored in any case. */
  readonly boot: string;
  readonly metas: Uint8Array;
}

/**
 * Where an LMDB environment that nobody syncs was last flushed, so that a power loss leads back there.
 *
 * What LMDB does by itself, read in lmdb-js 3.5.6 and seen under strace:
 *
 * - Without flags, and with `noMetaSync`, a synchronous transaction calls fdatasync within its commit.
 * - `overlappingSync` does so as well when the transaction is synchronous: within its commit, or with the flag for it (0x10000) right behind it, on the
 *   same thread. In exchange it keeps a third meta page of the last synced transaction and uses no page again that that one needs. It cannot be
 *   told not to sync: with `noSync` beside it, it writes the third page without having synced.
 * - `noSync` never syncs, neither pages nor meta page, and uses pages again that the last synced state needs. After a power loss the meta page may
 *   be newer than the pages it names: the environment is corrupt, silently.
 *
 * So the store runs with `noSync`, and does what overlappingSync does, but when it is asked:
 *
 * 1. A read transaction stays open on the state of the last flush, so LMDB uses none of its pages again. (A cut needs nothing else, either.)
 * 2. A flush opens such a read transaction on the newest state, copies the meta pages as they are now, calls fdatasync on the data file in the
 *    thread pool, and then writes the copy into the file `flushed`, durably. Only then the older read transaction ends.
 * 3. Opening compares the id of the boot in `flushed` with the system's. The same: the system has not gone down, its cache has all that was
 *    committed, so nothing is lost (kill -9). Another: the copied meta pages are written back, and the environment is what it was at the last flush;
 *    pages written later hang in the air and are free. Where the system has no boot id (anything but Linux) every opening leads back to the
 *    last flush or clean close.
 * 4. What is found is flushed before the first transaction, as its pages may be waiting in the cache, and from then on LMDB may use those of the
 *    older state again.
 *
 * The price: pages that were freed since the last flush are not used again before the next one, and a commit frees about ten even for one small
 * pair. So whoever commits must flush, every few hundred commits at least, or the file grows.
 *
 * After an fdatasync that failed the cache says nothing about the disk any more. The record is then marked so that the next opening goes back as well.
 */
export class FlushedPoint {
  private readonly data: number;
  private readonly file: number;
  private readonly boot: string;
  private last: Record;

  private constructor(data: number, file: number, boot: string, last: Record) {
    this.data = data;
    this.file = file;
    this.boot = boot;
    this.last = last;
  }

  /** Leads a directory back to its last flush where it must. To be called before LMDB opens it. False = nothing was ever flushed here. */
  static restore(directory: string, boot: string): boolean {
    const where = path.join(directory, "flushed");
    if (!existsSync(where)) return false;
    const file = openSync(where, constants.O_RDONLY);
    let last: Record | null;
    try {
      last = newest(file);
      if (last === null && isBlank(file)) return false;
    } finally {
      closeSync(file);
    }
    if (last === null) throw new StoreDamaged(path.basename(directory), `${where} cannot be read`);
    if (last.boot !== "" && last.boot === boot) return true;
    const data = openSync(path.join(directory, "data.mdb"), constants.O_RDWR);
    try {
      for (const page of [0, 1]) writeSync(data, last.metas, page * metaBytes, metaBytes, page * pageBytes);
      fdatasyncSync(data);
    } finally {
      closeSync(data);
    }
    return true;
  }

  /** LMDB has the environment open, and no transaction is under way. Makes durable what there is. */
  static begin(directory: string, boot: string): FlushedPoint {
    const { O_CREAT, O_DSYNC, O_RDWR } = constants;
    const data = openSync(path.join(directory, "data.mdb"), O_RDWR);
    const where = path.join(directory, "flushed");
    const known = existsSync(where);
    const file = openSync(where, O_RDWR | O_CREAT | (O_DSYNC ?? 0), 0o600);
    try {
      const last = known ? newest(file) : null;
      const first = { sequence: (last?.sequence ?? 0) + 1, boot, metas: metasOf(data) };
      fsyncSync(data);
      // Both places at first: later writes change bytes but neither size nor blocks.
      if (!known) writeSync(file, new Uint8Array(2 * recordSpacing), 0, 2 * recordSpacing, 0);
      const bytes = encode(first);
      writeSync(file, bytes, 0, bytes.length, placeOf(first.sequence));
      fsyncSync(file);
      return new FlushedPoint(data, file, boot, first);
    } catch (error) {
      closeSync(file);
      closeSync(data);
      throw error;
    }
  }

  /** To be called between transactions, with a read transaction open on the state of this moment. */
  flush(done: (error: Error | null) => void): void {
    const next = { sequence: this.last.sequence + 1, boot: this.boot, metas: metasOf(this.data) };
    fdatasync(this.data, (error) => {
      if (error !== null) return this.distrust(error, done);
      this.record(next, (error) => (error === null ? done(null) : this.distrust(error, done)));
    });
  }

  close(): void {
    closeSync(this.file);
    closeSync(this.data);
  }

  private record(next: Record, done: (error: Error | null) => void): void {
    const bytes = encode(next);
    write(this.file, bytes, 0, bytes.length, placeOf(next.sequence), (error, written) => {
      if (error !== null) return done(error);
      if (written !== bytes.length) return done(new Error(`wrote ${written} of ${bytes.length} bytes`));
      const finish = (error: Error | null): void => {
        if (error === null) this.last = next;
        done(error);
      };
      if (constants.O_DSYNC === undefined) fdatasync(this.file, finish);
      else finish(null);
    });
  }

  /** The disk may refuse this too: then there is nothing left to do. */
  private distrust(cause: Error, done: (error: Error | null) => void): void {
    // Over the record of the flush that failed: the last good one stays.
    const { metas, sequence } = this.last;
    this.record({ sequence: sequence + 1, boot: "", metas }, () => done(cause));
  }
}

function placeOf(sequence: number): number {
  return (sequence % 2) * recordSpacing;
}

function metasOf(data: number): Uint8Array {
  const metas = new Uint8Array(2 * metaBytes);
  for (const page of [0, 1]) {
    if (readSync(data, metas, page * metaBytes, metaBytes, page * pageBytes) !== metaBytes) throw new Error("data.mdb is too short");
  }
  return metas;
}

/** Its creation was cut off: no record has ever been there. */
function isBlank(file: number): boolean {
  const bytes = new Uint8Array(2 * recordSpacing);
  return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0)).every((byte) => byte === 0);
}

function newest(file: number): Record | null {
  const [one, two] = [0, 1].map((place) => decode(file, place * recordSpacing));
  if (one === undefined || two === undefined) return null;
  if (one === null || two === null) return one ?? two;
  return one.sequence > two.sequence ? one : two;
}

// magic, checksum of what follows, sequence, length and characters of the boot id, meta pages.
function encode({ sequence, boot, metas }: Record): Uint8Array {
  const bytes = new Uint8Array(recordBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, magic);
  view.setBigUint64(8, BigInt(sequence));
  bytes[16] = boot.length;
  for (let i = 0; i < boot.length; i++) bytes[17 + i] = boot.charCodeAt(i);
  bytes.set(metas, 64);
  view.setUint32(4, crc32(bytes.subarray(8)));
  return bytes;
}

function decode(file: number, position: number): Record | null {
  const bytes = new Uint8Array(recordBytes);
  if (readSync(file, bytes, 0, recordBytes, position) !== recordBytes) return null;
  const view = new DataView(bytes.buffer);
  if (view.getUint32(0) !== magic || view.getUint32(4) !== crc32(bytes.subarray(8))) return null;
  const boot = String.fromCharCode(...bytes.subarray(17, 17 + (bytes[16] ?? 0)));
  return { sequence: Number(view.getBigUint64(8)), boot, metas: bytes.slice(64, 64 + 2 * metaBytes) };
}
