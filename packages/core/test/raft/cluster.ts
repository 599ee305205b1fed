import {
  groupId,
  logIndex,
  nodeId,
  Prng,
  RaftChecker,
  RaftGroup,
  emptyMembership,
  logMismatch,
  type Membership,
  type MembershipChange,
  type NodeId,
  type RaftConfig,
  type RaftEffects,
  type RaftEvent,
  type RaftMessage,
  type RaftViolation,
} from "@trivet/core";
import { appliedIn, installIncoming, readChunk, takeSnapshot, writeChunk } from "./disk-snapshots.ts";
import { defaultConfig } from "./default-config.ts";
import { emptyDisk, loseEntriesAfter, loseLastWrite, persist, TestNode, type Disk, wholeDisk } from "./test-node.ts";
import { WantedTicks } from "./wanted-ticks.ts";

const text = new TextEncoder();
const untext = new TextDecoder();

export const payloadOf = (value: string): Uint8Array => text.encode(value);

export interface ClusterOptions {
  readonly voters: readonly string[];
  readonly learners?: readonly string[];
  /** Nodes that exist but are no members yet. */
  readonly spare?: readonly string[];
  readonly seed?: number;
  readonly config?: Partial<RaftConfig>;
}

/**
 * Several RaftGroups over a network and disks that do nothing by themselves: a test delivers messages, completes writes and moves time,
 * or lets `settle` do all of it until nothing is left.
 */
export class Cluster {
  readonly nodes: Map<NodeId, TestNode> = new Map();
  readonly checker: RaftChecker = new RaftChecker();
  readonly prng: Prng;
  /** Messages on their way, oldest first. */
  network: RaftMessage[] = [];
  now = 1000;
  /** True = a message is lost instead of sent. */
  cut: (message: RaftMessage) => boolean = () => false;
  messagesSent = 0;
  private readonly options: ClusterOptions;
  private readonly founding: Membership;
  private snapshots = 0;
  private starts = 0;
  private readonly ticks: WantedTicks;

  constructor(options: ClusterOptions) {
    this.options = options;
    this.ticks = new WantedTicks(options.config?.electionMinMs ?? defaultConfig.electionMinMs);
    this.prng = new Prng(options.seed ?? 1);
    this.founding = { ...emptyMembership, voters: options.voters.map(nodeId), learners: (options.learners ?? []).map(nodeId) };
    const members = [...options.voters, ...(options.learners ?? [])];
    for (const id of members) this.create(nodeId(id), this.founding);
    for (const id of options.spare ?? []) this.create(nodeId(id), emptyMembership);
  }

