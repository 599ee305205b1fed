import { type GroupId, groupId, type NodeId, nodeId, place, type PlacementView } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { NodeHost } from "../node/node-host.ts";
import { KnownMap } from "./known-map.ts";
import { waitsToldEveryMs } from "./limits.ts";
import { PlacementWaits } from "./placement-waits.ts";
import type { ShardGroup } from "./shard-group.ts";
import type { ShardHosts } from "./shard-hosts.ts";
import { ShardSteps } from "./shard-steps.ts";
import { Silence } from "./silence.ts";

/** Wanted replicas of each shard (rule G3); fewer while there are fewer nodes. */
export const replication = 3;

/** Is the node in the group of this shard? `epoch` is of the map that the question comes from. */
export interface ShardHas {
  readonly group: number;
  readonly node: string;
  readonly epoch?: number;
}

/**
 * Where shards should be and how they come there (D4, rules G3 and G4). It holds no plan: the leader of group 0 compares the nodes there are with
 * the map, each shard's leader compares the map with its group, and either takes the next step, so it can stop and go on at any point.
 */
export class ShardPlacement {
  private readonly hosts: ShardHosts;
  private readonly host: NodeHost;
  private readonly silence = new Silence();
  private readonly known: KnownMap;
  private founded: { readonly view: PlacementView | null; readonly groups: readonly GroupId[] } = { view: null, groups: [] };
  readonly waits: PlacementWaits;
  readonly steps: ShardSteps;

  constructor(hosts: ShardHosts) {
    this.hosts = hosts;
    this.host = hosts.host;
    const { calls, hub, ports } = this.host;
    this.waits = new PlacementWaits(ports.telemetry, (waits) => {
      for (const peer of hub.connected()) calls.call(peer, "shard-waits", waits, () => undefined, waitsToldEveryMs);
    });
    this.known = new KnownMap(this.host);
    this.steps = new ShardSteps(this.host, this.waits, this.known);
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
    const { view } = this;
    // Asked four times a second; a view is replaced, never changed.
    if (view !== this.founded.view) this.founded = { view, groups: this.foundedIn(view) };
    return this.founded.groups;
  }

  private foundedIn(view: PlacementView | null): readonly GroupId[] {
    const { node } = this.host.config;
    return (view?.founders ?? []).flatMap((those, shard) =>
      those.some((founder) => founder.node === node && founder.storage === this.host.storage) ? [groupId(shard + 1)] : [],
    );
  }

  /** Group 0's leader: a map that suits the nodes there are. */
  propose(): void {
    const { machine, system } = this.host;
    // What it does not know yet is behind the map in the log, or the map is refused (its epoch).
    if (machine === null || system === null || !system.isLeader) return;
    const current = machine.placement();
    const founders = this.host.identity?.founders.length ?? 0;
    if (machine.nodes().length < founders && mutant("shard-map-waits-for-founders")) return;
    const nodes = this.usable(current);
    // Everybody is to be emptied: nobody is left to take anything.
    if (nodes.length === 0 && !mutant("shard-placed-at-nobody")) return;
    const before = current?.shards.map((replicas) => replicas.map(nodeId)) ?? null;
    const wanted = place(nodes, this.hosts.count, replication, mutant("shard-map-from-scratch") ? null : before);
    if (before !== null && sameMap(before, wanted) && !mutant("shard-map-written-again")) return;
    this.host.propose([{ type: "set-placement", epoch: current?.epoch ?? 0, replication, shards: wanted }]);
  }

  /** Nodes that hold shards by their roles, are members with a disk, are not draining, and have not been silent for long. */
  private usable(current: PlacementView | null): readonly NodeId[] {
    const { host, silence } = this;
    const registered = (host.machine?.nodes() ?? []).filter(
      ({ roles, storage }) => storage !== "" && (holdsShards(roles) || mutant("shard-placed-by-any-role")),
    );
    const { learners, outgoing, voters } = host.system?.raft.membership ?? { learners: [], outgoing: [], voters: [] };
    const isMember = (node: string): boolean => [...voters, ...outgoing, ...learners].includes(nodeId(node));
    const staying = registered.filter(({ draining }) => !draining || mutant("shard-placed-at-the-draining"));
    const isHeard = (node: string): boolean => this.steps.isHeard(nodeId(node));
    const isPlaced = (node: string): boolean => current?.shards.some((replicas) => replicas.includes(node)) === true;
    const names = staying.map(({ node }) => node);
    silence.look(host.system?.term() ?? 0, host.ports.clock.now(), names, isHeard);
    const alive = staying.filter(({ node }) => {
      // Known, but removed, or not yet in: nobody talks to it.
      if (!isMember(node) && !mutant("shard-placed-at-non-members")) return false;
      if (isHeard(node)) return true;
      // A node that comes back soon keeps what it has; one that was never here gets nothing yet.
      if (mutant("shard-moves-at-once")) return false;
      return (isPlaced(node) || mutant("shard-placed-at-the-unheard")) && silence.of(node) < host.config.deadNodeMovesAfterMs;
    });
    // Nobody could take what a dead node had: it keeps it, and the others go on without it.
    const dead = staying.filter(({ node }) => isPlaced(node) && !alive.some((other) => other.node === node));
    const kept = mutant("shard-dead-lose-their-place") ? [] : dead.slice(0, Math.max(0, replication - alive.length));
    return [...alive, ...kept].map(({ node }) => nodeId(node)).sort();
  }

