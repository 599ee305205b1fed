import { mutant } from "#mutation";
import { ByteReader, decodeMode, hashAscii, limits as wireLimits } from "@trivet/wire";
import type { Account } from "../sessions/account.ts";
import { invariant } from "../kernel/assert.ts";
import { HoldFields } from "./hold-record.ts";
import type { Hold } from "./hold.ts";
import type { Lock } from "./lock.ts";

const none = -1;
const firstPlaces = 64;
/** Whoever says how many will come may be wrong: no more memory than for so many is taken at the word. */
const mostExpected = 2 ** 22;
/** Pages have more than this times the bytes of what is still packed in them: that is not worth their memory. */
const fewLeft = 4;
/** So many are put into smaller arrays at once. */
const mostMoved = 2 ** 17;

/** What a record says, as far as the state needs it of a hold that stays packed. Its texts are places in the record's page. */
export class PackedRecord {
  nameStart = 0;
  nameEnd = 0;
  /** Where the record ends. */
  end = 0;
  nameHash = 0;
  session = 0;
  ownerHash = 0;
  mode: Hold["mode"] = "exclusive";
  fence = 0;
  depth = 0;
  anonymous = false;
  ttlMs = 0;
}

/**
 * Holds as a snapshot has them: bytes of their records, until somebody asks for the name or its session ends. A node that starts with a million locks
 * makes no objects of them, which took it most of its time, and most are never asked for. Only what stands alone is here: the one hold of a name that
 * nobody waits for, of a session that is open, in ASCII. Whatever is to change is unpacked first; nothing that is replicated knows the difference.
 */
export class PackedHolds {
  /** Makes objects of the hold of this number. */
  private readonly build: (fields: HoldFields, id: number) => Lock;
  /** Where they came from; a record lies in one of them whole. */
  private readonly pages: Uint8Array[] = [];
  private page: Uint8Array = nothing;
  private total = 0;
  private left = 0;
  /** Of the pages, and of the records in them that are packed. */
  private pageBytes = 0;
  private packedBytes = 0;
  private pageOf: Uint32Array = new Uint32Array(0);
  /** Where the record begins in its page, its length included. */
  private starts: Uint32Array = new Uint32Array(0);
  private hashes: Int32Array = new Int32Array(0);
  private nextOfBucket: Int32Array = new Int32Array(0);
  private nextOfAccount: Int32Array = new Int32Array(0);
  private unpacked: Uint8Array = new Uint8Array(0);
  private buckets: Int32Array = new Int32Array(0);
  private readonly record = new PackedRecord();
  private readonly fields = new HoldFields();
  private readonly reader = new ByteReader();
  /** All that come have come. */
  private complete = false;
  /** Of the name that was last asked for by `place`. */
  private nameStart = 0;
  private nameEnd = 0;

  constructor(build: (fields: HoldFields, id: number) => Lock) {
    this.build = build;
  }

  /** Those that are still packed. */
  get size(): number {
    return this.left;
  }

  /** Their numbers are below this; some may be unpacked. */
  get end(): number {
    return this.total;
  }

  /** About so many will come. */
  expect(holds: number): void {
    if (this.total === 0) this.makeRoom(Math.min(holds, mostExpected));
  }

  /** No more will come. */
  completed(): void {
    this.complete = true;
    this.page = nothing;
    if (this.left === 0) this.forget();
    else if (this.total < this.starts.length && this.total <= mostMoved) this.makeRoom(this.total);
  }

  /** The bytes that records come from until the next call. They are kept, and never change. */
  from(page: Uint8Array): void {
    this.page = page;
  }

  /**
   * Reads the record of a hold, which `reader` stands at, behind its kind. Null = it cannot stay packed: take it apart from where the reader stood.
   * What is returned is overwritten by the next call. Throws CodecError as those do who take it apart.
   */
  read(reader: ByteReader): PackedRecord | null {
    return this.readFrom(this.page, reader);
  }

  /** What its record says, as `read` told it. Overwritten by the next call. */
  recordOf(id: number): PackedRecord {
    const { reader } = this;
    const page = this.pages[this.pageOf[id] as number] as Uint8Array;
    reader.reset(page, this.starts[id]);
    reader.varint();
    reader.u8();
    const record = this.readFrom(page, reader);
    invariant(record !== null, "packed-stays-packed", () => `the record of the packed hold ${id}`);
    return record;
  }

