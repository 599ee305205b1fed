import {
  type GroupId,
  groupId,
  type HardState,
  logIndex,
  type Membership,
  type NodeId,
  nodeId,
  type RaftMessage,
  term,
} from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { checkFrame } from "@trivet/wire";
import { maxQueuedProposalBytes } from "../base/limits.ts";
import type { NodeHost } from "../node/node-host.ts";
import type { ForwardRefusal } from "../peers/peer-frames.ts";
import { StoreDamaged } from "../ports/ordered-store.ts";
import type { WalApi } from "../log/types.ts";
import { FenceFloors } from "./fence-floors.ts";
import { announceMs, reconcileMs } from "./limits.ts";
import { shardConfig } from "./shard-config.ts";
import { ShardDefinitions } from "./shard-definitions.ts";
import { ShardEntry } from "./shard-entry.ts";
import { ShardGroup } from "./shard-group.ts";
import { openShard } from "./shard-open.ts";
import { type RecoveredLog, ShardPast } from "./shard-past.ts";
import { ShardPlacement } from "./shard-placement.ts";
import { shardOf } from "./shard-routing.ts";
import { storeProblem } from "./store-problem.ts";
import type { ApplyWorker, ReadyHint, WorkerAnswer, WorkerReply } from "./worker-protocol.ts";

type ReadyListener = (queue: number, partition: number, group: string) => void;

/** All shards as one node sees them: a way into each, a replica of some. */
export class ShardHosts {
  readonly host: NodeHost;
  readonly worker: ApplyWorker;
  readonly wal: WalApi;
  readonly count: number;
  private readonly entries: readonly ShardEntry[];
  private readonly replicas = new Map<GroupId, ShardGroup>();
  private readonly opening = new Set<GroupId>();
  private readonly past: ShardPast;
  readonly placement: ShardPlacement;
  readonly definitions: ShardDefinitions;
  private readonly fenceFloors: FenceFloors;
  private readonly listeners = new Set<ReadyListener>();
  private announceAt = 0;
  private reconcileAt = 0;
  /** Shards whose stores are here; null = not known yet. */
  private stored: readonly GroupId[] | null = null;
  private stopped = false;

  constructor(host: NodeHost, worker: ApplyWorker, log: RecoveredLog, shards: number) {
    this.host = host;
    this.worker = worker;
    this.wal = log.wal;
    this.past = new ShardPast(log);
    this.count = shards;
    this.entries = Array.from({ length: shards }, (_, shard) => new ShardEntry(groupId(shard + 1), this));
    this.placement = new ShardPlacement(this);
    this.definitions = new ShardDefinitions(this.host);
    this.fenceFloors = new FenceFloors(this.host, () => this.replicas.values());
  }

  /** Finds out whose stores are here. They are opened once group 0 tells who founded them. */
  start(): void {
    this.worker.call({ type: "list" }, (reply) => {
      if (this.stopped) return;
      if (reply.type !== "groups") {
        this.host.fatal(storeProblem("the stores of the shards", reply));
        return;
      }
      const stored = reply.groups.filter((group) => group >= 1 && group <= this.count).map(groupId);
      for (const group of stored) if (this.past.wasGiven(group)) this.removeLeft(group);
      this.stored = stored;
    });
  }

  /**
   * The shard was given away, as the log says, so its store belongs to no log any more; a crash may have come between the two. While it cannot be
   * removed the shard must not be opened again.
   */
  private removeLeft(group: GroupId): void {
    this.opening.add(group);
    this.worker.call({ type: "close", group, remove: true }, (reply) => {
      if (reply.type === "failed") this.host.fatal(storeProblem(`the store that shard ${group} has left`, reply));
      else this.opening.delete(group);
    });
  }

  replica(group: GroupId): ShardGroup | null {
    return this.replicas.get(group) ?? null;
  }

  entry(group: GroupId): ShardEntry | null {
    return this.entries[group - 1] ?? null;
  }

  all(): Iterable<ShardGroup> {
    return this.replicas.values();
  }

  get openCommands(): number {
    return this.entries.reduce((open, { outbox }) => open + outbox.openCommands, 0);
  }

  // ── Turns and ticks ──

  pump(): void {
    for (const entry of this.entries) {
      const replica = this.replicas.get(entry.id);
      if (replica === undefined) entry.submissions.collect();
      else replica.pump();
    }
  }

  settle(): void {
    for (const replica of this.replicas.values()) replica.settle();
  }

  /** `isBeat`: what need not be done with every tick is done, too. */
  tick(now: number, isBeat: boolean): void {
    for (const replica of this.replicas.values()) replica.tick(now);
    for (const entry of this.entries) {
      entry.submissions.tick(now);
      if (!isBeat) continue;
      entry.outbox.tick();
      entry.outbox.resend(false);
    }
    if (isBeat) this.fenceFloors.beat(now);
    if (now >= this.announceAt) this.announce(now);
    if (now >= this.reconcileAt) {
      this.reconcileAt = now + reconcileMs;
      this.reconcile();
    }
  }

