import { type GroupId, groupId, type NodeId, nodeId, place, type PlacementView } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { NodeHost } from "../hosts/node-host.ts";
import { caughtUpEntries, deadNodeMovesAfterMs, leaderMovesEveryMs } from "./limits.ts";
import type { ShardGroup } from "./shard-group.ts";
import type { ShardHosts } from "./shard-hosts.ts";

/** Wanted replicas of each shard (rule G3); fewer while there are fewer nodes. */
const replication = 3;

/**
 * Where shards should be and how they come there (D4, rules G3 and G4). It holds no plan: the leader of group 0 compares the nodes there are with
 * the map, each shard's leader compares the map with its group, and either takes the next step, so it can stop and go on at any point.
 */
export class ShardPlacement {
  private readonly hosts: ShardHosts;
  private readonly host: NodeHost;
  /** Since when a node has not been heard, by this node. */
  private readonly silentSince = new Map<string, number>();
  private readonly movedAt = new Map<GroupId, number>();

  constructor(hosts: ShardHosts) {
    this.hosts = hosts;
    this.host = hosts.host;
  }

  get view(): PlacementView | null {
    return this.host.machine?.placement() ?? null;
  }

  wants(group: GroupId, node: NodeId): boolean {
    return this.view?.shards[group - 1]?.includes(node) === true;
  }

  foundersOf(group: GroupId): readonly { readonly node: string; readonly storage: string }[] {
    return this.view?.founders[group - 1] ?? [];
  }

  /** Shards that this node, with this disk, is a founder of. */
  foundedHere(): readonly GroupId[] {
    const { node } = this.host.config;
    const founders = this.view?.founders ?? [];
    return founders.flatMap((those, shard) =>
      those.some((founder) => founder.node === node && founder.storage === this.host.storage) ? [groupId(shard + 1)] : [],
    );
  }

  /** Group 0's leader: a map that suits the nodes there are. */
  propose(): void {
    const { machine, system } = this.host;
    if (machine === null || system === null || !system.isLeader || !system.caughtUp) return;
    const identity = this.host.identity;
    if (identity === null || machine.nodes().length < identity.founders.length) return;
    const current = machine.placement();
    const nodes = this.usable(current);
    if (nodes.length === 0) return;
    const before = current?.shards.map((replicas) => replicas.map(nodeId)) ?? null;
    const wanted = place(nodes, this.hosts.count, replication, before);
    if (before !== null && sameMap(before, wanted)) return;
    this.host.propose([{ type: "set-placement", epoch: current?.epoch ?? 0, replication, shards: wanted }]);
  }

  /** Nodes that hold shards by their roles, are members with a disk, are not draining, and have not been silent for long. */
  private usable(current: PlacementView | null): readonly NodeId[] {
    const { host } = this;
    const now = host.ports.clock.now();
    const registered = (host.machine?.nodes() ?? []).filter(
      ({ roles, storage }) => storage !== "" && roles.split(",").some((role) => role === "queue" || role === "cache"),
    );
    const { learners, outgoing, voters } = host.system?.raft.membership ?? { learners: [], outgoing: [], voters: [] };
    const isMember = (node: string): boolean => [...voters, ...outgoing, ...learners].includes(nodeId(node));
    const staying = registered.filter(({ draining }) => !draining);
    const alive = staying.filter(({ node }) => {
      // Known, but removed, or not yet in: nobody talks to it.
      if (!isMember(node) && !mutant("shard-placed-at-non-members")) return false;
      if (node === host.config.node || host.hub.isUp(nodeId(node))) {
        this.silentSince.delete(node);
        return true;
      }
      const since = this.silentSince.get(node) ?? now;
      this.silentSince.set(node, since);
      const isPlaced = current?.shards.some((replicas) => replicas.includes(node)) === true;
      // A node that comes back soon keeps what it has; one that was never here gets nothing yet.
      return isPlaced && now - since < deadNodeMovesAfterMs;
    });
    // Nobody could take what a dead node had: it keeps it, and the others go on without it.
    const few = staying.filter(({ node }) => !alive.some((other) => other.node === node)).slice(0, Math.max(0, replication - alive.length));
    const kept = current === null ? [] : few.filter(({ node }) => current.shards.some((replicas) => replicas.includes(node)));
    return [...alive, ...kept].map(({ node }) => nodeId(node)).sort();
  }

