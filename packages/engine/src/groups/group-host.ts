import {
  type ApplySink,
  type Entry,
  type GroupId,
  invariant,
  type LogIndex,
  logIndex,
  type Membership,
  type NodeId,
  type RaftEffects,
  RaftGroup,
  type RaftMessage,
  type RaftNotice,
  type RaftRestored,
  type SnapshotMeta,
  type Term,
  decodeMembership,
} from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { ByteReader } from "@trivet/wire";
import type { SnapshotStoreApi, WalApi } from "../log/types.ts";
import type { Clock } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { GroupHostConfig } from "../node/config.ts";
import { DurableOutbox } from "./durable-outbox.ts";
import { GroupReads } from "./group-reads.ts";
import { GroupSnapshots } from "./group-snapshots.ts";
import type { GroupMachine, MachineFactory } from "./machine.ts";
import { ProposalQueue } from "./proposal-queue.ts";
import { applyGatherEntries } from "../base/limits.ts";
import { LogSpans } from "./log-spans.ts";
import { RaftMeter } from "./raft-meter.ts";
import type { StateAudit } from "../state-audit/state-audit.ts";
import type { Traces } from "../base/traces.ts";

export interface GroupHostOwner {
  /** Asks for a `pump` at the end of this turn. */
  markDirty(): void;
  send(message: RaftMessage): void;
  notice(group: GroupHost, notice: RaftNotice): void;
  /** After entries were applied, once per batch; `bytes` are those of their payloads. */
  applied(group: GroupHost, bytes: number): void;
  /** The machine was replaced by an installed snapshot. */
  installed(group: GroupHost): void;
  /** Builds the payload of a command entry (stamps group time). */
  encodeEntry(group: GroupHost, frames: readonly Uint8Array[]): Uint8Array;
  fatal(error: Error): void;
}

export interface GroupHostPorts {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly wal: WalApi;
  readonly snapshots: SnapshotStoreApi;
  readonly traces: Traces;
}

/**
 * Runs one Raft group on its ports: effects of the core become WAL writes, messages and applies. Everything happens in `pump` and `settle`,
 * once at the end of a turn of the event loop, so that all input of the turn shares one entry, one write and one frame per peer (group commit).
 */
export class GroupHost {
  readonly id: GroupId;
  readonly raft: RaftGroup;
  readonly reads: GroupReads;
  readonly snapshots: GroupSnapshots;
  readonly meter: RaftMeter;
  machine: GroupMachine;
  /** The machine differs from the majority's: nothing is applied to it, read from it or saved of it until it is replaced (rule W7). */
  stateDoubted = false;
  audit: StateAudit | null = null;
  /** Configuration as of the last applied entry: what a snapshot records (mutant 23). */
  appliedMembership: Membership;
  appliedMembershipIndex: LogIndex;
  private readonly ports: GroupHostPorts;
  private readonly owner: GroupHostOwner;
  private readonly sink: ApplySink;
  private readonly queue: ProposalQueue = new ProposalQueue();
  private lastWrite = 0;
  private readonly parked: DurableOutbox = new DurableOutbox((message) => this.send(message));
  private readonly config: GroupHostConfig;
  private appliedTo: LogIndex;
  /** Up to here the machine has the entries; those above `appliedTo` are in its hands. */
  private handedTo: LogIndex;
  private inHandBytes = 0;
  private handing = false;
  private stopped = false;
  private awaiting = false;

  constructor(
    config: GroupHostConfig,
    restored: RaftRestored,
    factory: MachineFactory,
    machine: GroupMachine,
    ports: GroupHostPorts,
    owner: GroupHostOwner,
    sink: ApplySink,
  ) {
    this.id = config.raft.group;
    this.config = config;
    this.raft = new RaftGroup(config.raft, restored);
    this.machine = machine;
    this.ports = ports;
    this.owner = owner;
    this.sink = sink;
    this.appliedTo = restored.applied;
    this.handedTo = restored.applied;
    this.appliedMembership = restored.snapshot?.membership ?? restored.membership;
    this.appliedMembershipIndex = restored.snapshot?.membershipIndex ?? restored.membershipIndex;
    this.meter = new RaftMeter(ports.clock, ports.telemetry, new LogSpans(this.id, ports.traces));
    this.reads = new GroupReads(this, ports.clock);
    this.snapshots = new GroupSnapshots(this, config, factory, ports, owner);
  }

  get appliedIndex(): LogIndex {
    return this.appliedTo;
  }

  /** The last entry given to the machine: where a snapshot begun now is cut. */
  get handedIndex(): LogIndex {
    return this.handedTo;
  }

  get isLeader(): boolean {
    return this.raft.role === "leader";
  }

  /** Everything that is known to be committed is applied. */
  get caughtUp(): boolean {
    return this.appliedTo >= this.raft.commitIndex;
  }

  get stepping(): boolean {
    return !this.stopped;
  }

