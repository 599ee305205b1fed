import { invariant, type LogIndex, logIndex, type SnapshotEffect, type SnapshotMeta } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { GroupHostConfig } from "../node/config.ts";
import type { GroupHost, GroupHostOwner, GroupHostPorts } from "./group-host.ts";
import { snapshotChunkBytes } from "../base/limits.ts";
import { floorOf, keptFrom, membershipAt } from "./log-floor.ts";
import type { GroupMachine, MachineFactory, MachineSnapshot } from "./machine.ts";
import type { SnapshotStatus } from "../node/node-api.ts";
import { SnapshotDue } from "./snapshot-due.ts";
import { SnapshotMeter } from "./snapshot-meter.ts";
import { earliestSent, receivers } from "./snapshot-receivers.ts";

/**
 * Snapshots of one group: taken in chunks between turns (rule W8), sent and received in resumable pieces, installed by switching the
 * machine after the WAL has recorded it (rule W5).
 */
export class GroupSnapshots {
  private readonly group: GroupHost;
  private readonly config: GroupHostConfig;
  private readonly factory: MachineFactory;
  readonly ports: GroupHostPorts;
  private readonly owner: GroupHostOwner;
  private readonly meter: SnapshotMeter;
  readonly due: SnapshotDue;
  private lastIndex: LogIndex;
  private lettingGo = false;
  private taking: MachineSnapshot | null = null;
  /** Where that one is cut. */
  private takingIndex: LogIndex = logIndex(0);
  private waiting: ((index: LogIndex) => void)[] = [];
  private wanted = false;
  private stopped = false;
  /** Aborted too late to keep its file from being finished, maybe. */
  private distrusted: MachineSnapshot | null = null;
  /** The state that is taking the place of one in doubt. */
  private replacing: SnapshotMeta | null = null;
  /** Applies rest while a received snapshot is being loaded (mutant 32). */
  installing = false;
  takenCount = 0;
  installedCount = 0;

  constructor(group: GroupHost, config: GroupHostConfig, factory: MachineFactory, ports: GroupHostPorts, owner: GroupHostOwner) {
    this.group = group;
    this.config = config;
    this.factory = factory;
    this.ports = ports;
    this.owner = owner;
    this.due = new SnapshotDue(group, config, ports);
    this.meter = new SnapshotMeter(group.id, ports.clock, ports.telemetry);
    this.lastIndex = ports.snapshots.latest()?.index ?? logIndex(0);
  }

  get latestIndex(): LogIndex {
    return this.lastIndex;
  }

  /** The newest that is on the disk; null = none is. */
  get newest(): SnapshotStatus | null {
    const meta = this.ports.snapshots.latest();
    return meta === null ? null : { index: meta.index, bytes: meta.bytes, ageMs: this.meter.ageMs() };
  }

  grew(bytes: number): void {
    this.due.grew(bytes);
  }

  stop(): void {
    this.stopped = true;
    this.abortTaking();
  }

  /** The machine is in doubt: no more of it reaches the disk, and what was on its way there does not stay (rule W7). */
  distrust(): void {
    if (this.taking !== null) this.distrusted = this.taking;
    this.abortTaking();
  }

  private abortTaking(): void {
    this.taking?.abort();
    this.taking = null;
  }

  /** Takes one now, or answers with the running one. */
  request(done: (index: LogIndex) => void): void {
    this.waiting.push(done);
    this.wanted = true;
    this.owner.markDirty();
  }

  maybeTake(): void {
    if (this.taking !== null || this.installing || this.group.stateDoubted || this.stopped) return;
    const since = this.group.appliedIndex - this.lastIndex;
    if (since === 0) {
      if (this.wanted) this.finished();
      return;
    }
    // One at rest has time: a peer that is being sent the one before goes on with what follows that.
    const mayRest = !this.sending() || mutant("host-rest-snapshot-while-sent");
    if (this.wanted || this.due.isDue(since) || (this.due.isDueAtRest() && mayRest)) this.take();
  }

  private take(): void {
    // Behind what the machine still has in hand: it cuts in the order of its calls.
    const index = this.group.handedIndex;
    const term = this.group.raft.termAt(index);
    invariant(term !== null, "applied-term-known", () => `no term for the index ${index}`);
    const meta = { id: `${this.group.id}-${index}-${term}-${this.config.raft.self}`, index, term, ...membershipAt(this.group, index) };
    this.due.begun();
    this.wanted = false;
    const startedAt = this.ports.clock.now();
    const snapshot = this.group.machine.beginSnapshot(index);
    this.taking = snapshot;
    this.takingIndex = index;
    const writer = this.ports.snapshots.create(meta);
    const step = (): void => {
      if (this.taking !== snapshot || this.stopped) {
        writer.abort();
        return;
      }
      snapshot.next(snapshotChunkBytes, (chunk) => {
        if (this.taking !== snapshot || this.stopped) writer.abort();
        else if (chunk !== null) writer.write(chunk, () => this.ports.clock.defer(step));
        else writer.finish((finished) => (this.distrusted === snapshot ? this.drop(finished, () => {}) : this.taken(finished, startedAt)));
      });
    };
    this.ports.clock.defer(step);
  }