  /** One step of one shard towards the map, by its leader; a replica that is no longer wanted learns that it has been left out. */
  advance(replica: ShardGroup): void {
    const wanted = this.view?.shards[replica.id - 1]?.map(nodeId);
    if (wanted === undefined) return;
    if (!replica.group.isLeader) {
      if (!wanted.includes(this.hosts.self)) this.leave(replica);
      return;
    }
    const { raft } = replica.group;
    const { membership } = raft;
    if (membership.outgoing.length > 0 || raft.membershipIndex > raft.commitIndex || !raft.ownTermCommitted) return;
    const newcomer = this.newcomerOf(replica);
    if (newcomer !== undefined) {
      replica.changeMembership({ remove: newcomer });
      return;
    }
    const missing = wanted.filter((node) => !membership.voters.includes(node));
    const learner = missing.find((node) => membership.learners.includes(node));
    if (learner !== undefined && (this.isCaughtUp(replica, learner) || mutant("shard-voter-before-caught-up"))) {
      replica.changeMembership({ voters: learner });
      return;
    }
    const unknown = missing.find((node) => !membership.learners.includes(node) && this.host.hub.isUp(node));
    if (unknown !== undefined && learner === undefined) {
      replica.changeMembership({ learner: unknown });
      return;
    }
    if (missing.length > 0) return;
    const excess = [...membership.voters, ...membership.learners].filter((node) => !wanted.includes(node));
    const other = excess.find((node) => node !== this.hosts.self);
    if (other !== undefined) {
      const left = membership.voters.filter((node) => node !== other);
      const able = this.canCommit(replica, left) || mutant("shard-removal-leaves-minority");
      if (able) replica.changeMembership({ remove: other });
    } else this.moveLeadership(replica, wanted, excess.length > 0);
  }

  /** Rule G5: a voter with none of the shard's past is removed, as soon as the others can do without it; then it is one that is missing. */
  private newcomerOf(replica: ShardGroup): NodeId | undefined {
    const { raft } = replica.group;
    const { voters } = raft.membership;
    const newcomers = raft.progress().filter(({ newcomer, peer }) => newcomer && voters.includes(peer));
    const found = newcomers.find(({ peer }) => {
      const left = voters.filter((node) => node !== peer);
      return this.canCommit(replica, left);
    });
    return mutant("shard-newcomer-stays") ? undefined : found?.peer;
  }

  /** To the wanted leader, once it has everything; in any case away from a node that is to leave. */
  private moveLeadership(replica: ShardGroup, wanted: readonly NodeId[], mustGo: boolean): void {
    const { raft } = replica.group;
    const to = wanted.find((node) => node !== this.hosts.self && this.isCaughtUp(replica, node));
    const first = wanted[0];
    const target = mustGo ? to : first;
    if (target === undefined || target === this.hosts.self || raft.transferring !== null) return;
    if (!this.host.hub.isUp(target) || !this.isCaughtUp(replica, target)) return;
    const now = this.host.ports.clock.now();
    const id = replica.group.id;
    // Not again and again to a node that cannot keep it.
    if (now - (this.movedAt.get(id) ?? Number.NEGATIVE_INFINITY) < leaderMovesEveryMs) return;
    this.movedAt.set(id, now);
    raft.step({ type: "transfer", to: target });
    replica.markDirty();
  }