  tick(now: number): void {
    if (this.stopped) return;
    this.raft.step({ type: "tick", now });
    this.reads.tick(now);
    this.audit?.tick(now);
    if (this.raft.hasEffects() || this.hasWork() || this.snapshots.due.isDueAtRest()) this.owner.markDirty();
  }

  /** When the next tick has something to do. */
  get tickAt(): number {
    return this.reads.isOpen ? Number.NEGATIVE_INFINITY : this.raft.nextTickAt;
  }

  /** What time it is, before anything is done by it. */
  hear(now: number): void {
    if (this.stopped) return;
    this.raft.step({ type: "tick", now });
    if (this.raft.hasEffects()) this.owner.markDirty();
  }

  receive(message: RaftMessage): void {
    if (this.stopped) return;
    this.meter.received(message);
    this.raft.step({ type: "message", message });
    // Most answers to heartbeats change nothing, and at rest nothing else comes: no turn for those.
    if ((this.raft.hasEffects() || this.hasWork()) && !mutant("host-heard-at-the-beat")) this.owner.markDirty();
  }

  /** Queues a command frame for the log; this node must lead. False = it cannot take it now. */
  enqueue(frame: Uint8Array): boolean {
    if (this.stopped || !this.isLeader || this.raft.canPropose() !== null) return false;
    this.queue.add(frame);
    this.meter.taken(frame);
    this.owner.markDirty();
    return true;
  }

  /** Tells the leader, with the next acknowledgement, whether clients here wait for what it commits. */
  awaitCommit(awaiting: boolean): void {
    if (this.awaiting === awaiting || this.stopped) return;
    this.awaiting = awaiting;
    this.raft.step({ type: "await-commit", awaiting });
  }

  get queuedBytes(): number {
    return this.queue.bytes;
  }

  stop(): void {
    this.stopped = true;
    this.meter.reset();
    this.reads.stop();
    this.snapshots.stop();
  }

  /** What goes to the peers and the disk; called at the end of a turn. What was committed is applied afterwards, by `settle`. */
  pump(): void {
    if (this.stopped) return;
    this.propose();
    this.reads.ask();
    this.carryOutAll();
  }

  /** The rest of the turn, while what `pump` gave out is on its way: applies, answers reads, takes snapshots. */
  settle(): void {
    if (this.stopped) return;
    this.drain();
    if (this.stopped) return;
    if (!this.stateDoubted) this.reads.serve();
    this.snapshots.maybeTake();
    if (this.hasWork()) this.owner.markDirty();
  }

  /** Hands out every effect there is, in order. Also used alone where a step's refusal must be known at once. */
  drain(): void {
    do {
      this.carryOutAll();
      if (this.stopped) return;
      this.apply();
    } while (this.raft.hasEffects());
  }

  private carryOutAll(): void {
    while (this.raft.hasEffects()) this.carryOut(this.raft.takeEffects());
  }

  private hasWork(): boolean {
    // Who is alone sends no heartbeats: no other turn comes for a read that waits to be asked.
    if (this.reads.hasAsking && !mutant("host-read-asked-by-chance")) return true;
    return this.raft.hasEffects() || this.canApply() || (this.isLeader && this.canTakeQueued());
  }

  /** An entry that only carries time: deadlines are met by the next one. Not needed when others are on their way. */
  enqueueTime(): boolean {
    if (this.stopped || !this.isLeader || this.raft.canPropose() !== null) return false;
    this.queue.addTime();
    this.owner.markDirty();
    return true;
  }

  /** During a transfer all waits for how that ends. What arrives while an entry is under way shares the next (as Nagle's algorithm, RFC 896). */
  private canTakeQueued(): boolean {
    if (this.queue.isEmpty || this.raft.canPropose() !== null) return false;
    return this.raft.commitIndex === this.raft.lastIndex || this.queue.bytes >= this.config.gatherBytes;
  }

  private propose(): void {
    // Deposed: the entry nodes of these frames send them again to the next leader, which sees by itself what time it is.
    if (!this.isLeader) this.queue.clear();
    if (!this.isLeader || !this.canTakeQueued()) return;
    const entries = this.queue.take(this.config.maxEntryBytes);
    const carrying = entries.filter((frames) => frames.length > 0);
    this.raft.step({ type: "propose", payloads: entries.map((frames) => this.owner.encodeEntry(this, frames)) });
    this.meter.proposedUpTo(carrying, this.raft.lastIndex);
  }

  private carryOut(effects: RaftEffects): void {
    for (const message of effects.sendNow) this.send(message);
    if (effects.write !== 0) this.write(effects);
    else if (effects.sendDurable.length > 0) this.parked.park(this.lastWrite, effects.sendDurable);
    for (const read of effects.reads) this.reads.answered(read.context, read.index);
    for (const effect of effects.snapshots) this.snapshots.carryOut(effect);
    for (const notice of effects.notices) {
      if (notice.type === "role") this.meter.reset();
      this.owner.notice(this, notice);
    }
  }

