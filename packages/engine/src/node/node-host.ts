import { type RaftMessage, type RaftNotice, type SystemState } from "@trivet/core";
import { type Command, encodeEntryPayload, type Result } from "@trivet/wire";
import type { WalApi } from "../log/types.ts";
import { takeDataDirectory } from "./open.ts";
import { noSpans, type Ports } from "../ports/index.ts";
import { NodeApplySink } from "../groups/apply-sink.ts";
import { Bootstrap, type ClusterIdentity, directoryProblem, type Preparation } from "../members/bootstrap.ts";
import { bootstrapOwner } from "../members/bootstrap-owner.ts";
import { Departure } from "../members/departure.ts";
import { DiskGuard } from "../groups/disk-guard.ts";
import { groupConfig, type NodeHostConfig } from "./config.ts";
import { FeatureLevels } from "../members/feature-levels.ts";
import { enqueuePrivileged } from "../groups/privileged.ts";
import { closeStorage } from "./close-storage.ts";
import type { FrameOutbox } from "../calls/frame-outbox.ts";
import { GroupHost } from "../groups/group-host.ts";
import { GroupTime } from "../groups/group-time.ts";
import { LeaseHost } from "../groups/lease-host.ts";
import { membershipOwner } from "../members/membership-owner.ts";
import { MembershipHost } from "../members/membership.ts";
import { NodeCache } from "./node-cache.ts";
import { NodeQueries } from "./node-queries.ts";
import { NodeQueues } from "./node-queues.ts";
import { NodeTicks } from "./node-ticks.ts";
import type { NodeApi, NodeStatus, Unavailable } from "./node-api.ts";
import type { PeerCalls } from "../peers/peer-calls.ts";
import type { PeerHub } from "../peers/peer-hub.ts";
import { Peering } from "../peers/peering.ts";
import { refusalOf } from "../calls/refusals.ts";
import { onSystemNotice } from "./notices.ts";
import { systemOutbox } from "../calls/system-outbox.ts";
import type { QueueStorage } from "../ports/queue-storage.ts";
import type { CacheService } from "../cache/cache-service.ts";
import type { QueueService } from "../queues/queue-service.ts";
import type { ShardHosts } from "../shards/shard-hosts.ts";
import { attachAudit, openAuditedLog } from "../state-audit/state-audit-open.ts";
import { systemFactory, systemGroup, SystemMachine } from "../groups/system-machine.ts";
import { Traces } from "../base/traces.ts";

type Phase = NodeStatus["phase"];

/**
 * One node: its data directory, its links to peers and its Raft groups, on ports alone. The server and the simulator run this same class.
 * All work is done at the end of a turn (`pump`): every frame, tick and disk completion of the turn shares one write and one frame per peer.
 */
export class NodeHost {
  readonly config: NodeHostConfig;
  readonly ports: Ports;
  readonly traces: Traces;
  readonly groupTime: GroupTime;
  readonly outbox: FrameOutbox<Result>;
  readonly hub: PeerHub;
  readonly calls: PeerCalls;
  readonly peering: Peering;
  readonly disk: DiskGuard;
  readonly api: NodeApi;
  phase: Phase = "starting";
  phaseDetail = "opening the data directory";
  identity: ClusterIdentity | null = null;
  storage = "";
  system: GroupHost | null = null;
  leases: LeaseHost | null = null;
  members: MembershipHost | null = null;
  bootstrap: Bootstrap | null = null;
  wal: WalApi | null = null;
  readonly queuing: NodeQueues;
  readonly caching: NodeCache;
  readonly ticks: NodeTicks;
  readonly sink: NodeApplySink;
  readonly features: FeatureLevels;
  private readonly onFatal: (error: Error) => void;
  readonly queries: NodeQueries;
  private dirty = false;
  private stopped = false;
  private readonly stopping: (() => void)[] = [];
  untrusted = false;
  private workerStopped = false;
  departure: Departure | null = null;

  constructor(ports: Ports, config: NodeHostConfig, onFatal: (error: Error) => void) {
    this.ports = ports;
    this.config = config;
    this.onFatal = onFatal;
    this.traces = new Traces(ports.spans ?? noSpans);
    this.ticks = new NodeTicks(this);
    this.groupTime = new GroupTime(ports.clock, ports.telemetry);
    this.outbox = systemOutbox(this);
    this.sink = new NodeApplySink(this.outbox, () => this.system?.appliedIndex ?? null);
    this.features = new FeatureLevels(this);
    this.disk = new DiskGuard(ports.files, ports.clock, ports.telemetry, config.walSegmentBytes, () => this.wal?.takenBytes ?? 0);
    this.peering = new Peering(this);
    this.hub = this.peering.hub;
    this.calls = this.peering.calls;
    this.queries = new NodeQueries(this);
    this.queuing = new NodeQueues(this, this.queries, () => this.machine);
    this.caching = new NodeCache(this, this.queries, () => this.machine);
    this.api = this.queries;
  }