  private taken(meta: SnapshotMeta, startedAt: number): void {
    this.taking = null;
    if (this.stopped) return;
    this.takenCount += 1;
    this.meter.taken(meta, startedAt);
    // An installed snapshot may have overtaken this one; then it changes nothing.
    if (meta.index <= this.lastIndex) {
      this.finished();
      return;
    }
    this.lastIndex = meta.index;
    if (!this.config.snapshotsMoveFloor) {
      this.finished();
      return;
    }
    const keepFrom = this.lettingGo ? logIndex(meta.index + 1) : keptFrom(this.group.raft, meta.index, this.config.retainBytes);
    // The WAL also keeps what the older snapshot needs, so that falling back to it loses nothing.
    const oldest = this.ports.snapshots.kept().at(-1)?.index ?? meta.index;
    this.ports.wal.setFloor(floorOf(this.group, meta, logIndex(Math.min(keepFrom, oldest + 1))), () => {
      if (this.stopped) return;
      this.group.raft.step({ type: "snapshot-taken", meta, keepFrom });
      this.finished();
      this.owner.markDirty();
    });
  }

  /** Files that are only there for other replicas go when none needs them. */
  forgetFiles(): void {
    if (this.taking !== null || this.installing || this.replacing !== null || this.ports.snapshots.kept().length === 0) return;
    // Whoever needs one again gets a new one, also of the same index.
    this.lastIndex = logIndex(0);
    this.ports.snapshots.keepOnly([], () => {});
  }

  /** Is a peer being sent one, or about to be? */
  sending(): boolean {
    return receivers(this.group.raft, this.ports.clock.now()).length > 0;
  }

  /** The end of the earliest that a peer is being sent or will be; null = none is. */
  sentFrom(): LogIndex | null {
    const { clock, snapshots } = this.ports;
    return earliestSent(receivers(this.group.raft, clock.now()), snapshots.kept(), this.taking === null ? null : this.takingIndex);
  }

  /** The replica is given up, and is stopped already: its files go as well. */
  forgetAll(done: () => void): void {
    if (mutant("shard-given-snapshots-kept")) done();
    else this.ports.snapshots.keepOnly([], done);
  }

  private finished(): void {
    this.wanted = false;
    const waiting = this.waiting;
    this.waiting = [];
    for (const done of waiting) done(this.lastIndex);
  }

  /** The log has become long, and this group's old entries are what keeps it (rule W1): no more of them than are needed. */
  letGo(): void {
    if (this.lettingGo || this.installing || this.taking !== null) return;
    this.lettingGo = true;
    const done = (): void => {
      this.lettingGo = false;
    };
    if (this.group.appliedIndex > this.lastIndex) this.request(done);
    else this.letOlderGo(done);
  }

  /** There is nothing for a newer snapshot: the log is kept for the older one, in case this one goes bad; the other nodes have it too. */
  private letOlderGo(done: () => void): void {
    const meta = this.ports.snapshots.latest();
    if (meta === null) {
      done();
      return;
    }
    this.ports.snapshots.keepOnly([meta.id], () => {
      if (this.stopped) return;
      const keepFrom = logIndex(meta.index + 1);
      this.ports.wal.setFloor(floorOf(this.group, meta, keepFrom), () => {
        done();
        if (!this.stopped) this.group.logShortened(meta, keepFrom);
      });
    });
  }

  carryOut(effect: SnapshotEffect): void {
    switch (effect.type) {
      case "read-chunk":
        this.readChunk(effect.to, effect.id, effect.offset, effect.maxBytes);
        break;
      case "write-chunk":
        this.group.audit?.raftReceives();
        this.ports.snapshots.receive(effect.meta, effect.offset, effect.data, effect.done, (offset, failed) => {
          if (this.stopped) return;
          this.group.raft.step({ type: "chunk-written", id: effect.meta.id, offset, failed });
          this.owner.markDirty();
        });
        break;
      case "install":
        this.install(effect.meta, effect.keepSuffix);
        break;
    }
  }

  private readChunk(to: SnapshotMeta["membership"]["voters"][number], id: string | null, offset: number, maxBytes: number): void {
    // A transfer goes on with the snapshot it began with as long as that is kept.
    const { snapshots } = this.ports;
    const meta = id === null ? snapshots.latest() : (snapshots.kept().find((kept) => kept.id === id) ?? null);
    const from = id === null ? 0 : offset;
    const gone = (): void => {
      this.group.raft.step({ type: "chunk-read", to, meta: null, offset: from, data: new Uint8Array(0), done: false });
      this.owner.markDirty();
    };
    if (meta === null || (from === 0 && meta.index + 1 < this.group.raft.firstIndex)) {
      // None, or one that the log does not go on from any more: the peer waits for a new one.
      if (id === null) this.request(() => this.readChunk(to, this.ports.snapshots.latest()?.id ?? null, 0, maxBytes));
      else {
        this.ports.clock.defer(() => {
          if (!this.stopped) gone();
        });
      }
      return;
    }
    this.ports.snapshots.readBytes(meta.id, from, maxBytes, (data, end) => {
      if (this.stopped) return;
      if (data === null) {
        gone();
        return;
      }
      this.group.raft.step({ type: "chunk-read", to, meta, offset: from, data, done: end });
      this.owner.markDirty();
    });
  }

