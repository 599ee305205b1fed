import type { GroupId, SnapshotMeta } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Clock } from "../ports/clock.ts";
import type { Crypto } from "../ports/crypto.ts";
import type { FileHandle, FileStore, IoError } from "../ports/file.ts";
import { DamagedSnapshot, verifySnapshot } from "./snapshot-file.ts";

type Received = (durableBytes: number, failed: boolean) => void;

interface Part {
  readonly meta: SnapshotMeta;
  readonly path: string;
  readonly handle: FileHandle;
  durable: number;
  /** Every byte was checked. */
  complete: boolean;
}

export interface ReceiverOwner {
  readonly files: FileStore;
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly group: GroupId;
  readonly pathFor: (id: string) => string;
  readonly fail: (error: IoError | null) => void;
}

/**
 * Takes a snapshot from a peer piece by piece. Pieces of two snapshots are never mixed: another id begins a new file (mutant 33). A
 * sender that reconnects goes on where the durable bytes end.
 */
export class SnapshotReceiver {
  private readonly owner: ReceiverOwner;
  private part: Part | null = null;
  private readonly jobs: (() => void)[] = [];
  private busy = false;

  constructor(owner: ReceiverOwner) {
    this.owner = owner;
  }

  receive(meta: SnapshotMeta, offset: number, data: Uint8Array, last: boolean, done: Received): void {
    this.enqueue((end) => this.accept(meta, offset, data, last, (durable, failed) => end(() => done(durable, failed))));
  }

  /** Gives away the complete file of that snapshot, null when there is none. */
  take(meta: SnapshotMeta, done: (path: string | null) => void): void {
    this.enqueue((end) => {
      const { part } = this;
      if (part === null || part.meta.id !== meta.id || !part.complete) return this.later(() => end(() => done(null)));
      this.part = null;
      part.handle.close((error) => {
        if (error !== null) this.owner.fail(error);
        else end(() => done(part.path));
      });
    });
  }

  /** Jobs run one after the other; `end` frees the way before it reports. */
  private enqueue(job: (end: (report: () => void) => void) => void): void {
    this.jobs.push(() =>
      job((report) => {
        this.busy = false;
        report();
        this.runNext();
      }),
    );
    this.runNext();
  }

  private runNext(): void {
    if (this.busy) return;
    const job = this.jobs.shift();
    if (job === undefined) return;
    this.busy = true;
    job();
  }

  private accept(meta: SnapshotMeta, offset: number, data: Uint8Array, last: boolean, done: Received): void {
    const { part } = this;
    const same = part !== null && (part.meta.id === meta.id || (mutant("wal-33-mixed-snapshots") && offset > 0));
    if (part !== null && same) return this.append(part, offset, data, last, done);
    if (offset !== 0) return this.later(() => done(0, false));
    this.dropPart(() => this.begin(meta, (fresh) => this.append(fresh, offset, data, last, done)));
  }

  private begin(meta: SnapshotMeta, done: (part: Part) => void): void {
    const { files } = this.owner;
    const path = this.owner.pathFor(meta.id);
    files.open(path, "create", (error, handle) => {
      if (error?.code === "exists") {
        files.remove(path, (error) => (error === null ? this.begin(meta, done) : this.owner.fail(error)));
        return;
      }
      if (handle === undefined) return this.owner.fail(error);
      this.part = { meta, path, handle, durable: 0, complete: false };
      done(this.part);
    });
  }

  private append(part: Part, offset: number, data: Uint8Array, last: boolean, done: Received): void {
    // A repeated or early piece: tell where to go on.
    if (offset !== part.durable || part.complete) return this.later(() => done(part.durable, false));
    if (offset + data.length > part.meta.bytes) return this.refuse(done);
    part.handle.writeDurable(offset, [data], (error) => {
      if (error !== null) return this.owner.fail(error);
      part.durable += data.length;
      if (last) this.check(part, done);
      else done(part.durable, false);
    });
  }

  private check(part: Part, done: Received): void {
    const { crypto, group } = this.owner;
    verifySnapshot(part.handle, crypto, (error, verified) => {
      if (error !== null && !(error.cause instanceof DamagedSnapshot)) return this.owner.fail(error);
      const { meta } = part;
      const good =
        verified !== null &&
        verified.bytes === meta.bytes &&
        verified.description.group === group &&
        verified.description.id === meta.id &&
        verified.description.index === meta.index &&
        verified.description.term === meta.term;
      if (!good) return this.refuse(done);
      part.complete = true;
      done(part.durable, false);
    });
  }

  private refuse(done: Received): void {
    this.dropPart(() => done(0, true));
  }

  private dropPart(done: () => void): void {
    const { part } = this;
    this.part = null;
    if (part === null) return done();
    part.handle.close((error) => {
      if (error !== null) return this.owner.fail(error);
      this.owner.files.remove(part.path, (error) => (error === null ? done() : this.owner.fail(error)));
    });
  }

  /** Callbacks are never called synchronously (contract of the store). */
  private later(run: () => void): void {
    this.owner.clock.defer(run);
  }
}
