import type { GroupId, HardState, LogIndex } from "@trivet/core";
import { invariant } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Clock } from "../ports/clock.ts";
import type { Crypto } from "../ports/crypto.ts";
import type { FileHandle, FileStore, IoError } from "../ports/file.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import { BatchBuilder } from "./batch.ts";
import type { Floors } from "./floors.ts";
import { logLimits } from "./limits.ts";
import type { WalRecord } from "./record-format.ts";
import { createSegment, segmentName } from "./segment.ts";
import { SegmentRoom } from "./segment-room.ts";
import { LogOpening } from "./wal-open.ts";
import type { OpenLog } from "./wal-open.ts";
import type { Doubt, FatalStorage, Floor, RecoveredGroup, WalApi, WalOpened, WalStats, WalWrite } from "./types.ts";

export interface WalPorts {
  readonly files: FileStore;
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly telemetry: Telemetry;
}

export interface WalOptions {
  /** Relative to the data directory. */
  readonly directory: string;
  readonly segmentBytes?: number;
  /** Zeros written ahead of the log at a time; see segment-room.ts. */
  readonly roomBytes?: number;
  /** True when the identity file exists: then a missing log is a loss, not a beginning (rule G5). */
  readonly mustExist?: boolean;
  /** How far recovery is, after each segment. */
  readonly progress?: (segments: number, of: number) => void;
}

/** Opens, recovers and, where needed, creates the log. `fatal` is called at most once, later, when writing fails. */
export function openWal(
  ports: WalPorts,
  options: WalOptions,
  fatal: FatalStorage,
  done: (error: IoError | null, opened: WalOpened | null) => void,
): void {
  const { directory, mustExist = false } = options;
  const defer = (run: () => void): void => ports.clock.defer(run);
  const progress = options.progress ?? ((): void => {});
  new LogOpening(ports.files, ports.crypto, { directory, mustExist, defer, progress }).run((error, log) => {
    if (log === undefined) return done(error, null);
    const wal = new Wal(ports, options, fatal, log);
    const { replay } = log;
    const opened: WalOpened = { wal, groups: recoveredGroups(log), findings: replay.findings, ...votes(replay.floors.doubt(null)) };
    done(null, opened);
  });
}

function recoveredGroups({ replay }: OpenLog): ReadonlyMap<GroupId, RecoveredGroup> {
  const groups = new Map<GroupId, RecoveredGroup>();
  for (const [group, { hardState, floor, entries, commit, lostConfig }] of replay.states) {
    groups.set(group, { hardState, floor, entries, commit, lostConfig, ...votes(replay.floors.doubt(group)) });
  }
  return groups;
}

function votes(doubt: Doubt | null): { readonly mayVote: boolean; readonly doubt: Doubt | null } {
  return { mayVote: doubt === null, doubt };
}

/**
 * Group commit: what queues while a batch is on its way to the disk forms the next one. The first batch of an idle log leaves at the
 * end of the turn, so that all groups' writes of one turn share it. Any error stops the log for good: after a failed sync nobody knows
 * what the disk holds, so nothing is acknowledged any more and nothing is tried again.
 */
class Wal implements WalApi {
  private readonly files: FileStore;
  private readonly clock: Clock;
  private readonly crypto: Crypto;
  private readonly telemetry: Telemetry;
  private readonly directory: string;
  private readonly segmentBytes: number;
  private readonly roomBytes: number;
  private readonly fatal: FatalStorage;
  private readonly floors: Floors;
  private handle: FileHandle;
  private sequence: number;
  private headerEnd: number;
  private position: number;
  private room: SegmentRoom;
  private nextBatch: number;

  /** Batches waiting, oldest first; records are added to the last one. */
  private readonly queue: BatchBuilder[] = [];
  private inFlight: BatchBuilder | null = null;
  private readonly spare: BatchBuilder[] = [];
  private scheduled = false;
  private deleting = false;
  private failed = false;
  private closing: (() => void) | null = null;
  private closed = false;
  /** The last batch says nothing that must not be lost, and that all before it is durable. */
  private marked: boolean;

  /** Commit hints: they travel with the next batch and cause none. */
  private readonly commits = new Map<GroupId, LogIndex>();
  private readonly terms = new Map<GroupId, number>();
  private syncs = 0;
  private bytesWritten = 0;
  takenBytes = 0;

  constructor(ports: WalPorts, options: WalOptions, fatal: FatalStorage, log: OpenLog) {
    this.files = ports.files;
    this.clock = ports.clock;
    this.crypto = ports.crypto;
    this.telemetry = ports.telemetry;
    this.directory = options.directory;
    this.segmentBytes = Math.min(options.segmentBytes ?? logLimits.segmentBytes, logLimits.maxSegmentBytes);
    this.fatal = fatal;
    this.floors = log.replay.floors;
    this.handle = log.handle;
    this.sequence = log.sequence;
    this.headerEnd = log.headerEnd;
    this.position = log.position;
    this.roomBytes = options.roomBytes ?? logLimits.roomBytes;
    this.room = this.newRoom();
    this.nextBatch = log.replay.lastBatch + 1;
    this.marked = log.replay.endsMarked;
    for (const [group, state] of log.replay.states) this.terms.set(group, state.hardState.term);
  }

