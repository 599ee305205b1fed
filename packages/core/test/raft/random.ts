import { logIndex, logMismatch, membersOf, Prng, votersOf, type RaftMessage } from "@trivet/core";
import { Cluster } from "./cluster.ts";
import type { TestNode } from "./test-node.ts";

export interface RunStats {
  elections: number;
  proposals: number;
  committed: number;
  readsAnswered: number;
  readsRefused: number;
  crashes: number;
  truncations: number;
  snapshots: number;
  changes: number;
  transfers: number;
  wipes: number;
}

/** How often things go wrong in one run; drawn anew for every seed (swarm testing). */
interface Weather {
  readonly drop: number;
  readonly duplicate: number;
  readonly reorder: number;
  readonly crash: number;
  readonly partition: number;
  readonly slowDisk: number;
  readonly compact: number;
  readonly change: number;
  readonly transfer: number;
  readonly pause: number;
  readonly campaign: number;
  readonly wipe: number;
  /** Milliseconds that pass at most between two events: large = messages are slow compared with the timeouts. */
  readonly pace: number;
}

/**
 * One random run of `steps` steps: messages lost, repeated and reordered, nodes crashed with part of their writes, partitions, snapshots,
 * membership changes, transfers. Invariants are checked after every step. Then everything heals, and the group must elect, commit
 * and agree within bounded time. Throws what it finds.
 */
export function randomRun(seed: number, steps: number): RunStats {
  const run = new RandomRun(seed);
  for (let i = 0; i < steps; i++) run.step();
  run.recover();
  return run.stats();
}

const allNodes = ["a", "b", "c", "d", "e"];

class RandomRun {
  private readonly prng: Prng;
  private readonly c: Cluster;
  private readonly weather: Weather;
  private partition: Set<string> = new Set();
  private oneWay = false;
  private proposals = 0;
  private crashes = 0;
  private changes = 0;
  private transfers = 0;
  private wipes = 0;
  private nextRead = 1;
  /** What was committed anywhere when a read was asked: the answer must not be older. */
  private readonly readFloors = new Map<number, { readonly node: string; readonly floor: number }>();
  private readsAnswered = 0;
  private readsRefused = 0;
  private readonly counted = new Map<TestNode, { notices: number; reads: number }>();
  private elections = 0;
  private truncations = 0;
  private snapshots = 0;

  constructor(seed: number) {
    this.prng = new Prng(seed);
    const size = this.prng.pick([1, 2, 3, 3, 3, 5]);
    const voters = allNodes.slice(0, size);
    const sometimes = (most: number): number => (this.prng.chance(0.5) ? 0 : this.prng.next() * most);
    // A lost disk needs a quorum that lost nothing: not while the membership itself is in motion.
    const wipe = size < 3 ? 0 : sometimes(0.005);
    this.weather = {
      drop: sometimes(0.2),
      duplicate: sometimes(0.2),
      reorder: sometimes(1),
      crash: sometimes(0.02),
      partition: sometimes(0.03),
      slowDisk: sometimes(0.9),
      compact: sometimes(0.02),
      change: wipe > 0 ? 0 : sometimes(0.02),
      transfer: sometimes(0.005),
      pause: sometimes(0.005),
      campaign: sometimes(0.05),
      wipe,
      pace: this.prng.pick([2, 10, 40]),
    };
    this.c = new Cluster({
      voters,
      spare: allNodes.slice(size),
      seed,
      config: {
        ...this.prng.pick([
          { heartbeatMs: 50, electionMinMs: 300, electionMaxMs: 600 },
          { heartbeatMs: 20, electionMinMs: 80, electionMaxMs: 200 },
          { heartbeatMs: 10, electionMinMs: 30, electionMaxMs: 100 },
        ]),
        maxEntriesPerAppend: this.prng.pick([1, 3, 64]),
        maxInflightMessages: this.prng.pick([1, 2, 16]),
        maxInflightBytes: this.prng.pick([10, 100, 100_000]),
        snapshotChunkBytes: this.prng.pick([16, 64, 4096]),
      },
    });
    this.c.cut = (message) => this.cuts(message) || this.prng.chance(this.weather.drop);
  }