  /** A majority of `voters` has been heard of late and has everything: who leaves may not be missed by those that stay. */
  private canCommit(replica: ShardGroup, voters: readonly NodeId[]): boolean {
    const { config, ports } = this.host;
    const recently = ports.clock.now() - 2 * config.electionMaxMs;
    const heard = new Map(replica.group.raft.progress().map(({ contactAt, peer }) => [peer, contactAt]));
    const able = voters.filter(
      (node) => node === this.hosts.self || ((heard.get(node) ?? 0) >= recently && this.isCaughtUp(replica, node)),
    );
    return able.length * 2 > voters.length;
  }

  private isCaughtUp(replica: ShardGroup, node: NodeId): boolean {
    const { raft } = replica.group;
    const progress = raft.progress().find(({ peer }) => peer === node);
    if (progress === undefined || progress.state !== "replicate" || progress.recovering) return false;
    return progress.match >= raft.membershipIndex && raft.commitIndex - progress.match <= caughtUpEntries;
  }

  /** A replica that the map does not name asks the shard's leader whether the group still counts it. */
  private leave(replica: ShardGroup): void {
    const leader = this.hosts.entry(replica.group.id)?.leaderElsewhere() ?? null;
    if (leader === null || leader === this.hosts.self) return;
    this.host.calls.call(leader, "shard-has", { group: replica.id, node: this.hosts.self }, (answer) => {
      if (answer === false && this.hosts.replica(replica.group.id) === replica && !this.wants(replica.group.id, this.hosts.self)) {
        this.hosts.give(replica);
      }
    });
  }

  /** Is the node in the group of any shard? Asks every leader; null = one could not tell. */
  holds(node: NodeId, done: (holds: boolean | null) => void): void {
    const { host, hosts } = this;
    let open = hosts.count;
    let found: boolean | null = false;
    const heard = (has: boolean | null): void => {
      if (has === true) found = true;
      else if (has === null && found === false) found = null;
      open -= 1;
      if (open === 0) done(found);
    };
    for (let shard = 1; shard <= hosts.count; shard++) {
      const group = groupId(shard);
      const leader = hosts.entry(group)?.leaderElsewhere() ?? null;
      if (leader === hosts.self) this.hasMember(group, node, heard);
      else if (leader === null) host.ports.clock.defer(() => heard(null));
      else host.calls.call(leader, "shard-has", { group: shard, node }, (has) => heard(typeof has === "boolean" ? has : null));
    }
  }

  /**
   * Answers `leave` and `holds`, for data and votes hang on it: by a leader that was confirmed after the question, for one that was deposed does
   * not know whom its successor has added. Null = this node cannot tell.
   */
  hasMember(group: GroupId, node: NodeId, done: (has: boolean | null) => void): void {
    const { host, hosts } = this;
    const replica = hosts.replica(group);
    const tell = (confirmed: boolean): void => done(confirmed ? this.memberNow(group, node) : null);
    if (replica === null || !replica.group.isLeader) host.ports.clock.defer(() => done(null));
    else if (mutant("shard-member-unconfirmed")) host.ports.clock.defer(() => tell(true));
    else {
      replica.group.reads.barrier(host.config.electionMaxMs, tell);
      replica.markDirty();
    }
  }

  private memberNow(group: GroupId, node: NodeId): boolean | null {
    const replica = this.hosts.replica(group);
    if (replica === null || !replica.group.isLeader) return null;
    const { membership, membershipIndex, commitIndex, ownTermCommitted } = replica.group.raft;
    if (membershipIndex > commitIndex || !ownTermCommitted) return null;
    return [...membership.voters, ...membership.outgoing, ...membership.learners, ...membership.learnersNext].includes(node);
  }
}

function sameMap(a: readonly (readonly NodeId[])[], b: readonly (readonly NodeId[])[]): boolean {
  return a.every((replicas, shard) => replicas.length === b[shard]?.length && replicas.every((node, at) => node === b[shard]?.[at]));
}
