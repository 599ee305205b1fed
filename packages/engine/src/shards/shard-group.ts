import { type LogIndex, logIndex, type NodeId, type RaftMessage, type RaftNotice } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { encodeEntryPayload, type ShardCommand } from "@trivet/wire";
import type { GroupHostConfig } from "../node/config.ts";
import type { GroupHostOwner } from "../groups/group-host.ts";
import { GroupHost } from "../groups/group-host.ts";
import { reportNotice } from "../node/notices.ts";
import { enqueuePrivileged } from "../groups/privileged.ts";
import { attachAudit } from "../state-audit/state-audit-open.ts";
import type { HomeHost } from "../cache/home-host.ts";
import { LeaseEnds } from "./lease-ends.ts";
import { snapshotFilesKeptMs, storeRetryMs, tidyEveryMs } from "./limits.ts";
import { RemoteCallers } from "./remote-callers.ts";
import type { ShardEntry } from "./shard-entry.ts";
import { ShardFlushes } from "./shard-flushes.ts";
import { homeOf } from "./shard-home.ts";
import type { ShardHosts } from "./shard-hosts.ts";
import type { OpenedShard } from "./shard-open.ts";
import { type Opened, ShardMachine, shardLoader } from "./shard-machine.ts";
import type { Applied, WorkerAnswer, WorkerReply, WorkerRequest } from "./worker-protocol.ts";

const nobody = { answer: (): void => {}, changed: (): void => {} };

/** This node's replica of one shard: its Raft group, its state in the apply worker, and what a leader does by itself. */
export class ShardGroup implements GroupHostOwner {
  readonly group: GroupHost;
  /** Of the cached values of this shard, while this node leads it. */
  readonly home: HomeHost;
  /** Begins the transfer that copies are being withdrawn for. */
  private transfer: (() => void) | null = null;
  private readonly hosts: ShardHosts;
  private readonly flushes: ShardFlushes;
  private readonly leaseEnds: LeaseEnds;
  private readonly entry: ShardEntry;
  private readonly remote = new RemoteCallers();
  private readonly later: { readonly at: number; readonly run: () => void }[] = [];
  private dirty = true;
  private unsettled = false;
  private untrusted: boolean;
  /** Group time of the state, and when it wants an entry by itself. */
  private groupTime: number;
  private wantsEntryAt: number;
  /** The term in which leases are timed here; 0 = they are not. */
  leadingTerm = 0;
  private attended = 0;
  private lastNow: number;
  /** After a pause nothing expires until leadership is confirmed (rule L2). */
  private unconfirmed = false;
  private refusal = "";
  private tidyAt = 0;
  private sentAt = 0;

  constructor(config: GroupHostConfig, { opened, restored, snapshots, stateDoubt }: OpenedShard, hosts: ShardHosts, entry: ShardEntry) {
    this.hosts = hosts;
    this.entry = entry;
    this.groupTime = opened.groupTime;
    this.wantsEntryAt = opened.wantsEntryAt;
    this.untrusted = !restored.mayVote;
    const { clock, telemetry } = hosts.host.ports;
    this.lastNow = clock.now();
    const { group } = config.raft;
    const machine = (loaded: Opened): ShardMachine => new ShardMachine(hosts.worker, group, loaded, this);
    const retryLater = (run: () => void): void => this.retryLater(run);
    const factory = { loader: (index: LogIndex) => shardLoader(hosts.worker, group, index, machine, retryLater) };
    const ports = { clock, telemetry, wal: hosts.wal, snapshots, traces: hosts.host.traces };
    this.group = new GroupHost(config, restored, factory, machine(opened), ports, this, nobody);
    attachAudit(hosts.host, this.group, { snapshots, stateDoubt }, () => {
      this.sentAt = clock.now();
    });
    this.flushes = new ShardFlushes(this.group, hosts.wal, config.retainBytes, (request, done) => this.machine.ask(request, done));
    this.home = homeOf(this, hosts);
    this.leaseEnds = new LeaseEnds(this);
    entry.forgetTold();
  }

  get id(): number {
    return this.group.id;
  }

  ask(request: WorkerRequest, answer: (reply: WorkerReply) => void): void {
    this.machine.ask(request, answer);
  }

  get machine(): ShardMachine {
    return this.group.machine as ShardMachine;
  }