  /** Verify and adopt the file, record it in the WAL, load it, switch: in this order a crash at any point leaves one whole state. */
  private install(meta: SnapshotMeta, keepSuffix: boolean): void {
    this.installing = true;
    // It is newer than anything this node could fetch by itself.
    this.replacing = null;
    this.abortTaking();
    this.ports.snapshots.adopt(meta, (error) => {
      if (this.stopped) return;
      if (error !== null) {
        this.owner.fatal(error);
        return;
      }
      this.ports.wal.installed(floorOf(this.group, meta, logIndex(meta.index + 1)), keepSuffix, () => this.load(meta));
    });
  }

  private load(meta: SnapshotMeta): void {
    this.loadMachine(meta, (error, machine) => {
      if (machine === null) this.owner.fatal(error);
      else if (this.group.stateDoubted) this.forgetOthers(meta, () => this.installed(meta, machine));
      else this.installed(meta, machine);
    });
  }

  private installed(meta: SnapshotMeta, machine: GroupMachine): void {
    this.installing = false;
    this.begins(meta);
    this.meter.installed(meta);
    this.group.replaceMachine(machine, meta);
  }

  /** What was applied until now counts no longer: the state begins at `meta`. */
  private begins(meta: SnapshotMeta): void {
    this.installedCount += 1;
    this.meter.received();
    this.lastIndex = meta.index;
    this.due.begun();
    this.finished();
  }

  private loadMachine(
    meta: SnapshotMeta,
    done: (...loaded: [error: Error, machine: null] | [error: null, machine: GroupMachine]) => void,
  ): void {
    if (this.stopped) return;
    this.ports.snapshots.open(meta, (error, reader) => {
      if (this.stopped) {
        reader?.close();
        return;
      }
      if (reader === null) {
        if (error !== null) done(error, null);
        return;
      }
      const loader = this.factory.loader(meta.index);
      const failed = (problem: Error): void => {
        reader.close();
        loader.abort();
        if (!this.stopped) done(problem, null);
      };
      const step = (): void =>
        reader.next((readError, chunk) => {
          if (this.stopped) {
            reader.close();
            loader.abort();
          } else if (readError !== null) failed(readError);
          else if (chunk !== null) {
            loader.push(chunk, (problem) => {
              if (problem !== null) failed(problem);
              else this.ports.clock.defer(step);
            });
          } else {
            reader.close();
            loader.finish((problem, machine) => {
              if (this.stopped) machine?.discard();
              else if (problem !== null) done(problem, null);
              else if (machine !== null) done(null, machine);
            });
          }
        });
      step();
    });
  }

  /**
   * Puts a received state in the place of the machine in doubt (rule W7); the log has all of it already. Loaded before anything depends on
   * it; the snapshots of the doubtful state are gone before it is used, so that no restart falls back to one. A crash at any point leaves
   * one whole state, which is fetched again as long as the mark of the doubt stands. `done` is told what went wrong, or null.
   */
  replaceState(meta: SnapshotMeta, done: (problem: string | null) => void): void {
    this.replacing = meta;
    const overtaken = (): boolean => this.stopped || this.replacing !== meta;
    this.ports.snapshots.adopt(meta, (adoptError) => {
      if (overtaken()) return;
      if (adoptError !== null) {
        this.owner.fatal(adoptError);
        return;
      }
      this.loadMachine(meta, (error, machine) => {
        if (overtaken()) return;
        if (machine === null) {
          this.replacing = null;
          this.drop(meta, () => done(error.message));
          return;
        }
        const keepFrom = this.lettingGo ? logIndex(meta.index + 1) : keptFrom(this.group.raft, meta.index, this.config.retainBytes);
        this.ports.wal.setFloor(floorOf(this.group, meta, keepFrom), () => {
          if (overtaken()) return;
          this.forgetOthers(meta, () => {
            if (overtaken()) return;
            this.replacing = null;
            this.begins(meta);
            this.group.refetched(machine, meta, keepFrom);
            done(null);
          });
        });
      });
    });
  }

  private drop(meta: SnapshotMeta, then: () => void): void {
    const others = this.ports.snapshots.kept().filter(({ id }) => id !== meta.id);
    this.ports.snapshots.keepOnly(
      others.map(({ id }) => id),
      then,
    );
  }

  /** Snapshots that this node wrote of a state it does not trust. */
  private forgetOthers(meta: SnapshotMeta, then: () => void): void {
    if (mutant("host-w7-doubtful-snapshots-kept")) then();
    else this.ports.snapshots.keepOnly([meta.id], then);
  }
}