  /** One step of every shard towards the map, by its leader; a replica that is no longer wanted learns that it has been left out. */
  advance(replicas: Iterable<ShardGroup>): void {
    this.known.look();
    for (const replica of replicas) {
      const wanted = this.view?.shards[replica.id - 1]?.map(nodeId);
      if (!replica.group.isLeader) this.steps.notLeading(replica);
      if (wanted === undefined) continue;
      if (replica.group.isLeader) this.steps.advance(replica, wanted);
      else if (!wanted.includes(this.hosts.self)) this.leave(replica);
    }
    this.waits.report(this.host.ports.clock.now());
  }

  /** A replica that the map does not name asks the shard's leader whether the group still counts it. */
  private leave(replica: ShardGroup): void {
    const leader = this.hosts.entry(replica.group.id)?.leaderElsewhere() ?? null;
    if (leader === null || leader === this.hosts.self) return;
    // Soon after a restart: the map that does not name it may be of before it was given the shard.
    if (!this.known.isOfNow() && !mutant("shard-left-by-an-early-map")) return;
    const { raft } = replica.group;
    const [lastIndex, lastTerm] = [raft.lastIndex, raft.lastTerm];
    // What has come in since is from a leader that counts this replica again: the answer is of before, and the map here may be as well.
    const isSame = (): boolean =>
      (this.hosts.replica(replica.group.id) === replica || mutant("shard-given-another")) &&
      ((raft.lastIndex === lastIndex && raft.lastTerm === lastTerm) || mutant("shard-given-by-a-late-answer"));
    const isWanted = (): boolean => this.wants(replica.group.id, this.hosts.self) && !mutant("shard-given-although-wanted");
    const heard = (answer: unknown): void => {
      if (answer !== false || !isSame() || isWanted()) return;
      const text = `shard ${replica.id} has moved away from this node: its state here is deleted`;
      this.host.ports.telemetry.log("info", "shard.given", text, { group: replica.id });
      this.hosts.give(replica);
    };
    if (mutant("shard-given-by-the-map")) heard(false);
    else this.host.calls.call(leader, "shard-has", this.question(replica.id, this.hosts.self), heard);
  }

  private question(group: number, node: NodeId): ShardHas {
    return { group, node, epoch: this.view?.epoch ?? 0 };
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
      const question = this.question(shard, node);
      if (leader === hosts.self) this.hasMember(question, heard);
      else if (leader === null) host.ports.clock.defer(() => heard(null));
      else host.calls.call(leader, "shard-has", question, (has) => heard(typeof has === "boolean" ? has : null));
    }
  }

  /**
   * Answers `leave` and `holds`, for data and votes hang on it: by a leader that was confirmed after the question, for one that was deposed does
   * not know whom its successor has added, and that knows as late a map, for by an earlier one it may be about to add the node. Both may know
   * the same early map after a restart of all. Null = this node cannot tell.
   */
  hasMember({ epoch, group: shard, node }: ShardHas, done: (has: boolean | null) => void): void {
    const { host, hosts } = this;
    const group = groupId(shard);
    const replica = hosts.replica(group);
    // Asked by a version that does not say: as it was before.
    const isBehind = (): boolean => (this.view?.epoch ?? 0) < (epoch ?? 0) && !mutant("shard-member-by-an-earlier-map");
    const isEarly = (): boolean => !this.known.isOfNow() && !mutant("shard-member-by-an-early-map");
    const tell = (confirmed: boolean): void => done(confirmed && !isBehind() && !isEarly() ? this.memberNow(group, nodeId(node)) : null);
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
    const isCommitted = membershipIndex <= commitIndex && ownTermCommitted;
    if (!isCommitted && !mutant("shard-member-uncommitted")) return null;
    return [...membership.voters, ...membership.outgoing, ...membership.learners, ...membership.learnersNext].includes(node);
  }
}

function holdsShards(roles: string): boolean {
  return roles.split(",").some((role) => role === "queue" || role === "cache");
}

function sameMap(a: readonly (readonly NodeId[])[], b: readonly (readonly NodeId[])[]): boolean {
  return a.every((replicas, shard) => replicas.length === b[shard]?.length && replicas.every((node, at) => node === b[shard]?.[at]));
}