  node(id: string): TestNode {
    const node = this.nodes.get(nodeId(id));
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  group(id: string): RaftGroup {
    return this.node(id).group;
  }

  get running(): TestNode[] {
    return [...this.nodes.values()].filter((node) => node.up);
  }

  /** The leader of the highest term among running nodes. */
  get leader(): TestNode | null {
    const leaders = this.running.filter((node) => node.group.role === "leader");
    leaders.sort((a, b) => b.group.term - a.group.term);
    return leaders[0] ?? null;
  }

  // ── Events ────────────────────────────────────────────────────────────────────────────────────────────────────────

  step(id: string, event: RaftEvent): void {
    const node = this.node(id);
    if (!node.up) return;
    node.group.step(event);
    this.take(node);
  }

  campaign(id: string): void {
    this.step(id, { type: "campaign" });
  }

  propose(id: string, ...values: string[]): void {
    this.step(id, { type: "propose", payloads: values.map(payloadOf) });
  }

  read(id: string, context: number): void {
    this.step(id, { type: "read", context });
  }

  change(id: string, change: Partial<Record<keyof MembershipChange, readonly string[]>>, expectedIndex: number | null = null): void {
    this.step(id, {
      type: "change-membership",
      change: { addVoters: idsOf(change.addVoters), addLearners: idsOf(change.addLearners), remove: idsOf(change.remove) },
      expectedIndex: expectedIndex === null ? null : logIndex(expectedIndex),
    });
  }

  transfer(id: string, to: string): void {
    this.step(id, { type: "transfer", to: nodeId(to) });
  }

  /** Moves time for everybody, or for `ids`. */
  tick(ms: number, ids?: readonly string[]): void {
    this.now += ms;
    for (const node of this.running) {
      if (ids !== undefined && !ids.includes(node.id)) continue;
      this.ticks.tick(node.group, this.now);
      this.take(node);
    }
  }

  // ── Effects ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes effects until there are none, keeping writes and messages back. */
  take(node: TestNode): void {
    while (node.group.hasEffects()) {
      const effects = node.group.takeEffects();
      this.send(effects.sendNow);
      node.sent.push(...effects.sendNow);
      if (effects.write > 0) node.writes.push({ effects, messages: [...effects.sendDurable] });
      else if (effects.sendDurable.length > 0) {
        const last = node.writes.at(-1);
        if (last === undefined) this.send(effects.sendDurable);
        else last.messages.push(...effects.sendDurable);
      }
      node.sent.push(...effects.sendDurable);
      // The hint is part of the ordered stream: it never reaches the disk before the entries it speaks of.
      if (effects.commit > 0 && effects.write === 0 && node.writes.length === 0) node.disk.commit = effects.commit;
      node.reads.push(...effects.reads);
      node.notices.push(...effects.notices);
      if (effects.notices.some((notice) => notice.type === "recovered")) Object.assign(node.disk, wholeDisk);
      for (const effect of effects.snapshots) this.snapshotWork(node, effect);
      this.apply(node);
    }
    this.check(node);
  }

  check(node: TestNode): void {
    report(this.checker.check([node.group]));
  }

  /** Completes the oldest write of `node`. */
  flushOne(node: TestNode): boolean {
    const pending = node.writes.shift();
    if (pending === undefined) return false;
    persist(node.disk, pending.effects);
    this.send(pending.messages);
    node.group.step({ type: "durable", write: pending.effects.write });
    this.apply(node);
    this.take(node);
    return true;
  }

  flush(id: string): void {
    while (this.flushOne(this.node(id)));
  }

  deliver(message: RaftMessage): void {
    const node = this.nodes.get(message.to);
    if (node === undefined || !node.up) return;
    node.group.step({ type: "message", message });
    this.take(node);
  }

  /** Delivers the oldest message that satisfies `which`; false when there is none. */
  deliverOne(which: (message: RaftMessage) => boolean = () => true): boolean {
    const at = this.network.findIndex(which);
    const [message] = at < 0 ? [] : this.network.splice(at, 1);
    if (message === undefined) return false;
    this.deliver(message);
    return true;
  }

  /** Everything that can happen without time passing happens, in order; optionally among some nodes only. */
  settle(ids?: readonly string[]): void {
    const among = (id: NodeId): boolean => ids === undefined || ids.includes(id);
    for (let round = 0; ; round++) {
      if (round > 100_000) throw new Error("does not settle");
      let busy = false;
      for (const node of this.running) {
        if (!among(node.id)) continue;
        this.take(node);
        while (this.flushOne(node)) busy = true;
      }
      while (this.deliverOne((message) => among(message.to))) busy = true;
      if (!busy) return;
    }
  }

  /** Passes time in small steps, everything settling in between, until `done`; fails after `ms`. */
  run(ms: number, done: () => boolean = () => false, ids?: readonly string[]): boolean {
    const until = this.now + ms;
    while (this.now < until) {
      this.settle(ids);
      if (done()) return true;
      this.tick(5);
    }
    this.settle(ids);
    return done();
  }

  // ── Faults ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Loses memory; of the writes under way the first `survivors` reached the disk. */
  crash(id: string, survivors = 0): void {
    const node = this.node(id);
    for (const { effects } of node.writes.slice(0, survivors)) persist(node.disk, effects);
    node.writes = [];
    node.heldInstalls = [];
    node.up = false;
  }

  restart(id: string): void {
    const old = this.node(id);
    const node = this.start(old.id, old.disk);
    this.checker.restarted(old.id);
    this.nodes.set(old.id, node);
    this.take(node);
  }

  /** The disk is replaced by an empty one under the same node id. */
  wipe(id: string): void {
    this.crash(id);
    const node = this.node(id);
    Object.assign(node.disk, emptyDisk(emptyMembership), { damaged: true });
  }

  /** The power goes while the end of the log is written, or it rots: entries after `last`, or the last write, cannot be read. */
  tearTail(id: string, last: number | null = null): void {
    this.crash(id);
    if (last === null) loseLastWrite(this.node(id).disk);
    else loseEntriesAfter(this.node(id).disk, last);
  }

  isolate(...ids: string[]): void {
    this.cut = (message) => ids.includes(message.from) !== ids.includes(message.to);
  }

  heal(): void {
    this.cut = () => false;
  }

  /** Takes a local snapshot of all applied and drops the log except for the last `keep` entries before it. */
  compact(id: string, keep = 0): void {
    const node = this.node(id);
    const index = node.appliedIndex;
    const entryTerm = node.group.termAt(index);
    if (index === 0 || entryTerm === null || (node.disk.snapshot?.meta.index ?? 0) >= index) return;
    const { meta, keepFrom } = takeSnapshot(node, { id: `${id}-${++this.snapshots}`, index, term: entryTerm, keep });
    this.step(id, { type: "snapshot-taken", meta, keepFrom });
  }

  // ── Checks ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Applied commands of all running nodes are prefixes of the longest; logs match. */
  checkAgreement(): void {
    const running = this.running;
    const longest = running.reduce<TestNode | null>(
      (best, node) => ((best?.applied.length ?? -1) < node.applied.length ? node : best),
      null,
    );
    for (const node of running) {
      const differs = node.applied.findIndex((value, at) => value !== longest?.applied[at]);
      if (differs >= 0) throw new Error(`${node.id} applied ${node.applied[differs]}, ${longest?.id} ${longest?.applied[differs]}`);
      for (const other of running) {
        const mismatch = logMismatch(node.group, other.group);
        if (mismatch !== null) throw new Error(mismatch);
      }
    }
  }

  values(id: string): string[] {
    return this.node(id).applied.map((line) => line.slice(line.indexOf(":") + 1));
  }

  // ── Inside ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Replaces a node that has not run yet by one that is restored from `disk`. */
  createFrom(id: string, disk: Partial<Disk>): void {
    const full = { ...emptyDisk(this.founding), ...disk };
    this.nodes.set(nodeId(id), this.start(nodeId(id), full));
  }

  private create(id: NodeId, membership: Membership): void {
    this.nodes.set(id, this.start(id, emptyDisk(membership)));
  }

  private start(id: NodeId, disk: Disk): TestNode {
    const config: RaftConfig = {
      ...defaultConfig,
      seed: (this.options.seed ?? 1) * 1000 + this.starts++,
      ...this.options.config,
      group: groupId(0),
      self: id,
    };
    const applied = appliedIn(disk);
    const appliedIndex = disk.snapshot?.meta.index ?? logIndex(0);
    const last = disk.entries.at(-1)?.index ?? appliedIndex;
    const group = new RaftGroup(config, {
      now: this.now,
      hardState: disk.hardState,
      snapshot: disk.snapshot?.meta ?? null,
      membership: disk.membership,
      membershipIndex: disk.membershipIndex,
      entries: disk.entries,
      commit: logIndex(Math.max(Math.min(disk.commit, last), appliedIndex)),
      applied: appliedIndex,
      mayVote: !disk.damaged,
      onlyTornTail: disk.onlyTornTail,
      newcomer: disk.newcomer,
    });
    // Tests look at every node: none is left to learn of a commit later.
    group.step({ type: "await-commit", awaiting: true });
    const node = new TestNode(id, disk, group);
    node.applied = applied;
    node.appliedIndex = appliedIndex;
    this.apply(node);
    return node;
  }

  private send(messages: readonly RaftMessage[]): void {
    for (const message of messages) {
      this.messagesSent++;
      report(this.checker.sent(message));
      if (!this.cut(message)) this.network.push(message);
    }
  }

  /** Rule W2: up to the smaller of commit index and own durable index. */
  private apply(node: TestNode): void {
    if (node.heldInstalls.length > 0) return;
    const to = Math.min(node.group.commitIndex, node.group.durableIndex);
    if (to <= node.appliedIndex) return;
    for (const entry of node.group.entries(logIndex(node.appliedIndex + 1), logIndex(to), Number.MAX_SAFE_INTEGER)) {
      if (entry.index !== node.appliedIndex + 1) throw new Error(`${node.id} applies ${entry.index} after ${node.appliedIndex}`);
      if (entry.kind === "command") node.applied.push(`${entry.index}:${untext.decode(entry.payload)}`);
      node.appliedIndex = entry.index;
    }
    node.group.step({ type: "applied", index: node.appliedIndex });
  }

  private snapshotWork(node: TestNode, effect: RaftEffects["snapshots"][number]): void {
    switch (effect.type) {
      case "read-chunk":
        return readChunk(node, effect);
      case "write-chunk":
        return writeChunk(node, effect);
      case "install":
        node.heldInstalls.push(effect.meta);
        if (!node.holdInstall) this.install(node);
        return;
    }
  }

  /** Completes the install under way: writes handed out before it are durable first, as in one WAL. */
  install(node: TestNode): void {
    const meta = node.heldInstalls.shift();
    if (meta === undefined) return;
    while (this.flushOne(node));
    installIncoming(node, meta);
  }
}

function idsOf(list: readonly string[] | undefined): NodeId[] {
  return (list ?? []).map(nodeId);
}

function report(violations: readonly RaftViolation[]): void {
  if (violations.length > 0) throw new Error(violations.map((v) => `${v.invariant}: ${v.detail}`).join("; "));
}