  /** At the end of a turn. */
  pump(): void {
    this.home.pump();
    this.entry.submissions.collect();
    this.group.awaitCommit(this.entry.outbox.openFrames > 0);
    if (!this.dirty && !this.group.raft.hasEffects()) return;
    this.dirty = false;
    this.unsettled = true;
    this.group.pump();
  }

  /** After what the turn gave to peers and disk has left. */
  settle(): void {
    if (!this.unsettled) return;
    this.unsettled = false;
    this.group.settle();
    this.updateLeadership();
  }

  tick(now: number): void {
    this.group.tick(now);
    while (this.later.length > 0 && (this.later[0]?.at ?? 0) <= now) this.later.shift()?.run();
    this.remote.tick(now);
    this.updateLeadership();
    this.advance(now);
    // The log may have ceased to take anything since: the barrier would never come.
    if (this.hosts.host.disk.critical && !mutant("shard-transfer-waits-for-room")) this.transfer?.();
    this.lead();
    this.home.tick(now);
    this.flushes.tick(now);
    this.trustWhenCaughtUp();
    if (now >= this.tidyAt) this.tidy(now);
  }

  /** When the next tick has something to do. */
  tickAt(now: number): number {
    const at = Math.min(this.group.tickAt, this.home.tickAt(now), this.later[0]?.at ?? Number.POSITIVE_INFINITY);
    if (this.leadingTerm === 0 || this.unconfirmed) return at;
    const wantsAt = this.wantsEntryAt > 0 ? now + this.wantsEntryAt - this.hosts.host.groupTime.now() : Number.POSITIVE_INFINITY;
    return Math.min(at, wantsAt, this.lastNow + this.leaseEnds.dueAt - this.attended);
  }

  /** Snapshots are written for a replica that needs one, and are of no use afterwards: the state is in the store. */
  private tidy(now: number): void {
    this.tidyAt = now + tidyEveryMs;
    if (this.group.snapshots.sending()) this.sentAt = now;
    else if (now - this.sentAt > snapshotFilesKeptMs) this.group.snapshots.forgetFiles();
  }

  receive(message: RaftMessage): void {
    this.group.receive(message);
  }

  /** A frame of a caller of another node; with `answers`, of one that has no replica. */
  forwarded(from: NodeId, caller: string, notAfter: number, frame: Uint8Array, answers: boolean): boolean {
    if (answers) {
      const { clock } = this.hosts.host.ports;
      this.remote.heard(caller, from, clock.now() + Math.max(0, notAfter - this.hosts.host.groupTime.now()) + 5_000);
    }
    return this.group.enqueue(frame);
  }

  stop(): void {
    this.home.depose();
    this.group.stop();
    this.machine.discard();
  }

  // ── What the machine says ──

  told({ answers, changes, groupTime, hasQueued, nextLeaseAt, ready, unconfigured, unknownNamespaces, wantsEntryAt }: Applied): void {
    // Rule W7: what a state in doubt answers is told to nobody. Whoever waits is answered by the one that takes its place.
    if (this.group.stateDoubted && !mutant("shard-w7-doubtful-tells")) return;
    this.groupTime = groupTime;
    this.wantsEntryAt = wantsEntryAt;
    this.leaseEnds.told(nextLeaseAt);
    const elsewhere = new Map<NodeId, WorkerAnswer[]>();
    for (const answer of answers) {
      this.entry.outbox.answer(answer.caller, answer.sequence, answer.bytes, answer.fingerprint, answer.notAfter);
      for (const node of this.remote.nodesOf(answer.caller)) {
        const others = elsewhere.get(node);
        if (others === undefined) elsewhere.set(node, [answer]);
        else others.push(answer);
      }
    }
    this.home.answered(answers);
    if (hasQueued) this.home.behind.changed();
    this.hosts.host.caching.watches.applied(this.group.id, changes);
    const { hub } = this.hosts.host;
    for (const [node, others] of elsewhere) hub.send(node, { type: "shard-answers", group: this.group.id, answers: others }, true);
    for (const hint of ready) this.hosts.ready(hint, this.group.isLeader);
    if (unconfigured.length + unknownNamespaces.length > 0 && this.group.isLeader) {
      this.hosts.definitions.unknown(this, unconfigured, unknownNamespaces);
    }
  }

