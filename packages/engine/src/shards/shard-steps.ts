import { type GroupId, type NodeId, nodeId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { NodeHost } from "../node/node-host.ts";
import { Heirs } from "./heirs.ts";
import type { KnownMap } from "./known-map.ts";
import { caughtUpEntries, leaderMovesEveryMs, waitToldAfterMs } from "./limits.ts";
import type { PlacementWaits } from "./placement-waits.ts";
import type { ShardGroup } from "./shard-group.ts";
import { Silence } from "./silence.ts";

/** What the leader of a shard does to bring its group to where the map wants it, a change of membership at a time (rule G4). */
export class ShardSteps {
  private readonly host: NodeHost;
  private readonly self: NodeId;
  private readonly waits: PlacementWaits;
  private readonly known: KnownMap;
  private readonly silences = new Map<GroupId, Silence>();
  private readonly movedAt = new Map<GroupId, number>();
  private readonly heirs = new Heirs();
  /** When this node gave up the shard because it heard no leader of group 0. */
  private readonly givenUpAt = new Map<GroupId, number>();

  constructor(host: NodeHost, waits: PlacementWaits, known: KnownMap) {
    this.host = host;
    this.self = nodeId(host.config.node);
    this.waits = waits;
    this.known = known;
  }

  /** One step towards `wanted`, by the leader. */
  advance(replica: ShardGroup, wanted: readonly NodeId[]): void {
    const { raft } = replica.group;
    const { membership } = raft;
    this.silence(replica, wanted);
    if (this.known.aloneMs >= waitToldAfterMs) return this.cutOff(replica);
    if (wanted.includes(this.self)) this.heirs.forget(replica.group.id);
    const isChanging = membership.outgoing.length > 0 || raft.membershipIndex > raft.commitIndex || !raft.ownTermCommitted;
    if (isChanging && !mutant("shard-steps-while-changing")) return;
    const newcomer = this.newcomerOf(replica);
    if (newcomer !== undefined) return this.change(replica, { remove: newcomer });
    const missing = wanted.filter((node) => !membership.voters.includes(node));
    const mayVote = (node: NodeId): boolean => this.mayVote(replica, node) || mutant("shard-voter-before-caught-up");
    const filled = missing.find((node) => membership.learners.includes(node) && mayVote(node));
    if (filled !== undefined) return this.promote(replica, wanted, filled);
    // One is filled at a time; one that is not heard keeps nobody else waiting.
    const filling = missing.find((node) => membership.learners.includes(node) && this.isHeard(node));
    const fresh = missing.find((node) => !membership.learners.includes(node) && (this.isHeard(node) || mutant("shard-fills-the-silent")));
    if ((filling === undefined || mutant("shard-fills-many")) && fresh !== undefined) return this.change(replica, { learner: fresh });

    const excess = [...membership.voters, ...membership.learners].filter((node) => !wanted.includes(node));
    const others = this.unableFirst(replica, excess).filter((node) => node !== this.self || mutant("shard-leader-removes-itself"));
    if (missing.length === 0 || mutant("shard-removed-before-replaced")) {
      const [other] = others;
      if (other !== undefined) return this.remove(replica, other);
      return this.moveLeadership(replica, wanted, excess.length > 0);
    }
    // Replicas that should come and cannot are no reason to keep somebody who is to be emptied; for anybody else there is time (rule G4).
    const isLate = missing.some((node) => !this.isAbsent(replica, node)) && !mutant("shard-drained-for-the-late");
    const isDrained = excess.some((node) => this.isDraining(node) || mutant("shard-removed-for-the-absent"));
    if (isLate || !isDrained) return this.awaits(replica, missing);
    const leaving = others.filter((node) => this.isDraining(node) || mutant("shard-removed-for-the-absent"));
    const next = leaving.find((node) => isSpared(node, membership.voters, wanted));
    if (next !== undefined) return this.remove(replica, next);
    if (leaving.length > 0) return this.awaits(replica, missing);
    return this.moveLeadership(replica, wanted, true);
  }

  /**
   * A replica that has everything becomes a voter in the place of one that is to leave, both in one change (decision 0035): with a voter more than
   * before, the death of either would leave the group with fewer than it takes.
   */
  private promote(replica: ShardGroup, wanted: readonly NodeId[], filled: NodeId): void {
    const { voters } = replica.group.raft.membership;
    const excess = voters.filter((node) => !wanted.includes(node));
    const [out] = this.unableFirst(replica, excess).filter((node) => node !== this.self);
    if (out !== undefined && !mutant("shard-promoted-beside-the-leaving")) return this.exchange(replica, filled, out);
    // This leader is itself the one that leaves: the next puts the new one in its place. Where nobody takes over, better one voter too many.
    if (excess.includes(this.self) && !mutant("shard-promoted-beside-its-leader")) {
      if (this.isMoving(replica)) return;
      const { id } = replica.group;
      const isInVain = this.heirs.isInVain(id, replica.group.raft.term, this.host.ports.clock.now());
      if (!isInVain && this.handToHeir(replica, wanted)) return;
    }
    return this.exchange(replica, filled);
  }

  /**
   * It ends when a majority of the voters of before has it, and one of those afterwards: without either the leader is lost, and with it the shard.
   * Where the first is there, so is the second: `filled` is (`mayVote`), and of the others the one that leaves is one that is not, if there is one.
   */
  private exchange(replica: ShardGroup, filled: NodeId, out?: NodeId): void {
    const { voters } = replica.group.raft.membership;
    const unable = voters.filter((node) => !this.isThere(replica, node));
    if (unable.length * 2 < voters.length || mutant("shard-exchange-leaves-minority")) {
      return this.change(replica, out === undefined ? { voters: filled } : { voters: filled, remove: out });
    }
    const names = unable.join(", ");
    const why = `${filled} has everything and is to vote in it, but there would be no quorum: ${names} cannot be reached or has not caught up`;
    return this.wait(replica, why, `start ${names}, or give up what is gone for good: trivet member remove NODE`);
  }

  /** What was acknowledged stays so in the leader's books, also of who has no power since: it must be heard as well. */
  private mayVote(replica: ShardGroup, node: NodeId): boolean {
    return mutant("shard-promotion-leaves-minority") ? this.isCaughtUp(replica, node) : this.isThere(replica, node);
  }

  /** Who is missed least goes first. */
  private unableFirst(replica: ShardGroup, nodes: readonly NodeId[]): readonly NodeId[] {
    const isAble = (node: NodeId): boolean => this.isAble(replica, node);
    return mutant("shard-leaving-by-name") ? nodes : [...nodes.filter((node) => !isAble(node)), ...nodes.filter(isAble)];
  }

  /** Everything that a leader has counted and told ends with its leadership. */
  notLeading(replica: ShardGroup): void {
    this.silences.delete(replica.group.id);
    this.heirs.forget(replica.group.id);
    this.waits.goesOn(replica.id);
  }

  isHeard(node: NodeId): boolean {
    return node === this.self || this.host.peering.detector.isAlive(node);
  }

  private silence(replica: ShardGroup, wanted: readonly NodeId[]): void {
    const { id, raft } = replica.group;
    const silence = this.silences.get(id) ?? new Silence();
    this.silences.set(id, silence);
    silence.look(raft.term, this.host.ports.clock.now(), wanted, (node) => this.isHeard(nodeId(node)));
  }

  private isAbsent(replica: ShardGroup, node: NodeId): boolean {
    return (this.silences.get(replica.group.id)?.of(node) ?? 0) >= this.host.config.absentReplicaMs;
  }

  private isDraining(node: NodeId): boolean {
    return this.host.machine?.nodes().find((known) => known.node === node)?.draining === true;
  }

  private change(replica: ShardGroup, change: Parameters<ShardGroup["changeMembership"]>[0]): void {
    // Cut off from group 0's leader, the map here may be of before, and name a node that is gone by now.
    const isCut = (this.host.system?.leader() ?? null) === null;
    if (isCut && !mutant("shard-changed-by-an-old-map")) return this.waitForZero(replica);
    // Who hears it may still know the map of its last snapshot only, and remove whom a later one names.
    if (!isCut && !this.known.isOfNow() && !mutant("shard-changed-by-an-early-map")) {
      const why = `${this.self}, which leads it, has not applied yet what group 0 has decided`;
      return this.wait(replica, why, "it goes on by itself; if it does not, look at the log and the disk there", "info");
    }
    const refusal = replica.changeMembership(change);
    if (refusal === null) this.waits.goesOn(replica.id);
    else this.wait(replica, `the change of its members was refused: ${refusal}`, "it is tried again");
  }

  private waitForZero(replica: ShardGroup): void {
    const why = `${this.self}, which leads it, does not hear the leader of group 0: the map that it knows may be of before`;
    return this.wait(replica, why, "it goes on when group 0 has a leader that is heard there");
  }

  /**
   * Where others hear group 0's leader and only this node does not, say by one broken link, it would lead on by the map of before for ever. So it
   * gives the shard to one that hears it. Not again soon: that one may give it back.
   */
  private cutOff(replica: ShardGroup): void {
    this.waitForZero(replica);
    const { id, raft } = replica.group;
    const { deadNodeMovesAfterMs } = this.host.config;
    const now = this.host.ports.clock.now();
    const isSoon = now - (this.givenUpAt.get(id) ?? Number.NEGATIVE_INFINITY) < deadNodeMovesAfterMs;
    if (this.known.aloneMs < deadNodeMovesAfterMs || isSoon || this.isMoving(replica)) return;
    const { removal } = this.host.peering;
    const able = raft.membership.voters.filter((node) => removal.isHearing(node) && this.mayFollow(replica, node));
    const heir = this.heirs.untried(id, raft.term, able) ?? able[0];
    if (heir === undefined || mutant("shard-led-on-without-group-0")) return;
    this.givenUpAt.set(id, now);
    this.heirs.handedOver(id, raft.term, heir, now);
    this.handOver(replica, heir);
  }

  private remove(replica: ShardGroup, node: NodeId): void {
    const left = replica.group.raft.membership.voters.filter((voter) => voter !== node);
    const able = left.filter((voter) => this.isAble(replica, voter));
    if (able.length * 2 > left.length || mutant("shard-removal-leaves-minority")) return this.change(replica, { remove: node });
    const unable = left.filter((voter) => !able.includes(voter)).join(", ");
    const why = `${node} is to leave it, but without ${node} there would be no quorum: ${unable} cannot be reached or has not caught up`;
    return this.wait(replica, why, `start ${unable}, or give up what is gone for good: trivet member remove NODE`);
  }

  /** Rule G5: a voter with none of the shard's past is removed, as soon as the others can do without it; then it is one that is missing. */
  private newcomerOf(replica: ShardGroup): NodeId | undefined {
    const { raft } = replica.group;
    const { voters } = raft.membership;
    const newcomers = raft.progress().filter(({ newcomer, peer }) => newcomer && voters.includes(peer));
    const found = newcomers.find(({ peer }) => {
      const left = voters.filter((node) => node !== peer);
      return left.filter((node) => this.isAble(replica, node)).length * 2 > left.length;
    });
    return mutant("shard-newcomer-stays") ? undefined : found?.peer;
  }

  private awaits(replica: ShardGroup, missing: readonly NodeId[]): void {
    const silent = missing.filter((node) => !this.isHeard(node));
    const names = (silent.length > 0 ? silent : missing).join(", ");
    if (silent.length > 0) {
      const then = `after ${this.host.config.deadNodeMovesAfterMs / 1_000} s of silence others get the shard, if there are enough`;
      return this.wait(
        replica,
        `${names} is to hold it and cannot be reached`,
        `start ${names} (${then}), or remove it: trivet member remove NODE`,
      );
    }
    const next = `GET /v1/raft/status at the shard's leader shows how far; if it makes no progress, look at the log and the disk of ${names}, or remove it: trivet member remove NODE`;
    return this.wait(replica, `${names} has not caught up with it yet`, next, "info");
  }

  private wait(replica: ShardGroup, why: string, next: string, level: "info" | "warn" = "warn"): void {
    this.waits.waits({ shard: replica.id, why, next }, this.host.ports.clock.now(), level);
  }

  /** To the wanted leader, once it has everything; in any case away from a node that is to leave. */
  private moveLeadership(replica: ShardGroup, wanted: readonly NodeId[], mustGo: boolean): void {
    if (mustGo) {
      if (this.isMoving(replica) || this.handToHeir(replica, wanted)) return this.waits.goesOn(replica.id);
      const next = `start ${wanted.join(", ")}, or look at their logs`;
      return this.wait(replica, `${this.self} is to leave it, and no other replica is there and has everything`, next);
    }
    this.waits.goesOn(replica.id);
    // Where the map may be of before, it may be that of now which wanted this leader.
    if (!this.known.isOfNow() && !mutant("shard-leader-moved-by-an-old-map")) return;
    const [target] = wanted;
    if (target === undefined || this.isMoving(replica) || !this.mayFollow(replica, target)) return;
    // It would learn no map, and give the shard up again.
    if (this.host.peering.removal.isAlone(target) && !mutant("shard-led-back-to-the-cut-off")) return;
    // Not again and again to a node that cannot keep it.
    if (!this.hasMovedLately(replica) || mutant("shard-leader-moved-again-at-once")) this.handOver(replica, target);
  }

  /** From a leader that leaves, to one after another. False = nobody could take it; true also where that is tried again in a moment. */
  private handToHeir(replica: ShardGroup, wanted: readonly NodeId[]): boolean {
    // Heard, but not applied yet: by the map of now it may be the one that should lead.
    if ((this.host.system?.leader() ?? null) !== null && !this.known.isOfNow() && !mutant("shard-handed-over-by-an-early-map")) return true;
    const { id, raft } = replica.group;
    const heirs = wanted.filter((node) => this.mayFollow(replica, node));
    const heir = this.heirs.untried(id, raft.term, heirs) ?? (this.hasMovedLately(replica) ? undefined : heirs[0]);
    if (heir !== undefined) {
      this.heirs.handedOver(id, raft.term, heir, this.host.ports.clock.now());
      this.handOver(replica, heir);
    }
    return heirs.length > 0;
  }

  private isMoving(replica: ShardGroup): boolean {
    return replica.group.raft.transferring !== null || replica.isHandingOver;
  }

  private hasMovedLately({ group }: ShardGroup): boolean {
    return this.host.ports.clock.now() - (this.movedAt.get(group.id) ?? Number.NEGATIVE_INFINITY) < leaderMovesEveryMs;
  }

  private handOver(replica: ShardGroup, to: NodeId): void {
    this.movedAt.set(replica.group.id, this.host.ports.clock.now());
    replica.handOver(to);
  }

  /** Could it lead after this node: a voter that has everything, and is not about to stop? */
  private mayFollow(replica: ShardGroup, node: NodeId): boolean {
    const isThere = this.host.peering.mayLead(node) || mutant("shard-led-by-who-stops");
    const isVoter = replica.group.raft.membership.voters.includes(node);
    return node !== this.self && isVoter && isThere && (this.isCaughtUp(replica, node) || mutant("shard-led-by-who-lags"));
  }

  /** Heard of late, and it has everything: who leaves may not be missed by those that stay. */
  private isAble(replica: ShardGroup, node: NodeId): boolean {
    return this.wasHeard(replica, node, 2 * this.host.config.electionMaxMs);
  }

  /**
   * The same for who is to be needed from now on, and nothing is lost by a short wait: silent for no longer than a follower is that keeps its leader.
   * Those that fall silent after that are as if they had done so after the change.
   */
  private isThere(replica: ShardGroup, node: NodeId): boolean {
    return this.wasHeard(replica, node, this.host.config.electionMinMs);
  }

  private wasHeard(replica: ShardGroup, node: NodeId, withinMs: number): boolean {
    if (node === this.self) return true;
    const contactAt = replica.group.raft.progress().find(({ peer }) => peer === node)?.contactAt ?? 0;
    return contactAt >= this.host.ports.clock.now() - withinMs && this.isCaughtUp(replica, node);
  }

  private isCaughtUp(replica: ShardGroup, node: NodeId): boolean {
    const { raft } = replica.group;
    const progress = raft.progress().find(({ peer }) => peer === node);
    if (progress === undefined || progress.state !== "replicate" || progress.recovering) return false;
    return progress.match >= raft.membershipIndex && raft.commitIndex - progress.match <= caughtUpEntries;
  }
}

/** Are more than half as many copies left without it as are wanted, of which some do not come? */
function isSpared(node: NodeId, voters: readonly NodeId[], wanted: readonly NodeId[]): boolean {
  const stays = voters.filter((voter) => voter !== node);
  return stays.length * 2 > wanted.length || stays.length === voters.length || mutant("shard-emptied-to-one-copy");
}