  get shards(): ShardHosts | null {
    return this.queuing.shards;
  }

  get queues(): QueueService {
    return this.queuing.service;
  }

  get cache(): CacheService {
    return this.caching.service;
  }

  get queueStorage(): QueueStorage {
    return this.queuing.storage;
  }

  get machine(): SystemState | null {
    const machine = this.system?.machine;
    return machine instanceof SystemMachine ? machine.state : null;
  }

  /** `opened` once the data directory is locked and, on a member, recovered; with the error when that failed. Joining follows by itself. */
  start(opened: (error: Error | null) => void): void {
    const failed = (error: Error): void => {
      this.setPhase("failed", error.message);
      this.end("this node could not start");
      opened(error);
    };
    takeDataDirectory(this.ports, (error, identity, preparation) => {
      if (error !== null) failed(error);
      else this.begin(identity, preparation, opened, failed);
    });
  }

  private begin(
    identity: ClusterIdentity | null,
    preparation: Preparation | null,
    opened: (error: Error | null) => void,
    failed: (error: Error) => void,
  ): void {
    this.storage = identity?.storage ?? preparation?.storage ?? this.ports.random.hex(8);
    const problem = directoryProblem(identity, this.config.node);
    if (problem !== null) return failed(problem);
    this.identity = identity;
    this.hub.open();
    this.ticks.start();
    if (identity !== null) {
      this.openGroups(identity, true, (error) => (error === null ? opened(null) : failed(error)));
      return;
    }
    this.setPhase(this.config.join.length > 0 ? "joining" : "founding", "looking for the other nodes");
    const owner = bootstrapOwner(this, (founded) => this.belongTo(founded));
    this.bootstrap = new Bootstrap(owner, this.ports, preparation);
    this.peering.dialListed();
    this.bootstrap.start();
    opened(null);
  }

  private belongTo(identity: ClusterIdentity): void {
    this.bootstrap = null;
    this.identity = identity;
    // The links of before say "no cluster" of both ends: shake hands again as members.
    this.hub.restartLinks(`${this.config.node} now belongs to cluster ${identity.cluster}`);
    this.openGroups(identity, false, (error) => {
      if (error !== null) this.fatal(error);
    });
  }

  private openGroups(identity: ClusterIdentity, mustExist: boolean, opened: (error: Error | null) => void): void {
    openAuditedLog(
      this.ports,
      this.config,
      identity,
      mustExist,
      systemFactory,
      (error) => this.fatal(error),
      (error, log) => {
        if (error !== null || log === null) {
          opened(error);
          return;
        }
        if (this.stopped) return;
        this.wal = log.wal;
        this.identity = identity;
        this.untrusted = !log.restored.mayVote;
        this.system = new GroupHost(
          groupConfig(this.config, systemGroup, this.ports.random.nextUint32(), this.ticks.beatOffsetMs),
          log.restored,
          systemFactory,
          log.machine,
          { clock: this.ports.clock, telemetry: this.ports.telemetry, wal: log.wal, snapshots: log.snapshots, traces: this.traces },
          this,
          this.sink,
        );
        attachAudit(this, this.system, log);
        const proposals = { machine: () => this.machine, propose: (commands: readonly Command[]) => this.propose(commands) };
        this.leases = new LeaseHost(this.system, proposals, this.ports.clock, this.config.electionMinMs);
        const older = this.features.opened(log.restored);
        if (older !== null) return opened(older);
        this.queuing.open(log, identity.shards);
        this.members = new MembershipHost(this.system, membershipOwner(this), this.ports.clock, this.ports.telemetry);
        this.setPhase(
          this.untrusted ? "recovering" : "running",
          this.untrusted ? "the log was damaged: catching up from the leader before voting" : "",
        );
        this.peering.dialListed();
        this.peering.dialRegistered();
        this.markDirty();
        opened(null);
      },
      (detail) => void (this.phaseDetail = detail),
    );
  }

  markDirty(): void {
    if (this.dirty || this.stopped) return;
    this.dirty = true;
    this.ports.clock.defer(this.turn);
  }