  write(write: WalWrite, durable: () => void): void {
    const { group, hardState, truncateFrom, append, commit } = write;
    if (commit > 0) this.commits.set(group, commit);
    if (hardState !== null) {
      const known = this.terms.get(group) ?? 0;
      invariant(hardState.term >= known, "wal-term-monotonic", () => `group ${group} goes from term ${known} to ${hardState.term}`);
      this.terms.set(group, hardState.term);
    }
    const records: WalRecord[] = [];
    if (hardState !== null) records.push({ type: "hard-state", group, hardState });
    if (truncateFrom > 0) records.push({ type: "truncate", group, from: truncateFrom });
    if (append.length > 0) records.push({ type: "entries", group, entries: append });
    if (records.length === 0) this.afterQueued(durable);
    else if (hardState !== null && mutant("wal-03-vote-apart-from-term")) this.writeVoteLater(group, hardState, records.slice(1), durable);
    else this.enqueue(records, durable);
  }

  setFloor(floor: Floor, done: () => void): void {
    this.enqueue([{ type: "floor", floor: checkedFloor(floor) }], done);
  }

  installed(floor: Floor, keepSuffix: boolean, done: () => void): void {
    this.enqueue([{ type: "installed", floor: checkedFloor(floor), keepSuffix }], done);
  }

  trust(group: GroupId | null, done: () => void): void {
    this.enqueue([{ type: "trust", group }], done);
  }

  distrust(group: GroupId, detail: string, done: () => void): void {
    this.enqueue([{ type: "distrust", group, detail }], done);
  }

  flush(): void {
    if (this.scheduled && !this.failed) this.pump();
  }

  stats(): WalStats {
    let queuedBytes = 0;
    for (const builder of this.queue) queuedBytes += builder.bytes;
    const oldest = this.inFlight ?? this.queue[0];
    return {
      syncs: this.syncs,
      bytesWritten: this.bytesWritten,
      segments: this.floors.segmentCount,
      diskBytes: this.floors.diskBytes,
      queuedBytes,
      oldestUnsyncedAt: oldest === undefined ? null : oldest.since,
      heldBackBy: this.floors.heldBackBy(),
    };
  }

  close(done: () => void): void {
    invariant(this.closing === null, "wal-closed-once");
    this.closing = done;
    this.schedule();
  }

  private enqueue(records: readonly WalRecord[], durable: () => void): void {
    invariant(this.closing === null, "wal-no-write-after-close");
    if (this.failed) return;
    let builder = this.queue.at(-1);
    if (builder === undefined || builder.bytes > logLimits.maxBatchBytes) builder = this.newBatch();
    const before = builder.bytes;
    for (const record of records) builder.add(record);
    this.takenBytes += builder.bytes - before;
    builder.callbacks.push(durable);
    this.schedule();
  }

  private newBatch(): BatchBuilder {
    const builder = this.spare.pop() ?? new BatchBuilder();
    builder.since = this.clock.now();
    this.queue.push(builder);
    return builder;
  }

  /** Calls back once everything that was queued before is durable, without a sync of its own. */
  private afterQueued(durable: () => void): void {
    const last = this.queue.at(-1) ?? this.inFlight;
    if (this.failed) return;
    if (last !== null) last.callbacks.push(durable);
    else
      this.clock.defer(() => {
        if (!this.failed) durable();
      });
  }

  private schedule(): void {
    if (this.scheduled || this.inFlight !== null) return;
    this.scheduled = true;
    this.clock.defer(() => {
      this.scheduled = false;
      this.pump();
    });
  }

  /** Starts the next batch unless one is under way. */
  private pump(): void {
    if (this.inFlight !== null) return;
    if (this.failed) return this.finishClosing();
    const builder = this.queue.shift() ?? this.closingBatch();
    if (builder === null) return this.finishClosing();
    this.inFlight = builder;
    for (const [group, commit] of this.commits) builder.add({ type: "commit", group, commit });
    this.commits.clear();
    if (this.position + builder.bytes > this.segmentBytes && this.position > this.headerEnd) this.roll(builder);
    else this.writeBatch(builder);
  }

  private newRoom(): SegmentRoom {
    const path = `${this.directory}/${segmentName(this.sequence)}`;
    return new SegmentRoom(this.files, path, this.position, this.roomBytes, this.segmentBytes, (error) => this.fail(error));
  }

