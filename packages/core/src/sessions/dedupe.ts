import { mutant } from "#mutation";
import { type FrameHeader, type RefusalReason, type Result, limits as wireLimits } from "@trivet/wire";
import { Digest, hashText, spread } from "../system/digest.ts";
import type { Ledger } from "../system/ledger.ts";
import { Bucket, CallerRecord, type Slot, baseDigest, slotDigest } from "./caller-record.ts";

const window = wireLimits.callerWindow;
/** Records that end within the same 8 s leave together: an active caller moves between buckets rarely. */
const bucketMs = 8192;
const shardBits = 8;
const shardMask = (1 << shardBits) - 1;
/** Records of ended callers whose memory one entry gives back. */
const sweepPerEntry = 256;

/** Exactly once within the window (rule X1): what each caller has asked and been answered. */
export class DedupeTable {
  readonly shards: readonly Map<string, CallerRecord>[] = Array.from({ length: shardMask + 1 }, () => new Map<string, CallerRecord>());
  private readonly ledger: Ledger;
  private readonly buckets: Map<number, Bucket> = new Map();
  private nextEnd = Number.POSITIVE_INFINITY;
  private condemned: Bucket[] = [];
  private callers = 0;
  /** Sum over all records and their slots. */
  readonly digest: Digest = new Digest();

  constructor(ledger: Ledger) {
    this.ledger = ledger;
  }

  /** Callers remembered. */
  get size(): number {
    return this.callers;
  }

  find(caller: string): CallerRecord | undefined {
    const record = (this.shards[hashText(caller) & shardMask] as Map<string, CallerRecord>).get(caller);
    return record === undefined || record.bucket?.gone === true ? undefined : record;
  }

  /** The record that a frame's commands go to, or why they are refused as a whole. */
  admit(header: FrameHeader): CallerRecord | RefusalReason | "horizon" {
    const { ledger } = this;
    const late = ledger.groupTime > header.notAfter;
    if (this.beyondHorizon(header.notAfter)) return "horizon";
    const known = this.find(header.caller);
    if (known !== undefined) {
      if (known.fingerprint === null) this.setFingerprint(known, header.fingerprint);
      if (known.fingerprint !== header.fingerprint && !mutant("dedupe-fingerprint-ignored")) return "other-body";
      if (!late && header.notAfter > known.notAfter) this.setDeadline(known, header.notAfter);
      if (header.ackedUpTo > known.ackedUpTo) this.acknowledge(known, header.ackedUpTo);
      return known;
    }
    if (late && !mutant("dedupe-late-executed")) return "past-deadline";
    if (this.callers >= ledger.limits.callers && !mutant("dedupe-callers-unbounded")) return "too-many-callers";
    const record = this.create(header.caller, header.fingerprint, header.notAfter);
    if (header.ackedUpTo > 0) this.acknowledge(record, header.ackedUpTo);
    return record;
  }

  /** Why `sequence`, which the record does not know, must not be executed; null when it may be. */
  refusal(record: CallerRecord, sequence: number, notAfter: number): RefusalReason | null {
    if (sequence <= record.ackedUpTo && !mutant("dedupe-acknowledged-executed")) return "already-acknowledged";
    if (this.ledger.groupTime > notAfter && !mutant("dedupe-late-executed")) return "past-deadline";
    if (sequence > record.ackedUpTo + window && !mutant("dedupe-window-unbounded")) return "window-full";
    return null;
  }

  /** Stores the answer of a fresh command, or the wait that will bring it. */
  put(record: CallerRecord, sequence: number, slot: Slot): void {
    if (mutant("dedupe-answer-forgotten")) return;
    if (typeof slot === "number" && mutant("dedupe-pending-forgotten")) return;
    this.preserve(record);
    // A command may have answered itself ahead (a cancel that names its own sequence).
    const replaced = record.get(sequence);
    if (replaced !== undefined) this.uncount(record, slotDigest(record, sequence, replaced));
    record.set(sequence, slot);
    this.count(record, slotDigest(record, sequence, slot));
  }