  takeRoutes(): { readonly routed: readonly string[]; readonly unrouted: readonly string[] } {
    const told = [this.entry.takeRoutes(), this.remote.takeRoutes(), this.home.proposals.routes.take()];
    // Copies of one idempotent call may be waited for here and elsewhere: the caller is over when it is so for all.
    const isWaitedFor = (caller: string): boolean =>
      this.entry.waitsFor(caller) || this.remote.has(caller) || this.home.proposals.routes.has(caller);
    const over = told.flatMap(({ unrouted }) => unrouted).filter((caller) => !isWaitedFor(caller));
    return { routed: told.flatMap(({ routed }) => routed), unrouted: over };
  }

  /** Not that of the last tick: a lease that begins now must not have begun before. */
  attendedNow(): number {
    return this.attended + this.sinceTick(this.hosts.host.ports.clock.now());
  }

  failed(failure: Extract<WorkerReply, { readonly type: "failed" }>): void {
    this.hosts.storeFailed(this, failure);
  }

  retryLater(run: () => void): void {
    const { ports } = this.hosts.host;
    ports.telemetry.log("error", "storage.full", `shard ${this.id} waits for space on the disk`, { group: this.id });
    this.later.push({ at: ports.clock.now() + storeRetryMs, run });
  }

  // ── What the group asks ──

  markDirty(): void {
    this.dirty = true;
    this.hosts.host.markDirty();
  }

  send(message: RaftMessage): void {
    this.hosts.host.hub.send(message.to, { type: "raft", group: this.group.id, message }, message.type.endsWith("-reply"));
  }

  notice(group: GroupHost, notice: RaftNotice): void {
    const { host } = this.hosts;
    reportNotice(host.ports.telemetry, host.config.node, group, notice);
    if (notice.type === "membership-refused") this.refusal = notice.reason;
    if (notice.type === "transfer-ended") this.transferEnded(group);
    if (notice.type === "role" || notice.type === "leader") {
      if (!group.isLeader || group.term() !== this.leadingTerm) this.deposed();
      this.entry.leaderChanged();
      this.hosts.leaderChanged(this);
    }
  }

  applied(_group: GroupHost, bytes: number): void {
    this.hosts.host.groupTime.atLeast(this.groupTime);
    this.entry.outbox.flush();
    this.flushes.applied(bytes, this.hosts.host.ports.clock.now());
  }

  installed(): void {
    this.leadingTerm = 0;
    // The machine of before answers nothing any more.
    this.flushes.installed();
    // What the skipped entries answered is asked for again: the same frames, answered by the dedupe table.
    if (!mutant("shard-routes-lost-by-install")) {
      this.entry.forgetTold();
      this.remote.forgetTold();
    }
    this.entry.outbox.resend(true);
    this.hosts.readyAll();
    this.hosts.host.caching.watches.skipped(this.group.id);
  }

  encodeEntry(_group: GroupHost, frames: readonly Uint8Array[]): Uint8Array {
    // Rule L3: never backwards; the node's estimate follows group 0, so that all groups have about the same calendar.
    return encodeEntryPayload(Math.max(this.groupTime, this.hosts.host.groupTime.now()), frames);
  }

  fatal(error: Error): void {
    this.hosts.host.fatal(error);
  }

  /** Privileged commands of this leader: no caller, no dedupe, no answer. */
  propose(commands: readonly ShardCommand[]): boolean {
    const { disk, features } = this.hosts.host;
    return !disk.critical && features.admitAll(commands) && enqueuePrivileged(this.group, commands);
  }

  /** Copies are being withdrawn for a transfer that has not begun. */
  get isHandingOver(): boolean {
    return this.transfer !== null;
  }

  /** Rule M4: copies are withdrawn first, then leadership goes; so the next leader waits for no lease. It does where no log takes the barrier. */
  handOver(to: NodeId): void {
    const transfer = (): void => {
      if (this.transfer !== transfer) return;
      this.transfer = null;
      this.group.raft.step({ type: "transfer", to });
      this.markDirty();
    };
    this.transfer = transfer;
    if (this.hosts.host.disk.critical || mutant("cache-transfer-with-leases")) transfer();
    else this.home.close(transfer);
  }