  /** When the next tick has something to do. */
  tickAt(now: number): number {
    let at = Number.POSITIVE_INFINITY;
    for (const replica of this.replicas.values()) at = Math.min(at, replica.tickAt(now));
    for (const { submissions } of this.entries) if (submissions.isOpen) return Number.NEGATIVE_INFINITY;
    return at;
  }

  stop(): void {
    this.stopped = true;
    for (const entry of this.entries) entry.submissions.stop();
    for (const replica of this.replicas.values()) replica.stop();
  }

  // ── What peers send ──

  receive(group: GroupId, message: RaftMessage): void {
    const replica = this.replicas.get(group);
    if (replica !== undefined) replica.receive(message);
    else if (this.stored !== null && (this.placement.wants(group, this.self) || mutant("shard-opened-unwanted"))) this.open(group);
  }

  forwarded(from: NodeId, group: GroupId, frame: Uint8Array, answers: boolean): void {
    const header = checkFrame(frame);
    const replica = this.replicas.get(group);
    const refuse = (code: ForwardRefusal): void => {
      const { caller, firstSequence } = header;
      this.host.hub.send(from, { type: "forward-refused", group, caller, firstSequence, code, retryAfterMs: 50 }, true);
      this.host.markDirty();
    };
    if (replica === undefined || !replica.group.isLeader) refuse("not_leader");
    else if (!this.host.features.admits(header.level)) refuse(this.host.features.cluster === null ? "not_leader" : "feature_level");
    else if (replica.group.raft.canPropose() === "uncommitted-bytes" || replica.group.queuedBytes > maxQueuedProposalBytes)
      refuse("overloaded");
    else if (this.host.disk.low) refuse("storage");
    else if (!replica.forwarded(from, header.caller, header.notAfter, frame, answers)) refuse("not_leader");
  }

  refused(group: GroupId, caller: string, firstSequence: number, code: ForwardRefusal, retryAfterMs: number): void {
    this.entry(group)?.outbox.refused(caller, firstSequence, code, retryAfterMs);
  }

  answered(group: GroupId, answers: readonly WorkerAnswer[]): void {
    this.entry(group)?.answered(answers);
  }

  leads(from: NodeId, groups: readonly (readonly [GroupId, number])[]): void {
    for (const [group, at] of groups) this.entry(group)?.hinted(from, at);
  }

  peerUp(): void {
    this.announceAt = 0;
  }

  peerDown(peer: NodeId): void {
    for (const replica of this.replicas.values()) replica.group.raft.step({ type: "peer-down", peer });
    this.placement.waits.lost(peer);
    this.linkLost(peer);
  }

  /** Frames on their way there may be lost. */
  linkLost(peer: NodeId): void {
    for (const entry of this.entries) {
      if (this.replicas.get(entry.id)?.group.leader() === peer) entry.outbox.resend(true);
      else entry.lost(peer);
    }
  }

  // ── Hints ──

