import { mutant } from "#mutation";
import { ByteWriter, encodeQueue } from "@trivet/wire";
import { invariant } from "../kernel/assert.ts";
import type { Hold } from "../locks/hold.ts";
import type { Delay } from "../locks/lock.ts";
import type { LockState } from "../locks/lock-state.ts";
import type { Wait } from "../locks/wait.ts";
import type { Account } from "../sessions/account.ts";
import type { CallerRecord } from "../sessions/caller-record.ts";
import { writeAudited } from "./audit-codec.ts";
import type { BeforeImages } from "./ledger.ts";
import {
  type SnapshotHeader,
  recordKinds,
  writeCaller,
  writeDelay,
  writeHeader,
  writeHold,
  writeSession,
  writeWait,
} from "./snapshot-format.ts";
import type { AuditedNodeView, QueueView } from "./view.ts";

/** Work of one step at most: a record passed over costs 1, one written costs 5. About 1 ms where all memory is cold. */
const workPerStep = 10_000;
const writeCost = 5;

/**
 * Cuts the state as it is at this instant while entries go on being applied (rule W8). Each record carries the number of the snapshot
 * that has it. The cursor walks all records and writes those that this snapshot lacks; who is about to change or remove such a record
 * writes it first, as it still is; a new record carries the number from birth. So each record of the instant is written exactly once,
 * in whatever order.
 */
export class SnapshotCursor implements BeforeImages {
  private readonly locks: LockState;
  /** Those of the instant: a definition is replaced, never changed, so these need no images. */
  private readonly queues: readonly QueueView[];
  private readonly audited: readonly AuditedNodeView[];
  private readonly writer = new ByteWriter(65_536);
  private readonly walk: Iterator<void>;
  private maxBytes = 0;
  private work = 0;
  private rest: Uint8Array = nothing;
  /** Those with lower numbers are written. */
  private packedAt = 0;
  private walking = true;

  constructor(locks: LockState, queues: readonly QueueView[], audited: readonly AuditedNodeView[], header: SnapshotHeader) {
    const { ledger } = locks;
    invariant(ledger.images === null, "one-snapshot-at-a-time");
    this.locks = locks;
    this.queues = queues;
    this.audited = audited;
    ledger.epoch++;
    ledger.images = this;
    const start = this.open(recordKinds.header);
    writeHeader(this.writer, header);
    this.writer.closeLength(start);
    this.walk = this.records();
  }

  /** The next at most `maxBytes`, null at the end. May be empty when a step only met records that are written already. */
  next(maxBytes: number): Uint8Array | null {
    if (this.rest.length === 0 && this.walking) this.step(maxBytes);
    if (this.rest.length === 0 && !this.walking) return null;
    const chunk = this.rest.subarray(0, maxBytes);
    this.rest = this.rest.subarray(chunk.length);
    return chunk;
  }

  /** Stops keeping before-images. The bytes so far are worthless. */
  abort(): void {
    this.walking = false;
    this.rest = nothing;
    if (this.locks.ledger.images === this) this.locks.ledger.images = null;
  }

  hold(hold: Hold): void {
    const start = this.open(recordKinds.hold);
    writeHold(this.writer, hold);
    this.writer.closeLength(start);
  }

  unpacking(id: number): void {
    if (id >= this.packedAt || mutant("snapshot-packed-twice")) this.packed(id);
  }

  wait(wait: Wait): void {
    const start = this.open(recordKinds.wait);
    writeWait(this.writer, wait);
    this.writer.closeLength(start);
  }

  session(account: Account): void {
    const start = this.open(recordKinds.session);
    writeSession(this.writer, account);
    this.writer.closeLength(start);
  }

  delay(delay: Delay): void {
    const start = this.open(recordKinds.delay);
    writeDelay(this.writer, delay);
    this.writer.closeLength(start);
  }

  caller(record: CallerRecord): void {
    const start = this.open(recordKinds.caller);
    writeCaller(this.writer, record);
    this.writer.closeLength(start);
  }

  private step(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.work = 0;
    if (this.walk.next().done === true) {
      this.walking = false;
      this.locks.ledger.images = null;
      this.writer.closeLength(this.open(recordKinds.end));
    }
    this.rest = this.writer.finish();
    this.writer.reset();
  }

  private packed(id: number): void {
    this.work += writeCost;
    this.writer.raw(this.locks.packed.bytes(id));
  }

  private open(kind: number): number {
    this.work += writeCost;
    const start = this.writer.openLength();
    this.writer.u8(kind);
    return start;
  }

  private get full(): boolean {
    return ++this.work >= workPerStep || this.writer.length >= this.maxBytes;
  }

  private *records(): Generator<void> {
    yield* this.sessions();
    yield* this.packedHolds();
    yield* this.holds();
    yield* this.waits();
    yield* this.delays();
    yield* this.callers();
    yield* this.definitions();
  }

  private *sessions(): Generator<void> {
    const { epoch } = this.locks.ledger;
    for (const account of this.locks.sessions.sessions.values()) {
      if (this.full) yield;
      if (account.epoch === epoch) continue;
      account.epoch = epoch;
      this.session(account);
    }
  }

  /** As they came. Before the others: who is unpacked meanwhile is met there, and passed over as written. */
  private *packedHolds(): Generator<void> {
    const { packed } = this.locks;
    while (this.packedAt < packed.end) {
      if (this.full) yield;
      const id = this.packedAt++;
      if (packed.isPacked(id)) this.packed(id);
    }
  }

  /** A lock's list may change while this rests, so it begins again at its head: what is written already is passed over quickly. */
  private *holds(): Generator<void> {
    const { epoch } = this.locks.ledger;
    for (const lock of this.locks.table.values()) {
      if (this.full) yield;
      for (let hold = lock.firstHold; hold !== null; hold = hold.nextOfLock) {
        if (hold.epoch === epoch && !mutant("snapshot-new-included")) continue;
        if (this.full) {
          yield;
          hold = lock.firstHold;
          if (hold === null) break;
          if (hold.epoch === epoch) continue;
        }
        hold.epoch = epoch;
        this.hold(hold);
      }
    }
  }

  private *waits(): Generator<void> {
    const { epoch } = this.locks.ledger;
    for (const wait of this.locks.waits.values()) {
      if (this.full) yield;
      if (wait.epoch === epoch) continue;
      wait.epoch = epoch;
      this.wait(wait);
    }
  }

  private *delays(): Generator<void> {
    const { epoch } = this.locks.ledger;
    for (const delay of this.locks.delays.values()) {
      if (this.full) yield;
      if (delay.epoch === epoch) continue;
      delay.epoch = epoch;
      this.delay(delay);
    }
  }

  private *callers(): Generator<void> {
    const { epoch } = this.locks.ledger;
    for (const record of this.locks.dedupe.records()) {
      if (this.full) yield;
      if (record.epoch === epoch) continue;
      record.epoch = epoch;
      this.caller(record);
    }
  }

  private *definitions(): Generator<void> {
    for (const view of this.queues) {
      if (this.full) yield;
      const start = this.open(recordKinds.queue);
      encodeQueue(this.writer, view);
      this.writer.closeLength(start);
    }
    for (const view of this.audited) {
      if (this.full) yield;
      const start = this.open(recordKinds.audited);
      writeAudited(this.writer, view);
      this.writer.closeLength(start);
    }
  }
}

const nothing: Uint8Array = new Uint8Array(0);
