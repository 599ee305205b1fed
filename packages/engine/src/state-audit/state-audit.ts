import { type NodeId, stateHashVersion } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Crypto } from "../ports/crypto.ts";
import type { FileStore, IoError } from "../ports/file.ts";
import type { GroupHost } from "../groups/group-host.ts";
import { stateAuditMs } from "../base/limits.ts";
import { field, type FetchPorts, offerChunk, offerSnapshot, type PeerCall, StateFetch } from "./state-audit-fetch.ts";
import { type Doubt, DoubtMarker } from "./state-audit-marker.ts";
import { compareStates, type Comparison, type Points } from "./state-audit-points.ts";
import { systemGroup } from "../groups/system-machine.ts";

export interface AuditPorts extends FetchPorts {
  readonly files: FileStore;
  readonly crypto: Crypto;
  /** Of a shard: a peer fetches its snapshot, which is kept meanwhile. Null = group 0, whose snapshots stay by themselves. */
  readonly served: (() => void) | null;
}

/** One exchange of hashes with all voters. */
interface Round {
  /** Ours: the kept points, and where we stood when each answer came. */
  readonly own: Map<number, string>;
  readonly peers: Map<NodeId, Points>;
  awaited: number;
}

/**
 * Rule W7. Every second each replica asks the voters for their state hashes and compares them with its own at equal indexes. One that
 * differs from what a quorum agrees on votes on, for its log is not in question, but it does not lead, answers nobody, applies nothing
 * and writes no snapshot until the leader's state has taken the place of its own. It may lead again once the hashes are equal.
 *
 * Group 0 compares also at rest, where it finds and names others that differ. A node has many shards, most of them idle: one that a quorum
 * agrees with is left alone until something is applied to it. Each replica judges itself, so none that differs is overlooked.
 */
export class StateAudit {
  private readonly group: GroupHost;
  private readonly call: PeerCall;
  private readonly ports: AuditPorts;
  private readonly fetch: StateFetch;
  private readonly marker: DoubtMarker;
  private nextAt: number;
  private round: Round | null = null;
  private doubt: Doubt | null = null;
  /** The doubtful machine is gone; what took its place has not been compared yet. */
  private replaced = false;
  /** Whose difference was reported, so that it is told and counted once. */
  private readonly reported = new Set<NodeId>();
  /** Who differed at the end of the last round without a majority to judge. */
  private suspects: readonly NodeId[] = [];
  /** Where a quorum agreed with all that was applied here; null = nowhere yet. */
  private agreedOn: { readonly index: number; readonly hash: string } | null = null;
  /** In texts: the state of which group. */
  private readonly what: string;

  constructor(group: GroupHost, call: PeerCall, ports: AuditPorts, found: Doubt | null, fatal: (error: IoError) => void) {
    this.group = group;
    this.call = call;
    this.ports = ports;
    this.fetch = new StateFetch(group, call, ports);
    this.what = group.id === systemGroup ? "state" : `state of shard ${group.id}`;
    this.marker = new DoubtMarker(group.id, ports.files, ports.crypto, found, fatal);
    this.nextAt = ports.clock.now() + stateAuditMs;
    if (found !== null && !mutant("host-w7-doubt-forgotten-by-restart")) this.enterDoubt(found);
  }

  /** What is wrong with this node's state and what is being done about it; null = nothing. */
  get problem(): string | null {
    if (this.doubt === null) return null;
    const { detail } = this.doubt;
    return this.replaced ? `${detail}: it was replaced and is being compared` : `${detail}: fetching the leader's state`;
  }

  tick(now: number): void {
    if (now < this.nextAt) return;
    this.nextAt = now + stateAuditMs;
    if (this.round !== null) this.conclude(this.round);
    if (this.doubt !== null && !this.replaced) this.fetch.advance();
    else if (!this.atRest) this.ask();
  }

  /** Nothing has changed here since a quorum agreed. */
  private get atRest(): boolean {
    const { agreedOn, group } = this;
    if (group.id !== systemGroup && mutant("shard-w7-never-compared")) return true;
    if (this.ports.served === null || this.doubt !== null || agreedOn === null) return false;
    return agreedOn.index === group.appliedIndex && agreedOn.hash === group.machine.stateHash();
  }

  /** The replica is given up: whatever of it was in doubt goes with it. */
  forget(): void {
    this.marker.set(null);
  }

  /** The machine was replaced by a snapshot, by this audit or by Raft. */
  machineReplaced(): void {
    this.round = null;
    this.fetch.abandon();
    this.replaced = true;
    if (this.doubt === null) return;
    const index = this.group.appliedIndex;
    this.ports.telemetry.log(
      "info",
      "state.replaced",
      `the ${this.what} that was in doubt was replaced by the leader's at index ${index}`,
      {
        group: this.group.id,
        index,
      },
    );
  }

  /** Raft receives a snapshot of its own. */
  raftReceives(): void {
    this.fetch.raftReceives();
  }