  step(): void {
    const { prng, c, weather } = this;
    const node = prng.pick([...c.nodes.values()]);
    if (!node.up && prng.chance(0.05)) c.restart(node.id);
    else if (prng.chance(weather.crash)) this.crash(this.leaderOr(node));
    else if (prng.chance(weather.partition)) this.changePartition();
    else if (prng.chance(weather.compact)) this.whenUp(node, () => c.compact(node.id, prng.below(10)));
    else if (prng.chance(weather.change)) this.change();
    else if (prng.chance(weather.transfer)) this.transfer();
    else if (prng.chance(weather.pause)) c.tick(prng.between(300, 2000), [node.id]);
    else if (prng.chance(weather.wipe)) this.wipe(node);
    else if (prng.chance(weather.campaign)) c.campaign(node.id);
    else this.ordinary(node);
    this.observe();
  }

  /** The liveness phase: heal everything, restart everybody, and demand progress. */
  recover(): void {
    const { c } = this;
    this.partition = new Set();
    c.cut = () => false;
    for (const node of c.nodes.values()) if (!node.up) c.restart(node.id);
    const ready = (): boolean => {
      const { leader } = c;
      if (leader === null || leader.group.canPropose() !== null || !leader.group.ownTermCommitted) return false;
      const { membership } = leader.group;
      return membership.outgoing.length === 0 && membersOf(membership).every((id) => this.caughtUp(id, leader));
    };
    if (!c.run(20_000, ready)) throw new Error(`no recovery: ${this.describe()}`);
    const leader = c.leader?.id ?? "";
    const { membership } = c.group(leader);
    c.propose(leader, "the end");
    // A peer that was last heard of in a probe gets it after the next heartbeat.
    const everywhere = (): boolean => membersOf(membership).every((id) => c.values(id).at(-1) === "the end");
    if (!c.run(1000, everywhere)) throw new Error(`not everybody got the last entry: ${this.describe()}`);
    this.observe();
    c.checkAgreement();
  }

  stats(): RunStats {
    const { elections, proposals, readsAnswered, readsRefused, crashes, truncations, snapshots, changes, transfers, wipes } = this;
    const committed = this.c.checker.lastCommitted;
    return { elections, proposals, committed, readsAnswered, readsRefused, crashes, truncations, snapshots, changes, transfers, wipes };
  }

  private caughtUp(id: string, leader: TestNode): boolean {
    const { group } = this.c.node(id);
    return (
      group.mayVote &&
      group.commitIndex === leader.group.commitIndex &&
      group.lastIndex === leader.group.lastIndex &&
      group.leader === leader.id
    );
  }

  private describe(): string {
    const lines = [...this.c.nodes.values()].map(({ id, up, group }) => {
      const members = `${group.membership.voters.join("")}/${group.membership.outgoing.join("")}/${group.membership.learners.join("")}`;
      return `${id} ${up ? group.role : "down"} t${group.term} c${group.commitIndex} d${group.durableIndex} l${group.lastIndex} ${members}`;
    });
    return lines.join("; ");
  }

  private ordinary(node: TestNode): void {
    const { prng, c, weather } = this;
    const kind = prng.below(100);
    if (kind < 50) this.deliver();
    else if (kind < 75) this.whenUp(node, () => this.flush(node));
    else if (kind < 88) c.tick(prng.between(1, weather.pace));
    else if (kind < 96) this.propose();
    else this.whenUp(node, () => this.read(node));
  }

  /** The longer the queue, the more of it: latency stays bounded, or nothing would ever be decided. */
  private deliver(): void {
    const { prng, c, weather } = this;
    for (let count = 1 + (c.network.length >> 3); count > 0; count--) {
      const { network } = c;
      const at = prng.chance(weather.reorder) ? prng.below(network.length) : 0;
      const message = network[at];
      if (message === undefined) return;
      if (!prng.chance(weather.duplicate)) network.splice(at, 1);
      if (!this.cuts(message)) c.deliver(message);
    }
  }

  private flush(node: TestNode): void {
    if (this.prng.chance(this.weather.slowDisk)) return;
    for (let count = 1 + (node.writes.length >> 1); count > 0; count--) this.c.flushOne(node);
  }

  private cuts(message: RaftMessage): boolean {
    const from = this.partition.has(message.from);
    const to = this.partition.has(message.to);
    return this.oneWay ? from && !to : from !== to;
  }