  /** The work of all who came in this turn: it belongs to the trace of none of them, also not to that of who came first. */
  private readonly turn = (): void => {
    if (this.traces.isOn) this.traces.spans.within(null, () => this.pump());
    else this.pump();
  };

  private pump(): void {
    this.dirty = false;
    if (this.stopped) return;
    this.guarded(() => {
      this.ticks.catchUp();
      this.queries.collect();
      this.system?.awaitCommit(this.outbox.openFrames > 0);
      this.system?.pump();
      this.caching.pump();
      this.shards?.pump();
      this.release();
      // Nobody waits for this node's own apply but its own callers: the peers and the disk work meanwhile.
      this.system?.settle();
      this.leases?.update();
      this.shards?.settle();
      this.caching.pump();
      this.release();
      this.ticks.hasten();
    });
  }

  /** Messages leave beside the write they do not wait for: the leader's fsync runs in parallel with replication. */
  private release(): void {
    this.hub.flush();
    this.wal?.flush();
  }

  /** What it throws is the end of this node. */
  guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.fatal(error);
    }
  }

  send(message: RaftMessage): void {
    const reply = message.type.endsWith("-reply");
    this.hub.send(message.to, { type: "raft", group: systemGroup, message }, reply);
  }

  notice(group: GroupHost, notice: RaftNotice): void {
    onSystemNotice(this, group, notice);
  }

  applied(): void {
    this.groupTime.atLeast(this.machine?.groupTime ?? 0);
    this.features.applied();
    this.outbox.flush();
  }

  installed(): void {
    if (!this.features.installed()) return;
    this.leases?.machineReplaced();
    this.queuing.stateReplaced();
    this.outbox.answerFromState();
  }

  encodeEntry(_group: GroupHost, frames: readonly Uint8Array[]): Uint8Array {
    return encodeEntryPayload(this.groupTime.now(), frames);
  }

  fatal(error: unknown): void {
    if (this.stopped) return;
    const failure = error instanceof Error ? error : new Error(String(error));
    this.setPhase("failed", failure.message);
    this.ports.telemetry.log("error", "node.failed", `this node stops: ${failure.message}`, { error: failure.name });
    this.end("this node failed");
    this.onFatal(failure);
    // Who waits for a graceful stop is told that it is over.
    if (this.stopping.length > 0) this.closeWal();
  }

  /** Every call under way gets its outcome. */
  private end(reason: string): void {
    this.stopped = true;
    this.ticks.stop();
    this.queries.end();
    this.system?.stop();
    this.caching.stop();
    this.shards?.stop();
    this.bootstrap?.stop();
    this.calls.stop();
    this.hub.flush();
    this.hub.stop(reason);
  }

  submitFrame(frame: Uint8Array): Unavailable | null {
    if (this.traces.isOn) this.traces.note(frame);
    return this.refusesWork(this.system?.isLeader === true, frame) ?? this.outbox.submit(frame);
  }

  /** Why this node takes no command now; null = it does. `leads` = it would go into this node's log first. */
  refusesWork(leads: boolean, frame: Uint8Array | null = null): Unavailable | null {
    return refusalOf(this, leads, frame);
  }

  /** Puts privileged commands of this leader into the log. */
  propose(commands: readonly Command[]): boolean {
    return this.system !== null && !this.disk.critical && enqueuePrivileged(this.system, commands);
  }

  setPhase(phase: Phase, detail: string): void {
    if (this.phase === "failed") return;
    this.phase = phase;
    this.phaseDetail = detail;
    const level = phase === "failed" || phase === "removed" ? "error" : "info";
    if (detail !== "") this.ports.telemetry.log(level, `node.${phase}`, detail, { node: this.config.node });
  }

  /** Graceful stop (W-76): no new work, leadership handed over, every call under way answered, files closed. */
  stop(done: () => void): void {
    this.stopping.push(done);
    if (this.stopping.length > 1) return;
    if (this.phase === "failed" || this.stopped) {
      this.closeWal();
      return;
    }
    this.setPhase("stopping", `${this.config.node} is stopping`);
    this.departure = new Departure(this, () => {
      if (!this.stopped) this.end(`${this.config.node} is stopping`);
      this.closeWal();
    });
  }

  private closeWal(): void {
    closeStorage(this.ports, this.wal, this.workerStopped, () => {
      const waiting = this.stopping.splice(0);
      // Later calls find everything closed.
      this.wal = null;
      for (const done of waiting) done();
    });
    this.workerStopped = true;
  }

  get isStopped(): boolean {
    return this.stopped;
  }
}