  /** Null = proposed (rule G4: one change at a time, compare-and-set on the configuration). */
  changeMembership(change: { readonly voters?: NodeId; readonly learner?: NodeId; readonly remove?: NodeId }): string | null {
    const { raft } = this.group;
    this.refusal = "";
    raft.step({
      type: "change-membership",
      change: {
        addVoters: change.voters === undefined ? [] : [change.voters],
        addLearners: change.learner === undefined ? [] : [change.learner],
        remove: change.remove === undefined ? [] : [change.remove],
      },
      expectedIndex: raft.membershipIndex,
    });
    this.group.drain();
    this.markDirty();
    return this.refusal === "" ? null : this.refusal;
  }

  // ── What a leader does by itself ──

  private get leadsNow(): boolean {
    const { raft, appliedIndex } = this.group;
    return raft.role === "leader" && appliedIndex > 0 && raft.termAt(appliedIndex) === raft.term;
  }

  /** Timers begin when an entry of its own term is applied: only then is its state the newest there is (rule L1). */
  private updateLeadership(): void {
    const { raft } = this.group;
    const leads = this.leadsNow;
    if (this.leadingTerm !== 0 && (!leads || this.leadingTerm !== raft.term)) {
      this.leadingTerm = 0;
      this.deposed();
      this.machine.ask({ type: "lead", group: this.group.id, leads: false }, () => {});
    }
    if (this.leadingTerm !== 0 || !leads) return;
    this.leadingTerm = raft.term;
    this.attended = 0;
    this.lastNow = this.hosts.host.ports.clock.now();
    this.unconfirmed = false;
    this.leaseEnds.begin();
    this.machine.ask({ type: "lead", group: this.group.id, leads: true }, () => {});
    this.home.lead(raft.term, this.termBeforeOwn());
    this.hosts.definitions.began(this);
  }

  /** Of the entry before this leader's first: whether somebody led between a lease barrier and now (rule M4). */
  private termBeforeOwn(): number {
    const { raft, appliedIndex } = this.group;
    let before: number = appliedIndex;
    while (before > 0 && raft.termAt(logIndex(before)) === raft.term) before--;
    return before === 0 ? 0 : (raft.termAt(logIndex(before)) ?? 0);
  }

  /** Still the leader: it came to nothing. */
  private transferEnded(group: GroupHost): void {
    this.transfer = null;
    if (group.isLeader && !mutant("cache-home-stays-closed")) this.home.resume();
  }

  private deposed(): void {
    this.transfer = null;
    this.home.depose();
  }

  private advance(now: number): void {
    const longest = this.hosts.host.config.electionMinMs;
    const step = now - this.lastNow;
    this.attended += this.sinceTick(now);
    this.lastNow = now;
    if (this.leadingTerm !== 0 && step > longest) this.confirmAfterPause();
  }

  /** Of a pause no more counts than this (rule L2). */
  private sinceTick(now: number): number {
    return Math.min(Math.max(0, now - this.lastNow), this.hosts.host.config.electionMinMs);
  }

  private confirmAfterPause(): void {
    if (mutant("shard-expires-unconfirmed")) return;
    this.unconfirmed = true;
    const term = this.leadingTerm;
    this.group.reads.barrier(this.hosts.host.config.electionMinMs * 20, (ready) => {
      if (this.leadingTerm !== term) return;
      if (ready) this.unconfirmed = false;
      else this.confirmAfterPause();
    });
  }

  private lead(): void {
    if (this.leadingTerm === 0 || this.unconfirmed || this.group.raft.canPropose() !== null) return;
    const forgets = mutant("shard-deadlines-forgotten");
    if (
      !forgets &&
      this.wantsEntryAt > 0 &&
      this.hosts.host.groupTime.now() >= this.wantsEntryAt &&
      this.group.caughtUp &&
      this.group.enqueueTime()
    ) {
      this.wantsEntryAt = 0;
    }
    this.leaseEnds.look(this.attended);
  }

  /** The log has become long, and this shard's old entries are what keeps it (rule W1). */
  letGo(): void {
    this.flushes.letGo();
  }

  private trustWhenCaughtUp(): void {
    if (!this.untrusted || !this.group.raft.mayVote) return;
    this.untrusted = false;
    this.hosts.trusted(this.group.id);
    const { telemetry } = this.hosts.host.ports;
    const told = `shard ${this.id} caught up with its leader: it votes again here`;
    this.hosts.wal.trust(this.group.id, () => telemetry.log("info", "storage.recovered", told, { group: this.id }));
  }
}