  private readFrom(page: Uint8Array, reader: ByteReader): PackedRecord | null {
    const { record } = this;
    const nameBytes = reader.varint();
    record.nameStart = reader.position;
    reader.skip(nameBytes);
    record.nameEnd = reader.position;
    const nameHash = hashAscii(page, record.nameStart, record.nameEnd);
    record.session = reader.varint();
    if (nameHash === null || record.session === 0 || nameBytes > wireLimits.maxNameBytes) return null;
    const ownerBytes = reader.varint();
    const ownerStart = reader.position;
    reader.skip(ownerBytes);
    const ownerHash = hashAscii(page, ownerStart, reader.position);
    if (ownerHash === null || ownerBytes > wireLimits.maxDetailBytes) return null;
    record.nameHash = nameHash;
    record.ownerHash = ownerHash;
    record.mode = decodeMode(reader);
    reader.varint();
    record.fence = reader.varint();
    record.depth = reader.varint();
    record.anonymous = reader.u8() === 1;
    record.ttlMs = reader.varint();
    reader.varint();
    record.end = reader.position;
    return record;
  }

  /** Keeps what was read last, whose record begins at `start`, as one of `account`; there is none of that name. */
  add(start: number, account: Account): void {
    if (this.pages.at(-1) !== this.page) {
      this.pages.push(this.page);
      this.pageBytes += this.page.length;
    }
    if (this.total === this.starts.length) this.makeRoom(Math.max(firstPlaces, this.total * 2));
    const { nameHash } = this.record;
    const id = this.total++;
    this.left++;
    this.pageOf[id] = this.pages.length - 1;
    this.starts[id] = start;
    this.packedBytes += this.record.end - start;
    this.hashes[id] = nameHash;
    this.link(id);
    this.nextOfAccount[id] = account.firstPacked;
    account.firstPacked = id;
  }

  /** Is the name that was read last that of `lock`? */
  isRead(lock: Lock): boolean {
    const { nameStart, nameEnd } = this.record;
    return isText(this.page, nameStart, nameEnd, lock.name);
  }

  /** The one that has the name that was read last; -1 = none. */
  sameAsRead(): number {
    const { nameStart, nameEnd, nameHash } = this.record;
    for (let id = this.firstOf(nameHash); id !== none; id = this.nextOfBucket[id] as number) {
      if (this.hashes[id] !== nameHash || this.unpacked[id] === 1) continue;
      const page = this.place(id);
      if (this.nameEnd - this.nameStart !== nameEnd - nameStart) continue;
      let at = 0;
      while (nameStart + at < nameEnd && page[this.nameStart + at] === this.page[nameStart + at]) at++;
      if (nameStart + at === nameEnd) return id;
    }
    return none;
  }

  /** The one of this name; -1 = none. */
  find(name: string, hash: number): number {
    if (this.left === 0) return none;
    for (let id = this.firstOf(hash); id !== none; id = this.nextOfBucket[id] as number) {
      if (this.hashes[id] !== hash || this.unpacked[id] === 1) continue;
      const page = this.place(id);
      if (isText(page, this.nameStart, this.nameEnd, name)) return id;
    }
    return none;
  }

  isPacked(id: number): boolean {
    return id < this.total && this.unpacked[id] === 0;
  }

  /** Those of the account, in no meaningful order. */
  of(account: Account): number[] {
    const ids: number[] = [];
    if (mutant("lock-packed-outlives-session")) return ids;
    for (let id = account.firstPacked; id >= 0; id = this.nextOfAccount[id] as number) if (this.isPacked(id)) ids.push(id);
    return ids;
  }

  /** The bytes of its record, its length and kind included. */
  bytes(id: number): Uint8Array {
    const end = this.endOf(id);
    return (this.pages[this.pageOf[id] as number] as Uint8Array).subarray(this.starts[id], end);
  }

  /** What it says. Overwritten by the next call. */
  fieldsOf(id: number): HoldFields {
    const page = this.pages[this.pageOf[id] as number] as Uint8Array;
    this.reader.reset(page, this.starts[id]);
    this.reader.varint();
    this.reader.u8();
    this.fields.read(this.reader);
    return this.fields;
  }

  /** The fence in it, of which no object is made. */
  fenceOf(id: number): number {
    const { reader } = this;
    reader.reset(this.place(id), this.nameEnd);
    reader.varint();
    reader.skip(reader.varint());
    decodeMode(reader);
    reader.varint();
    return reader.varint();
  }

  /** All that are packed; each is overwritten by the next. */
  *all(): IterableIterator<HoldFields> {
    for (let id = 0; id < this.total; id++) if (this.isPacked(id)) yield this.fieldsOf(id);
  }