  private write(effects: RaftEffects): void {
    invariant(effects.write > this.lastWrite, "write-order", () => `write ${effects.write} after ${this.lastWrite}`);
    this.lastWrite = effects.write;
    if (effects.sendDurable.length > 0) {
      if (mutant("host-02-reply-before-durable")) for (const message of effects.sendDurable) this.send(message);
      else this.parked.park(effects.write, effects.sendDurable);
    }
    const { write } = effects;
    this.ports.wal.write(
      {
        group: this.id,
        hardState: effects.hardState,
        truncateFrom: effects.truncateFrom,
        append: effects.append,
        commit: this.raft.commitIndex,
      },
      () => this.onDurable(write),
    );
  }

  private send(message: RaftMessage): void {
    this.meter.sent(message);
    this.owner.send(message);
  }

  private onDurable(write: number): void {
    if (this.stopped) return;
    this.raft.step({ type: "durable", write });
    this.parked.durable(write);
    this.owner.markDirty();
  }

  /** Rule W2: apply ≤ min(commit index, own durable index). */
  applyLimit(): number {
    if (mutant("host-apply-beyond-durable")) return this.raft.commitIndex;
    return Math.min(this.raft.commitIndex, this.raft.durableIndex);
  }

  private canApply(): boolean {
    return (
      !this.snapshots.installing &&
      !this.stateDoubted &&
      this.handedTo < this.applyLimit() &&
      this.inHandBytes < this.config.applyWindowBytes &&
      // While it is busy the next batch gathers.
      (this.inHandBytes === 0 || this.applyLimit() - this.handedTo >= applyGatherEntries)
    );
  }

  private apply(): void {
    if (!this.canApply()) return;
    const entries = this.raft.entries(logIndex(this.handedTo + 1), logIndex(this.applyLimit()), this.config.applyBytesPerTurn);
    let bytes = 0;
    for (const { index, kind, payload } of entries) {
      invariant(index === this.handedTo + 1, "apply-order", () => `entry ${index} after ${this.handedTo}`);
      this.handedTo = index;
      bytes += payload.length;
      if (kind === "command") this.snapshots.grew(payload.length);
    }
    this.inHandBytes += bytes;
    this.meter.handedUpTo(this.handedTo);
    const { machine } = this;
    this.handing = true;
    machine.apply(entries, this.sink, () => {
      // Another machine took its place meanwhile: what it says is of a state that nobody asks for any more.
      if (this.stopped || this.machine !== machine) return;
      this.inHandBytes -= bytes;
      this.applied(entries, bytes);
      if (!this.handing) this.owner.markDirty();
    });
    this.handing = false;
  }

  private applied(entries: readonly Entry[], bytes: number): void {
    for (const { index, kind, payload } of entries) {
      if (kind === "config") {
        this.appliedMembership = decodeMembership(new ByteReader(payload));
        this.appliedMembershipIndex = index;
      }
      this.appliedTo = index;
    }
    this.raft.step({ type: "applied", index: this.appliedTo });
    this.owner.applied(this, bytes);
    this.meter.appliedUpTo(this.appliedTo, entries.length);
  }

  /** Rule W7. Raft goes on: what this node acknowledges is its log, which is not in question. */
  doubtState(): void {
    if (mutant("host-w7-doubtful-answers")) return;
    this.stateDoubted = true;
    this.snapshots.distrust();
  }

  /** An installed snapshot takes the machine's place. */
  replaceMachine(machine: GroupMachine, meta: SnapshotMeta): void {
    this.switchTo(machine, meta);
    this.raft.step({ type: "installed", meta });
    this.owner.installed(this);
    this.owner.markDirty();
  }

  /** So does one that was fetched because the machine was in doubt (rule W7). Raft's log has all of it and goes on where it ends. */
  refetched(machine: GroupMachine, meta: SnapshotMeta, keepFrom: LogIndex): void {
    this.switchTo(machine, meta);
    this.raft.step({ type: "applied", index: meta.index });
    this.raft.step({ type: "snapshot-taken", meta, keepFrom });
    this.owner.installed(this);
    this.owner.markDirty();
  }

  /** Entries below `keepFrom` are on disk elsewhere: they need not stay in memory. */
  logShortened(meta: SnapshotMeta, keepFrom: LogIndex): void {
    this.raft.step({ type: "snapshot-taken", meta, keepFrom });
    this.owner.markDirty();
  }

  private switchTo(machine: GroupMachine, meta: SnapshotMeta): void {
    this.machine.discard();
    this.machine = machine;
    this.stateDoubted = false;
    this.appliedTo = meta.index;
    this.handedTo = meta.index;
    this.inHandBytes = 0;
    this.appliedMembership = meta.membership;
    this.appliedMembershipIndex = meta.membershipIndex;
    this.audit?.machineReplaced();
  }

  leader(): NodeId | null {
    return this.raft.leader;
  }

  term(): Term {
    return this.raft.term;
  }
}