  private changePartition(): void {
    const { prng } = this;
    this.oneWay = prng.chance(0.3);
    this.partition = prng.chance(0.6) ? new Set() : new Set(this.someNodes());
  }

  private crash(node: TestNode): void {
    const { prng, c } = this;
    if (!node.up) return;
    this.crashes++;
    c.crash(node.id, prng.below(node.writes.length + 1));
    // Reads of a crashed node are never answered.
    for (const [context, read] of this.readFloors) if (read.node === node.id) this.readFloors.delete(context);
  }

  /** A disk is lost. One at a time: a quorum must be left that lost nothing. */
  private wipe(node: TestNode): void {
    const { c } = this;
    if (![...c.nodes.values()].every(({ up, group, disk }) => up && group.mayVote && !disk.damaged)) return;
    this.crash(node);
    c.wipe(node.id);
    this.wipes++;
    // Its connections end with it.
    c.network = c.network.filter((message) => message.from !== node.id);
    c.restart(node.id);
  }

  /** Trouble hits the leader more often than others. */
  private leaderOr(node: TestNode): TestNode {
    return this.prng.chance(0.5) ? (this.c.leader ?? node) : node;
  }

  private someNodes(): readonly string[] {
    const { leader } = this.c;
    return leader !== null && this.prng.chance(0.5) ? [leader.id] : allNodes.filter(() => this.prng.chance(0.4));
  }

  private propose(): void {
    const leaders = this.c.running.filter((node) => node.group.canPropose() === null);
    if (leaders.length === 0) return;
    const leader = this.prng.pick(leaders);
    const count = this.prng.between(1, 3);
    this.c.propose(leader.id, ...Array.from({ length: count }, () => `p${++this.proposals}`));
  }

  private read(node: TestNode): void {
    const context = this.nextRead++;
    this.readFloors.set(context, { node: node.id, floor: this.c.checker.lastCommitted });
    this.c.read(node.id, context);
  }

  private change(): void {
    const { prng, c } = this;
    const leader = c.leader;
    if (leader === null) return;
    const { membership } = leader.group;
    const members = membersOf(membership);
    const outside = allNodes.filter((id) => !members.some((member) => member === id));
    const some = (list: readonly string[]): string[] => list.filter(() => prng.chance(0.4));
    const remove = some(votersOf(membership));
    const addVoters = some([...outside, ...membership.learners]).filter((id) => !remove.includes(id));
    const addLearners = some(outside).filter((id) => !addVoters.includes(id));
    c.change(leader.id, { addVoters, addLearners, remove: remove.slice(0, 2) });
    this.changes++;
  }

  private transfer(): void {
    const leader = this.c.leader;
    if (leader === null) return;
    this.transfers++;
    this.c.transfer(leader.id, this.prng.pick(votersOf(leader.group.membership)));
  }

  private whenUp(node: TestNode, act: () => unknown): void {
    if (node.up) act();
  }

  /** What nodes reported since the last step. */
  private observe(): void {
    for (const node of this.c.nodes.values()) {
      const seen = this.counted.get(node) ?? { notices: 0, reads: 0 };
      for (const notice of node.notices.slice(seen.notices)) {
        if (notice.type === "role" && notice.role === "leader") this.elections++;
        if (notice.type === "truncated") this.truncations++;
      }
      for (const { context, index } of node.reads.slice(seen.reads)) this.checkRead(context, index);
      if (node.snapshotsInstalled > 0) {
        this.snapshots += node.snapshotsInstalled;
        node.snapshotsInstalled = 0;
      }
      this.counted.set(node, { notices: node.notices.length, reads: node.reads.length });
    }
    if (this.prng.chance(0.02)) {
      const [a, b] = [this.prng.pick(this.c.running.concat(this.c.node("a"))), this.prng.pick(this.c.running.concat(this.c.node("a")))];
      const mismatch = logMismatch(a.group, b.group);
      if (mismatch !== null) throw new Error(mismatch);
    }
  }

  private checkRead(context: number, index: number): void {
    const read = this.readFloors.get(context);
    if (read === undefined) return;
    this.readFloors.delete(context);
    if (index === 0) {
      this.readsRefused++;
      return;
    }
    this.readsAnswered++;
    if (index < read.floor) throw new Error(`stale read ${context} at ${read.node}: ${index} where ${logIndex(read.floor)} was committed`);
  }
}