  /** True when the call is one of the audit's. */
  onCall(method: string, body: unknown, answer: (reply: unknown) => void): boolean {
    const { served, snapshots } = this.ports;
    if (method !== "state-hashes") served?.();
    if (method === "state-hashes") answer(field(body, "version") === stateHashVersion ? this.points() : null);
    else if (method === "state-snapshot") {
      // What is in doubt here must not spread.
      if (this.doubt !== null) answer(null);
      else offerSnapshot(this.group, snapshots, body, answer);
    } else if (method === "state-chunk") offerChunk(snapshots, body, answer);
    else return false;
    return true;
  }

  private points(): readonly (readonly [number, string])[] {
    const { group } = this;
    if (group.stateDoubted) return [];
    const points = [...group.machine.points.all()];
    const hash = group.machine.stateHash();
    return hash === null ? points : [...points, [group.appliedIndex, hash]];
  }

  private ask(): void {
    const { self, membership } = this.group.raft;
    const peers = [...new Set([...membership.voters, ...membership.outgoing])].filter((node) => node !== self);
    const round: Round = { own: new Map(this.points()), peers: new Map(), awaited: peers.length };
    if (peers.length === 0) {
      // The only voter left is its own majority.
      if (this.doubt !== null) this.conclude(round);
      return;
    }
    this.round = round;
    for (const peer of peers) {
      this.call(
        peer,
        "state-hashes",
        { group: this.group.id, version: stateHashVersion },
        (answer) => this.heard(round, peer, answer),
        stateAuditMs,
      );
    }
  }

  private heard(round: Round, peer: NodeId, answer: unknown): void {
    if (round !== this.round || !this.group.stepping) return;
    round.peers.set(peer, parsePoints(answer));
    // Replicas pass the same indexes at different moments: the more of ours, the more can be compared.
    for (const [index, hash] of this.points()) round.own.set(index, hash);
    round.awaited -= 1;
    if (round.awaited === 0) this.conclude(round);
  }

  private conclude(round: Round): void {
    this.round = null;
    const { self, membership } = this.group.raft;
    const found = compareStates(self, membership, round.own, round.peers);
    this.judgeOthers(found);
    if (found.own === "equal" && !found.undecided && found.index === this.group.appliedIndex) {
      this.agreedOn = { index: found.index, hash: round.own.get(found.index) ?? "" };
    }
    if (found.own === "differs") this.differs(found);
    else if (found.own === "equal" && !found.undecided && this.doubt !== null) this.equalAgain(found);
  }

  /** The alarm about others is for people: each node mends only itself. */
  private judgeOthers({ own, index, agreed, others, undecided }: Comparison): void {
    if (own === "differs") return;
    const suspects = undecided ? others : [];
    for (const node of others) {
      // Without a majority it may only be that the third answered for an older index: the next round tells.
      if (this.reported.has(node) || (undecided && !this.suspects.includes(node))) continue;
      this.reported.add(node);
      const text = undecided
        ? `the ${this.what} of ${node} differs from this node's at index ${index}, and no majority agrees on either: both go on, and one of them is ` +
          `wrong. Bring back the missing voters, so that a majority can tell; with all of them here, restore a backup`
        : `the ${this.what} of ${node} differs from that of ${agreed.join(" and ")} at index ${index}: ${node} steps back and fetches it anew`;
      this.report(text, [node], index);
    }
    this.suspects = suspects;
    if (own === "equal" && !undecided) for (const node of this.reported) if (!others.includes(node)) this.reported.delete(node);
  }

  private differs({ index, agreed }: Comparison): void {
    const detail = `this node's ${this.what} differs from that of ${agreed.join(" and ")} at index ${index}`;
    this.report(
      `${detail}: it votes, but does not lead and answers nobody until the leader's state has replaced it. Nothing needs to be done; when it ` +
        `happens again, look for faults of this machine's memory and report it`,
      [this.group.raft.self],
      index,
    );
    const doubt = { detail };
    this.marker.set(doubt);
    this.enterDoubt(doubt);
  }

  private enterDoubt(doubt: Doubt): void {
    const { group } = this;
    this.doubt = doubt;
    this.replaced = false;
    if (!mutant("host-w7-doubtful-leads")) group.raft.step({ type: "may-lead", allowed: false });
    group.doubtState();
    // What is in the machine's hands will be applied as well.
    this.fetch.begin(group.handedIndex);
  }

  private equalAgain({ index, agreed }: Comparison): void {
    this.doubt = null;
    this.marker.set(null);
    this.group.raft.step({ type: "may-lead", allowed: true });
    this.ports.telemetry.log(
      "info",
      "state.equal",
      `this node's ${this.what} equals that of the others again at index ${index}: it may lead`,
      {
        group: this.group.id,
        index,
        agreed,
      },
    );
  }

  private report(text: string, nodes: readonly NodeId[], index: number): void {
    this.ports.telemetry.count("trivet_raft_state_hash_mismatch_total", 1);
    this.ports.telemetry.log("error", "state.differs", text, { group: this.group.id, nodes, index });
  }
}

function parsePoints(answer: unknown): Points {
  const points = new Map<number, string>();
  if (!Array.isArray(answer)) return points;
  for (const pair of answer as readonly unknown[]) {
    const [index, hash] = Array.isArray(pair) ? (pair as readonly unknown[]) : [];
    if (typeof index === "number" && typeof hash === "string") points.set(index, hash);
  }
  return points;
}