  /** The wait `id` of (caller, sequence) is over: its place gets the answer, if the caller still cares. */
  fill(caller: string, sequence: number, id: number, result: Result): void {
    const record = this.find(caller);
    if (record === undefined || record.get(sequence) !== id || mutant("dedupe-pending-never-filled")) return;
    this.preserve(record);
    record.set(sequence, result);
    this.uncount(record, slotDigest(record, sequence, id));
    this.count(record, slotDigest(record, sequence, result));
  }

  /**
   * A cancel overtook its request (a retry through another leader may do that): the request is answered before it comes, so that it
   * is never granted to nobody. False when it cannot come any more.
   */
  answerAhead(caller: string, sequence: number, result: Result): boolean {
    const { ledger } = this;
    let record = this.find(caller);
    if (record === undefined) {
      if (this.callers >= ledger.limits.callers) return false;
      record = this.create(caller, null, ledger.groupTime);
    }
    if (sequence <= record.ackedUpTo || sequence > record.ackedUpTo + window || record.get(sequence) !== undefined) return false;
    this.put(record, sequence, result);
    return true;
  }

  /** What is known of a request (rule X3). */
  lookup(caller: string, sequence: number): Result | "pending" | "unknown" {
    const record = this.find(caller);
    if (record === undefined) return "unknown";
    const slot = record.get(sequence);
    if (typeof slot === "number") return "pending";
    if (slot !== undefined) return slot;
    return sequence <= record.ackedUpTo ? { type: "refused", reason: "already-acknowledged" } : "unknown";
  }

  /** Drops what group time has outlived. Bounded work: records leave the count at once and their memory over the next entries. */
  sweep(): void {
    const { groupTime } = this.ledger;
    if (groupTime >= this.nextEnd && !mutant("dedupe-never-expires")) this.condemn(groupTime);
    let left = sweepPerEntry;
    while (this.condemned.length > 0 && left > 0) {
      const bucket = this.condemned[0] as Bucket;
      while (bucket.first !== null && left > 0) {
        this.erase(bucket.first);
        left--;
      }
      if (bucket.first === null) this.condemned.shift();
    }
  }

  /** Every remembered caller, in no meaningful order. */
  *records(): IterableIterator<CallerRecord> {
    for (const shard of this.shards) for (const record of shard.values()) if (record.bucket?.gone !== true) yield record;
  }

  /** Takes in a complete record from a snapshot. False when its caller is already there. */
  restore(record: CallerRecord): boolean {
    if (this.find(record.caller) !== undefined) return false;
    this.insert(record);
    for (const [sequence, slot] of record.kept()) this.count(record, slotDigest(record, sequence, slot));
    return true;
  }

  private create(caller: string, fingerprint: string | null, notAfter: number): CallerRecord {
    const stale = (this.shards[hashText(caller) & shardMask] as Map<string, CallerRecord>).get(caller);
    if (stale !== undefined) this.erase(stale);
    const record = new CallerRecord(caller, fingerprint, notAfter, this.ledger.epoch);
    this.insert(record);
    return record;
  }

  private insert(record: CallerRecord): void {
    (this.shards[record.hash & shardMask] as Map<string, CallerRecord>).set(record.caller, record);
    this.callers++;
    this.join(record);
    this.count(record, baseDigest(record));
  }

  private setFingerprint(record: CallerRecord, fingerprint: string): void {
    this.preserve(record);
    this.uncount(record, baseDigest(record));
    record.fingerprint = fingerprint;
    this.count(record, baseDigest(record));
  }

  private setDeadline(record: CallerRecord, notAfter: number): void {
    this.preserve(record);
    this.uncount(record, baseDigest(record));
    record.notAfter = notAfter;
    this.count(record, baseDigest(record));
    if (this.endOf(notAfter) === record.bucket?.endsAt || mutant("dedupe-deadline-not-extended")) return;
    this.leave(record);
    this.join(record);
  }