  /** Its lock, as an object from now on. */
  unpack(id: number): Lock {
    const fields = this.fieldsOf(id);
    this.takeOut(id);
    const lock = this.build(fields, id);
    this.forgetIfEmpty();
    return lock;
  }

  /** It is over, without having been an object. */
  take(id: number): void {
    this.takeOut(id);
    this.forgetIfEmpty();
  }

  /** Compares the names of two, in the order of their bytes. */
  compare(a: number, b: number): number {
    const left = this.place(a);
    const { nameStart: leftStart, nameEnd: leftEnd } = this;
    const right = this.place(b);
    const length = Math.min(leftEnd - leftStart, this.nameEnd - this.nameStart);
    for (let at = 0; at < length; at++) {
      const difference = (left[leftStart + at] as number) - (right[this.nameStart + at] as number);
      if (difference !== 0) return difference;
    }
    return leftEnd - leftStart - (this.nameEnd - this.nameStart);
  }

  /** The same of one and a text. Names here are ASCII: whatever is not comes after them, in UTF-16 as in bytes. */
  compareText(id: number, text: string): number {
    const page = this.place(id);
    const length = Math.min(this.nameEnd - this.nameStart, text.length);
    for (let at = 0; at < length; at++) {
      const difference = (page[this.nameStart + at] as number) - text.charCodeAt(at);
      if (difference !== 0) return difference;
    }
    return this.nameEnd - this.nameStart - text.length;
  }

  startsWith(id: number, prefix: string): boolean {
    const page = this.place(id);
    return prefix.length <= this.nameEnd - this.nameStart && isText(page, this.nameStart, this.nameStart + prefix.length, prefix);
  }

  /** The few that are left of many take the memory of all: they are better unpacked. */
  get isSparse(): boolean {
    return this.left > 0 && this.packedBytes * fewLeft < this.pageBytes;
  }

  /** The page of `id`; where its name is there stands in `nameStart` and `nameEnd`. */
  private place(id: number): Uint8Array {
    const page = this.pages[this.pageOf[id] as number] as Uint8Array;
    let at = this.starts[id] as number;
    while ((page[at] as number) >= 0x80) at++;
    // Behind the record's length its kind, then the length of the name, which is below 2^14.
    at += 2;
    let length = page[at++] as number;
    if (length >= 0x80) length = (length & 0x7f) | ((page[at++] as number) << 7);
    this.nameStart = at;
    this.nameEnd = at + length;
    return page;
  }

  private takeOut(id: number): void {
    this.unpacked[id] = 1;
    this.left--;
    this.packedBytes -= this.endOf(id) - (this.starts[id] as number);
  }

  private forgetIfEmpty(): void {
    if (this.left === 0 && this.complete) this.forget();
  }

  /** Where its record ends in its page. */
  private endOf(id: number): number {
    const { reader } = this;
    reader.reset(this.pages[this.pageOf[id] as number] as Uint8Array, this.starts[id]);
    const length = reader.varint();
    return reader.position + length;
  }

  private firstOf(hash: number): number {
    return this.buckets.length === 0 ? none : (this.buckets[hash & (this.buckets.length - 1)] as number);
  }

  private link(id: number): void {
    const place = (this.hashes[id] as number) & (this.buckets.length - 1);
    this.nextOfBucket[id] = this.buckets[place] as number;
    this.buckets[place] = id;
  }

  private makeRoom(places: number): void {
    this.pageOf = grown(this.pageOf, new Uint32Array(places));
    this.starts = grown(this.starts, new Uint32Array(places));
    this.hashes = grown(this.hashes, new Int32Array(places));
    this.nextOfBucket = grown(this.nextOfBucket, new Int32Array(places));
    this.nextOfAccount = grown(this.nextOfAccount, new Int32Array(places));
    this.unpacked = grown(this.unpacked, new Uint8Array(places));
    this.buckets = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(1, places)))).fill(none);
    for (let id = 0; id < this.total; id++) this.link(id);
  }

  private forget(): void {
    this.pages.length = 0;
    this.pageBytes = 0;
    this.total = 0;
    this.makeRoom(0);
  }
}

const nothing: Uint8Array = new Uint8Array(0);

function isText(page: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let at = 0; at < text.length; at++) if (page[start + at] !== text.charCodeAt(at)) return false;
  return true;
}

function grown<Places extends Int32Array | Uint32Array | Uint8Array>(from: Places, to: Places): Places {
  to.set(from.subarray(0, to.length));
  return to;
}