  private writeBatch(builder: BatchBuilder): void {
    if (!this.room.allows(this.position + builder.bytes)) {
      this.room.whenIdle(() => {
        if (!this.failed) this.writeBatch(builder);
      });
      return;
    }
    const place = { segment: this.sequence, position: this.position, number: this.nextBatch, durableTo: this.position };
    const { bytes } = builder;
    invariant(place.position + bytes <= logLimits.maxSegmentBytes * 2, "wal-batch-fits", () => `a batch of ${bytes} bytes`);
    const chunks = builder.chunks(place, this.crypto);
    const started = this.clock.now();
    const written = (error: IoError | null): void => {
      if (error !== null && mutant("wal-sync-retried")) return this.handle.sync(written);
      if (error !== null) return this.fail(error);
      this.position += bytes;
      this.nextBatch++;
      this.syncs++;
      this.bytesWritten += bytes;
      this.floors.grew(bytes);
      const took = this.clock.now() - started;
      const records = builder.records.length;
      // Before the next batch is written: zeros must not be written over it.
      this.room.used(this.position);
      this.completed(builder);
      // Afterwards: others wait for what became durable.
      this.telemetry.observe("trivet_wal_fsync_duration_seconds", took / 1000);
      this.telemetry.observe("trivet_wal_records_per_sync", records);
      this.telemetry.count("trivet_wal_written_bytes_total", bytes);
    };
    if (mutant("wal-08-ack-before-sync")) this.handle.write(place.position, chunks, written);
    else this.handle.writeDurable(place.position, chunks, written);
  }

  private completed(builder: BatchBuilder): void {
    this.marked = true;
    for (const record of builder.records) {
      this.floors.apply(record);
      if (record.type !== "commit") this.marked = false;
    }
    // Still in flight: a write without records, made by one of these callbacks, may add to the list being walked.
    for (let i = 0; i < builder.callbacks.length && !this.failed; i++) builder.callbacks[i]?.();
    builder.reset();
    this.spare.push(builder);
    this.inFlight = null;
    this.deleteSegments();
    this.pump();
  }

  private reportSize(): void {
    this.telemetry.observe("trivet_wal_segments", this.floors.segmentCount);
    this.telemetry.observe("trivet_wal_bytes", this.floors.diskBytes);
  }

  /** Begins a new segment, with a table of what is durable now (rule W1), before `builder` is written into it. */
  private roll(builder: BatchBuilder): void {
    const old = this.handle;
    const { room, position: end } = this;
    const sequence = this.sequence + 1;
    const header = {
      sequence,
      firstBatch: this.nextBatch,
      follows: { sequence: this.sequence, end: this.position },
      distrust: this.floors.distrust,
      groups: this.floors.tables(),
    };
    createSegment(this.files, this.directory, header, this.crypto, (error, created) => {
      if (created === undefined) return this.fail(error);
      this.floors.startSegment(sequence, created.headerBytes);
      this.handle = created.handle;
      this.sequence = sequence;
      this.headerEnd = created.headerBytes;
      this.position = created.headerBytes;
      this.room = this.newRoom();
      this.reportSize();
      room.close(end, () =>
        old.close((error) => {
          if (error !== null) this.fail(error);
          else this.writeBatch(builder);
        }),
      );
    });
  }

  /** One at a time, oldest first, beside the writing. A deletion that a crash undoes is repeated by recovery. */
  private deleteSegments(): void {
    const sequence = this.floors.deletable();
    if (sequence === null || this.deleting || this.failed) return;
    this.deleting = true;
    this.files.remove(`${this.directory}/${segmentName(sequence)}`, (error) => {
      if (error !== null) return this.fail(error);
      this.files.syncDirectory(this.directory, (error) => {
        if (error !== null) return this.fail(error);
        this.deleting = false;
        this.floors.deleted(sequence);
        this.reportSize();
        this.deleteSegments();
        this.pump();
      });
    });
  }

  /** At the end: what waits for a next batch, and the mark that everything before is durable, so that rot of it is told from a torn tail. */
  private closingBatch(): BatchBuilder | null {
    if (this.closing === null || this.deleting || (this.marked && this.commits.size === 0)) return null;
    this.newBatch();
    return this.queue.shift() ?? null;
  }

  private finishClosing(): void {
    const done = this.closing;
    if (done === null || this.closed || (this.deleting && !this.failed)) return;
    this.closed = true;
    this.room.close(this.position, () =>
      this.handle.close((error) => {
        if (error !== null) this.fail(error);
        done();
      }),
    );
  }

  private fail(error: IoError | null): void {
    invariant(error !== null, "io-error-given");
    if (this.failed) return;
    this.failed = true;
    this.inFlight = null;
    this.queue.length = 0;
    this.telemetry.log("error", "wal.failed", "Writing the log failed; this node stops", {
      operation: error.operation,
      path: error.path,
      code: error.code,
    });
    this.fatal(error);
    this.finishClosing();
  }

  /** Mutant 3 only: the term becomes durable and is acknowledged, the vote follows in a batch of its own. */
  private writeVoteLater(group: GroupId, hardState: HardState, rest: readonly WalRecord[], durable: () => void): void {
    this.enqueue([{ type: "hard-state", group, hardState: { term: hardState.term, vote: null } }, ...rest], durable);
    this.newBatch().add({ type: "hard-state", group, hardState });
  }
}

function checkedFloor(floor: Floor): Floor {
  invariant(
    floor.keepFrom <= floor.index + 1,
    "wal-floor-keeps",
    () => `group ${floor.group} keeps from ${floor.keepFrom} above ${floor.index}`,
  );
  return floor;
}