  watchReady(listener: ReadyListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Out of apply. The leader also tells the nodes without a replica. */
  ready(hint: ReadyHint, leads: boolean): void {
    for (const listener of this.listeners) listener(hint.queue, hint.partition, hint.group);
    if (!leads) return;
    const { hub } = this.host;
    const group = shardOf(hint.queue, hint.partition, this.count);
    for (const node of hub.connected()) {
      if (!this.placement.wants(group, node)) hub.send(node, { type: "ready", hint }, true);
    }
  }

  /** What was told meanwhile may have been missed. */
  readyAll(): void {
    for (const listener of this.listeners) listener(-1, -1, "");
  }

  // ── Leaders ──

  leaderChanged(_replica: ShardGroup): void {
    this.announceAt = 0;
    this.readyAll();
    this.host.markDirty();
  }

  private announce(now: number): void {
    this.announceAt = now + announceMs;
    const led = [...this.replicas.values()].filter(({ group }) => group.isLeader).map(({ group }) => [group.id, group.term()] as const);
    if (led.length === 0) return;
    for (const node of this.host.hub.connected()) this.host.hub.send(node, { type: "leads", groups: led }, true);
    this.host.markDirty();
  }

  // ── Which replicas are here ──

  get self(): NodeId {
    return nodeId(this.host.config.node);
  }

  private reconcile(): void {
    if (this.stored === null || (this.host.phase !== "running" && this.host.phase !== "recovering")) return;
    this.placement.propose();
    if (this.placement.view === null) return;
    for (const group of [...this.stored, ...this.placement.foundedHere()]) {
      if (!this.past.isGone(group)) this.open(group);
    }
    this.placement.advance(this.replicas.values());
  }

  private open(group: GroupId): void {
    if (this.replicas.has(group) || this.opening.has(group) || this.stopped) return;
    this.opening.add(group);
    const founders = this.past.isGone(group) ? [] : this.placement.foundersOf(group);
    const isFounder = founders.some(({ node, storage }) => node === this.host.config.node && storage === this.host.storage);
    const founding = isFounder ? membershipOf(founders.map(({ node }) => nodeId(node))) : membershipOf([]);
    const { distrust, doubtElse, recovered } = this.past.begin(group, isFounder);
    const { wal, worker } = this;
    const opened = (): void =>
      openShard(
        this.host.ports,
        {
          group,
          founding,
          recovered,
          doubtElse,
          worker,
          wal,
        },
        (error, shard) => {
          this.opening.delete(group);
          const entry = this.entry(group);
          if (this.stopped || entry === null) return;
          if (shard === null && error instanceof StoreDamaged && this.othersHave(group)) {
            this.reportDamage(group, error.message);
            this.drop(group, this.past.promised(group));
            return;
          }
          if (shard === null) {
            this.host.fatal(error ?? new Error(`shard ${group} could not be opened`));
            return;
          }
          const config = shardConfig(this.host.config, group, this.host.ports.random.nextUint32(), this.host.ticks.beatOffsetMs);
          this.replicas.set(group, new ShardGroup(config, shard, this, entry));
          entry.outbox.resend(true);
          this.host.markDirty();
        },
      );
    if (distrust === null) opened();
    else wal.distrust(group, distrust, opened);
  }

  /** The replica takes part. */
  trusted(group: GroupId): void {
    this.past.trusted(group);
  }

  /** The shard is no longer of this node: its state goes, and its place in the log. Terms and votes stay, as they were promised. */
  give(replica: ShardGroup): void {
    const { group } = replica;
    this.replicas.delete(group.id);
    this.placement.steps.notLeading(replica);
    replica.stop();
    group.audit?.forget();
    this.entry(group.id)?.outbox.resend(true);
    this.host.caching.watches.skipped(group.id);
    this.drop(group.id, { term: group.raft.term, vote: group.raft.vote }, (then) => group.snapshots.forgetAll(then));
  }

  /** The log first: a store that is left over goes at the next start. */
  private drop(group: GroupId, promised: HardState, forget = (then: () => void): void => then()): void {
    this.past.gave(group, promised);
    this.opening.add(group);
    const floor = {
      group,
      index: logIndex(0),
      term: term(0),
      membership: membershipOf([]),
      membershipIndex: logIndex(0),
      keepFrom: logIndex(1),
    };
    // The replica that comes back takes it for known; it may have been heard of in this very turn.
    if (!mutant("shard-given-term-in-memory"))
      this.wal.write({ group, hardState: promised, truncateFrom: logIndex(0), append: [], commit: logIndex(0) }, () => {});
    if (mutant("shard-given-log-kept")) this.removeLeft(group);
    else this.wal.installed(floor, false, () => forget(() => this.removeLeft(group)));
  }

  private othersHave(group: GroupId): boolean {
    return this.placement.view?.shards[group - 1]?.some((node) => node !== this.host.config.node) === true;
  }

  private reportDamage(group: GroupId, detail: string): void {
    const { telemetry } = this.host.ports;
    telemetry.count("trivet_storage_corruptions_total", 1, { kind: "store" });
    telemetry.log("error", "storage.corrupt", `${detail}: shard ${group} is fetched again from its leader`, { group });
  }

  /** Nobody else counts for the group: what is removed here is gone for good. */
  private isOnlyCopy({ group }: ShardGroup): boolean {
    const { voters, outgoing } = group.raft.membership;
    return [...voters, ...outgoing].every((node) => node === this.self);
  }

  storeFailed(replica: ShardGroup, failure: Extract<WorkerReply, { readonly type: "failed" }>): void {
    // A damaged store: this replica's past cannot be trusted; it is opened again as one that has lost it (rule W6).
    const { cause, detail } = failure;
    if (cause !== "damaged") {
      this.host.fatal(storeProblem(`the store of shard ${replica.id}`, failure));
      return;
    }
    if (this.isOnlyCopy(replica)) {
      const next = "nothing is deleted; restore the data directory from a backup, or start without it";
      this.host.fatal(new Error(`${detail}: this is the only copy of shard ${replica.id}; ${next}`));
      return;
    }
    this.reportDamage(replica.group.id, detail);
    if (this.replicas.get(replica.group.id) === replica) this.give(replica);
  }
}

function membershipOf(voters: readonly NodeId[]): Membership {
  return { voters, outgoing: [], learners: [], learnersNext: [], autoLeave: false };
}