  private acknowledge(record: CallerRecord, upTo: number): void {
    this.preserve(record);
    this.uncount(record, baseDigest(record));
    const last = Math.min(upTo, record.ackedUpTo + window);
    for (let sequence = record.ackedUpTo + 1; sequence <= last; sequence++) {
      const slot = record.forget(sequence);
      if (slot !== undefined) this.uncount(record, slotDigest(record, sequence, slot));
    }
    record.ackedUpTo = upTo;
    this.count(record, baseDigest(record));
  }

  private beyondHorizon(notAfter: number): boolean {
    return notAfter > this.ledger.groupTime + this.ledger.limits.deadlineHorizonMs && !mutant("dedupe-horizon-ignored");
  }

  private preserve(record: CallerRecord): void {
    const { ledger } = this;
    if (ledger.images === null || record.epoch === ledger.epoch || mutant("snapshot-no-image-caller")) return;
    record.epoch = ledger.epoch;
    ledger.images.caller(record);
  }

  private count(record: CallerRecord, hash: number): void {
    record.low = (record.low + hash) | 0;
    record.high = (record.high + spread(hash)) | 0;
    record.bucket?.digest.add(hash);
    this.digest.add(hash);
  }

  private uncount(record: CallerRecord, hash: number): void {
    record.low = (record.low - hash) | 0;
    record.high = (record.high - spread(hash)) | 0;
    record.bucket?.digest.remove(hash);
    this.digest.remove(hash);
  }

  private endOf(notAfter: number): number {
    return (Math.floor((notAfter + this.ledger.limits.dedupeRetentionMs) / bucketMs) + 1) * bucketMs;
  }

  private join(record: CallerRecord): void {
    const endsAt = this.endOf(record.notAfter);
    let bucket = this.buckets.get(endsAt);
    if (bucket === undefined) {
      bucket = new Bucket(endsAt);
      this.buckets.set(endsAt, bucket);
      this.nextEnd = Math.min(this.nextEnd, endsAt);
    }
    record.bucket = bucket;
    record.previous = null;
    record.next = bucket.first;
    if (bucket.first !== null) bucket.first.previous = record;
    bucket.first = record;
    bucket.count++;
    bucket.digest.addAll(record);
  }

  private leave(record: CallerRecord): void {
    const { bucket, previous, next } = record;
    if (bucket === null) return;
    if (previous === null) bucket.first = next;
    else previous.next = next;
    if (next !== null) next.previous = previous;
    bucket.count--;
    bucket.digest.removeAll(record);
    record.bucket = null;
    if (bucket.count === 0 && !bucket.gone) this.buckets.delete(bucket.endsAt);
  }

  /** From this entry on the ended records do not exist; looking for them finds nothing. */
  private condemn(groupTime: number): void {
    const ended = [...this.buckets.values()].filter((bucket) => bucket.endsAt <= groupTime);
    for (const bucket of ended) {
      this.buckets.delete(bucket.endsAt);
      if (this.ledger.images !== null) this.preserveAll(bucket);
      bucket.gone = true;
      this.callers -= bucket.count;
      this.digest.removeAll(bucket.digest);
      this.condemned.push(bucket);
    }
    this.nextEnd = Number.POSITIVE_INFINITY;
    for (const endsAt of this.buckets.keys()) this.nextEnd = Math.min(this.nextEnd, endsAt);
  }

  private preserveAll(bucket: Bucket): void {
    for (let record = bucket.first; record !== null; record = record.next) this.preserve(record);
  }

  /** Gives back the memory of a record that is gone already. */
  private erase(record: CallerRecord): void {
    this.leave(record);
    const shard = this.shards[record.hash & shardMask] as Map<string, CallerRecord>;
    if (shard.get(record.caller) === record) shard.delete(record.caller);
  }
}
