import type { Prng } from "@trivet/core";

/** The smallest unit a disk writes or leaves unwritten. */
const sectorBytes = 512;

/** How much of what was not synced survives a power loss. */
export interface CrashOptions {
  /** Of the sectors not synced. `mixed` draws per file: none, all, or each sector by chance, so that later ones may survive earlier ones. */
  readonly unsynced?: "none" | "all" | "mixed";
}

type Change =
  | { readonly type: "write"; readonly serial: number; readonly position: number; readonly bytes: Uint8Array }
  | { readonly type: "truncate"; readonly serial: number; readonly length: number };

/** Bytes with a length of their own, in a buffer that grows. */
class Extent {
  buffer: Uint8Array = new Uint8Array(0);
  length = 0;

  write(position: number, bytes: Uint8Array): void {
    this.resize(Math.max(this.length, position + bytes.length));
    this.buffer.set(bytes, position);
  }

  /** New bytes are zero. */
  resize(length: number): void {
    if (length > this.buffer.length) {
      const larger = new Uint8Array(Math.max(length, this.buffer.length * 2, 1024));
      larger.set(this.buffer.subarray(0, this.length));
      this.buffer = larger;
    }
    if (length < this.length) this.buffer.fill(0, length, this.length);
    this.length = length;
  }

  bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  replace(bytes: Uint8Array): void {
    this.buffer = new Uint8Array(bytes);
    this.length = bytes.length;
  }
}

/** One file: what programs see, what the disk holds, and the changes in between. */
export class FileContent {
  private readonly seen = new Extent();
  private readonly durable = new Extent();
  private pending: Change[] = [];
  private serial = 0;

  get length(): number {
    return this.seen.length;
  }

  get unsynced(): boolean {
    return this.pending.length > 0;
  }

  /** The caller may reuse `chunks` afterwards. Returns what a sync has to name to cover this. */
  write(position: number, chunks: readonly Uint8Array[]): number {
    let total = 0;
    for (const chunk of chunks) total += chunk.length;
    const bytes = new Uint8Array(total);
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    this.seen.write(position, bytes);
    this.pending.push({ type: "write", serial: ++this.serial, position, bytes });
    return this.serial;
  }

  truncate(length: number): void {
    this.seen.resize(length);
    this.pending.push({ type: "truncate", serial: ++this.serial, length });
  }

  read(position: number, length: number): Uint8Array {
    return this.seen.buffer.slice(Math.min(position, this.seen.length), Math.min(position + length, this.seen.length));
  }

  get lastChange(): number {
    return this.serial;
  }

  /** Everything up to change `serial` is on the disk now. */
  sync(serial: number): void {
    let done = 0;
    for (const change of this.pending) {
      if (change.serial > serial) break;
      this.persist(change);
      done++;
    }
    this.pending.splice(0, done);
  }

  /** A failed sync: the system forgets that the pages were dirty, though programs still read them; no later sync writes them. */
  loseUnsynced(serial: number): void {
    this.pending = this.pending.filter((change) => change.serial > serial);
  }

  /** Flips a bit, on disk and in what is read. */
  flip(offset: number, bit: number): void {
    for (const extent of [this.seen, this.durable]) {
      if (offset < extent.length) extent.buffer[offset] = (extent.buffer[offset] as number) ^ (1 << bit);
    }
  }

  /** Damage from outside: on disk and in what is read. */
  overwrite(bytes: Uint8Array): void {
    this.pending = [];
    this.seen.replace(bytes);
    this.durable.replace(bytes);
  }

  /** Power loss: what was synced stays, of the rest a part (see CrashOptions). */
  crash(prng: Prng, options: CrashOptions): void {
    const fate =
      options.unsynced === undefined || options.unsynced === "mixed" ? prng.pick(["none", "all", "some", "some"]) : options.unsynced;
    if (fate === "all") this.sync(this.serial);
    if (fate === "some") this.keepSome(prng);
    this.pending = [];
    this.seen.replace(this.durable.bytes());
  }

  copy(): FileContent {
    const copy = new FileContent();
    copy.seen.replace(this.seen.bytes());
    copy.durable.replace(this.durable.bytes());
    copy.pending = [...this.pending];
    copy.serial = this.serial;
    return copy;
  }

  private persist(change: Change): void {
    if (change.type === "write") this.durable.write(change.position, change.bytes);
    else this.durable.resize(change.length);
  }

  /**
   * Sectors reach the disk in any order, but one sector shows its changes in theirs. The size is metadata: it may arrive before the
   * data (then zeros are read), and a truncation may be lost while data written after it is not.
   */
  private keepSome(prng: Prng): void {
    const stuck = new Set<number>();
    const chance = prng.next();
    let metadataStuck = false;
    for (const change of this.pending) {
      if (change.type === "truncate") {
        metadataStuck ||= !prng.chance(chance);
        if (!metadataStuck) this.persist(change);
        continue;
      }
      const end = change.position + change.bytes.length;
      for (let from = change.position; from < end;) {
        const sector = Math.floor(from / sectorBytes);
        const to = Math.min(end, (sector + 1) * sectorBytes);
        if (!stuck.has(sector) && !prng.chance(chance)) stuck.add(sector);
        if (!stuck.has(sector)) this.durable.write(from, change.bytes.subarray(from - change.position, to - change.position));
        from = to;
      }
    }
    if (!metadataStuck && prng.chance(0.3)) this.durable.resize(Math.max(this.durable.length, this.seen.length));
  }
}
