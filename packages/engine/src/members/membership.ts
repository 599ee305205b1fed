import { type MembershipChange, type NodeId, nodeId, type NodeView } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { type Command, levelBeforeLevels } from "@trivet/wire";
import type { Clock } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { ClusterIdentity } from "./bootstrap.ts";
import { GoneMembers } from "./gone-members.ts";
import type { GroupHost } from "../groups/group-host.ts";
import { maxSystemVoters } from "../base/limits.ts";
import type { JoinRequest, MemberAnswer, MemberRequest } from "./member-requests.ts";
import { type Announced, MovedMembers } from "./moved-members.ts";

export interface MembershipOwner {
  readonly self: NodeId;
  readonly autoReplace: boolean;
  identity(): ClusterIdentity | null;
  registry(): readonly NodeView[];
  /** Puts privileged commands of this leader into the log. */
  propose(commands: readonly Command[]): boolean;
  /** Disk of the process this leader is linked to under that id, null = none. */
  linkedStorage(node: NodeId): string | null;
  /** Of this node, or one it is linked to. */
  announced(node: NodeId): Announced | null;
  raiseLevel(): void;
  /** Why a node that knows no more than `level` is not taken in (null = it has told nobody); null = it may be. */
  levelProblem(node: string, level: number | null): string | null;
  /** What goes into the log beside the founders. */
  founding(founders: readonly string[]): readonly Command[];
  /** Milliseconds since `node` was heard, null = never or not connected. */
  silentMs(node: NodeId): number | null;
  activeWithinMs: number;
  /** Is there a map of the shards? */
  hasShards(): boolean;
  /** Does the map of the shards name the node? */
  placementNames(node: string): boolean;
  /** Is the node still in the Raft group of any shard? Null = it cannot be told now. */
  holdsShards(node: NodeId, done: (holds: boolean | null) => void): void;
  /** Why shards are not where they belong, and what to do; empty = they are, as far as is known. */
  shardProblem(): string;
}

interface Pending {
  readonly done: (answer: MemberAnswer) => void;
  readonly deadline: number;
  /** Null = keep waiting. */
  readonly check: () => MemberAnswer | null;
  /** What it waits for, for whom it takes too long. */
  readonly problem?: () => string;
}

/** Entries a learner may lack and still count as caught up. */
const caughtUpLag = 64;

/**
 * The leader's part of membership of group 0 (rules G2–G5): joins, promotion of caught-up learners, removal, replacement. It holds no plan: every
 * step compares the registry and the configuration with what is wanted and takes the next one, so it can stop and go on at any point.
 */
export class MembershipHost {
  private readonly group: GroupHost;
  private readonly owner: MembershipOwner;
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private readonly gone: GoneMembers;
  private readonly moved: MovedMembers;
  private pending: Pending[] = [];
  private lastRefusal = "";

  constructor(group: GroupHost, owner: MembershipOwner, clock: Clock, telemetry: Telemetry) {
    this.group = group;
    this.owner = owner;
    this.clock = clock;
    this.telemetry = telemetry;
    this.gone = new GoneMembers(
      {
        registry: () => owner.registry(),
        isActive: (node) => this.isActive(node),
        changeMembers: (request, timeoutMs, done) => this.changeMembers(request, timeoutMs, done),
      },
      telemetry,
    );
    this.moved = new MovedMembers(owner, (node) => this.isMember(node), telemetry);
  }

  refused(reason: string): void {
    this.lastRefusal = reason;
    this.telemetry.log("warn", "raft.membership.refused", `membership change refused: ${reason}`, { reason });
  }

  /** An empty node asks to become a member. The answer is `ok` once the log says so; until then it asks again. */
  join(request: JoinRequest): { readonly ok: boolean; readonly reason?: string; readonly shards?: number } {
    const identity = this.owner.identity();
    if (identity === null || !this.group.isLeader) return { ok: false, reason: "not the leader" };
    const tooOld = this.owner.levelProblem(request.node, request.level ?? levelBeforeLevels);
    if (tooOld !== null && !mutant("host-level-join-unasked")) return { ok: false, reason: tooOld };
    const known = this.owner.registry().find((node) => node.node === request.node);
    const isMember = this.isMember(nodeId(request.node));
    if (known === undefined) {
      // The founders come first: where somebody else stands they would never be written down, and shards never be placed.
      const isUnwritten = identity.founders.length > 0 && this.owner.registry().length === 0;
      if (isMember || isUnwritten) return { ok: false, reason: "the node registry is being written" };
      this.register(request);
      return { ok: false, reason: "being registered" };
    }
    if (known.storage !== request.storage && known.storage !== "") return this.joinWithOtherDisk(request, known, isMember);
    if (known.storage === "" || known.url !== request.url) {
      this.register({ ...request, voter: known.voter });
      return { ok: false, reason: "being registered" };
    }
    // Not before it is committed: a node that believes it and is then dropped with the entry would belong to nothing.
    const committed = this.group.raft.membershipIndex <= this.group.raft.commitIndex;
    if (isMember) return committed ? { ok: true, shards: identity.shards } : { ok: false, reason: "being added" };
    this.change({ addVoters: [], addLearners: [nodeId(request.node)], remove: [] });
    return { ok: false, reason: "being added as a learner" };
  }

  /** Rule G5: a known id with an empty disk has forgotten its votes; it comes back only as a learner, after removal. */
  private joinWithOtherDisk(request: JoinRequest, known: NodeView, isMember: boolean): { readonly ok: boolean; readonly reason?: string } {
    if (!this.owner.autoReplace && !known.replaceable) {
      return {
        ok: false,
        reason:
          `${request.node} is known with disk ${known.storage}, this one is ${request.storage}: its data was lost or another node has its id; ` +
          `if the data is gone for good, run: trivet member replace ${request.node}`,
      };
    }
    if (this.owner.linkedStorage(nodeId(request.node)) === known.storage) {
      return { ok: false, reason: `${request.node} is up with its known disk ${known.storage}: this node must have another id` };
    }
    if (isMember) {
      const reason = this.change({ addVoters: [], addLearners: [], remove: [nodeId(request.node)] });
      return { ok: false, reason: reason ?? "the old disk is being removed" };
    }
    this.register({ ...request, voter: known.voter });
    return { ok: false, reason: "being registered with its new disk" };
  }

  changeMembers(request: MemberRequest, timeoutMs: number, done: (answer: MemberAnswer) => void): void {
    this.changeAfter([], request, timeoutMs, done);
  }

  /** `emptied`: nodes that are known to be in no shard any more. */
  private changeAfter(emptied: readonly NodeId[], request: MemberRequest, timeoutMs: number, done: (answer: MemberAnswer) => void): void {
    if (request.replace !== undefined && request.replace.length > 0) {
      this.replace(request.replace, timeoutMs, done);
      return;
    }
    if (request.drain !== undefined) {
      this.drain(request.drain.nodes, request.drain.draining, timeoutMs, done);
      return;
    }
    const add = request.add ?? [];
    const remove = (request.remove ?? []).map((node) => nodeId(node));
    if (add.length === 0 && remove.length === 0) {
      done({ ok: true, membership: this.group.raft.membership });
      return;
    }
    const clash = add.find((node) => this.owner.registry().some((known) => known.url === node.url && known.node !== node.node));
    if (clash !== undefined) {
      done({ ok: false, reason: `another member already has the address ${clash.url}` });
      return;
    }
    const tooOld = add.map(({ node }) => this.owner.levelProblem(node, null)).find((problem) => problem !== null);
    if (tooOld !== undefined && !mutant("host-level-add-unasked")) return done({ ok: false, reason: tooOld });
    const unknown = remove.find((node) => !this.isMember(node) && !this.owner.registry().some((known) => known.node === node));
    if (unknown !== undefined) {
      done({ ok: false, reason: `${unknown} is not a member` });
      return;
    }
    const holding = remove.filter((node) => !emptied.includes(node) && this.mayHoldShards(node));
    if (holding.length > 0) {
      this.removeAfterDraining(holding, { ...request, add, remove }, timeoutMs, done);
      return;
    }
    for (const node of add) {
      const known = this.owner.registry().find((other) => other.node === node.node);
      this.register({ node: node.node, url: node.url, voter: node.voter, storage: known?.storage ?? "", roles: known?.roles ?? "" });
    }
    const learners = add.map((node) => nodeId(node.node)).filter((node) => !this.isMember(node));
    const leaving = remove.filter((node) => this.isMember(node));
    const reason = this.change({ addVoters: [], addLearners: learners, remove: leaving });
    if (reason !== null) {
      done({ ok: false, reason });
      return;
    }
    let forgetting = false;
    const check = (): MemberAnswer | null => {
      const { membership, membershipIndex, commitIndex, role } = this.group.raft;
      const leftItself = leaving.includes(this.owner.self) && !this.isMember(this.owner.self) && membershipIndex <= commitIndex;
      if (leftItself) return { ok: true, membership };
      if (role !== "leader") return { ok: false, reason: "this node lost leadership during the change; ask again" };
      if (membershipIndex > commitIndex || membership.outgoing.length > 0) return null;
      if (learners.some((node) => !this.isMember(node)) || leaving.some((node) => this.isMember(node))) return null;
      const known = remove.filter((node) => this.owner.registry().some((other) => other.node === node));
      if (known.length === 0) return { ok: true, membership };
      if (!forgetting) forgetting = this.owner.propose(known.map((node) => ({ type: "forget-node", node })));
      return null;
    };
    this.pending.push({ done, deadline: this.clock.now() + timeoutMs, check });
  }

  /** Also a node that the map does not name any more may still be in the groups of shards: that takes a while to be carried out. */
  private mayHoldShards(node: NodeId): boolean {
    if (mutant("host-removed-with-shards")) return false;
    if (mutant("host-removed-by-the-map")) return this.owner.placementNames(node);
    return this.owner.hasShards() && this.owner.registry().some((known) => known.node === node);
  }

  /** Rule G4: active → draining → removed, and removed only when no shard names it. */
  private removeAfterDraining(
    holding: readonly NodeId[],
    request: MemberRequest,
    timeoutMs: number,
    done: (answer: MemberAnswer) => void,
  ): void {
    const problem = this.refusalOf({ addVoters: [], addLearners: [], remove: (request.remove ?? []).map(nodeId) });
    if (problem !== null) {
      done({ ok: false, reason: problem });
      return;
    }
    const deadline = this.clock.now() + timeoutMs;
    this.drain(holding, true, timeoutMs, (answer) => {
      if (answer.ok) this.changeAfter(holding, request, Math.max(0, deadline - this.clock.now()), done);
      else done(answer);
    });
  }

  /** `ok` once the log says so and, when they are to be empty, they are. */
  private drain(nodes: readonly string[], draining: boolean, timeoutMs: number, done: (answer: MemberAnswer) => void): void {
    const unknown = nodes.find((node) => !this.owner.registry().some((known) => known.node === node));
    if (unknown !== undefined) {
      done({ ok: false, reason: `${unknown} is not a member` });
      return;
    }
    let proposed = false;
    let asking = false;
    const empty = new Set<string>();
    const check = (): MemberAnswer | null => {
      if (!this.group.isLeader) return { ok: false, reason: "this node lost leadership during the change; ask again" };
      const registry = this.owner.registry();
      const isMarked = nodes.every((node) => registry.find((known) => known.node === node)?.draining === draining);
      if (!isMarked) {
        if (!proposed) proposed = this.owner.propose(nodes.map((node) => ({ type: "drain-node", node, draining })));
        return null;
      }
      const left = draining ? nodes.find((node) => this.owner.placementNames(node) || !empty.has(node)) : undefined;
      if (left === undefined || (mutant("host-drained-by-the-map") && !this.owner.placementNames(left)))
        return { ok: true, membership: this.group.raft.membership };
      if (!asking && !this.owner.placementNames(left)) {
        asking = true;
        this.owner.holdsShards(nodeId(left), (holds) => {
          asking = false;
          if (holds === false) empty.add(left);
        });
      }
      return null;
    };
    this.pending.push({ done, deadline: this.clock.now() + timeoutMs, check, problem: () => this.owner.shardProblem() });
  }

  /**
   * An operator gives up the disks of these nodes (rule G5). The approval is in the registry, so whichever leader hears the new disk ask
   * takes it in; `ok` once the log says so.
   */
  private replace(nodes: readonly string[], timeoutMs: number, done: (answer: MemberAnswer) => void): void {
    const given: { readonly node: string; readonly storage: string }[] = [];
    for (const node of nodes) {
      const known = this.owner.registry().find((other) => other.node === node);
      if (known === undefined) {
        done({ ok: false, reason: `${node} is not a member` });
        return;
      }
      if (node === this.owner.self || (this.owner.linkedStorage(nodeId(node)) === known.storage && this.isActive(nodeId(node)))) {
        done({ ok: false, reason: `${node} is up with its disk ${known.storage}: stop it first` });
        return;
      }
      given.push({ node, storage: known.storage });
    }
    const isGivenUp = ({ node, storage }: { readonly node: string; readonly storage: string }): boolean => {
      const known = this.owner.registry().find((other) => other.node === node);
      return known === undefined || known.replaceable || known.storage !== storage;
    };
    let proposed = false;
    const check = (): MemberAnswer | null => {
      if (given.every(isGivenUp)) return { ok: true, membership: this.group.raft.membership };
      if (!this.group.isLeader) return { ok: false, reason: "this node lost leadership during the change; ask again" };
      if (!proposed) proposed = this.owner.propose(given.map(({ node, storage }) => ({ type: "replace-node", node, storage })));
      return null;
    };
    this.pending.push({ done, deadline: this.clock.now() + timeoutMs, check });
  }

  /** Called every few ticks and after applies: takes the next needed step and answers what is finished. */
  reconcile(): void {
    this.answerPending();
    this.owner.raiseLevel();
    if (!this.group.isLeader || this.group.raft.membershipIndex > this.group.raft.commitIndex) return;
    if (this.group.raft.membership.outgoing.length > 0) return;
    if (this.registerFounders()) return;
    this.moved.look(this.clock.now());
    this.promote();
    this.gone.look(this.group.raft.term, this.clock.now());
  }

  /** The first leader writes the founders into the registry. */
  private registerFounders(): boolean {
    const identity = this.owner.identity();
    if (identity === null || identity.founders.length === 0 || this.owner.registry().length > 0) return false;
    const level = this.owner.founding(identity.founders.map(({ node }) => node));
    return this.owner.propose([...identity.founders.map((founder) => ({ type: "set-node", voter: true, ...founder }) as const), ...level]);
  }

  /** Learner → caught up → voter, one at a time, while there are places (rule G3). */
  private promote(): void {
    const { membership } = this.group.raft;
    if (membership.voters.length >= maxSystemVoters && !mutant("host-voters-unbounded")) return;
    for (const learner of membership.learners) {
      const registered = this.owner.registry().find((node) => node.node === learner);
      if (registered === undefined || !registered.voter || registered.storage === "") continue;
      const progress = this.group.raft.progress().find((peer) => peer.peer === learner);
      if (progress === undefined || !this.isActive(learner)) continue;
      // It must at least have the entry that made it a learner: in a short log a node that holds nothing lags by little, too.
      const isBehind = progress.match < this.group.raft.membershipIndex || this.group.raft.commitIndex - progress.match > caughtUpLag;
      if (isBehind && !mutant("host-voter-before-caught-up")) continue;
      this.change({ addVoters: [learner], addLearners: [], remove: [] });
      return;
    }
  }

  /** Null = proposed. Refuses what would leave fewer live voters than a quorum needs. */
  private change(change: MembershipChange): string | null {
    if (change.addVoters.length + change.addLearners.length + change.remove.length === 0) return null;
    const problem = this.refusalOf(change);
    if (problem !== null) return problem;
    this.lastRefusal = "";
    this.group.raft.step({ type: "change-membership", change, expectedIndex: this.group.raft.membershipIndex });
    this.group.drain();
    if (this.lastRefusal !== "") return this.lastRefusal;
    return null;
  }

  private refusalOf(change: MembershipChange): string | null {
    const { membership } = this.group.raft;
    const after = new Set([...membership.voters.filter((node) => !change.remove.includes(node)), ...change.addVoters]);
    if (change.addVoters.length > 0 || change.remove.some((node) => membership.voters.includes(node))) {
      const active = [...after].filter((node) => this.isActive(node));
      const needed = Math.floor(after.size / 2) + 1;
      if (after.size === 0) return "the last voter cannot be removed";
      if (active.length < needed && !mutant("host-change-leaves-minority")) {
        return `the change would leave ${active.length} reachable of ${after.size} voters, and ${needed} are needed; unreachable: ${[...after].filter((node) => !active.includes(node)).join(", ")}`;
      }
    }
    return null;
  }

  private register(request: JoinRequest): void {
    this.owner.propose([
      { type: "set-node", node: request.node, storage: request.storage, url: request.url, roles: request.roles, voter: request.voter },
    ]);
  }

  private answerPending(): void {
    if (this.pending.length === 0) return;
    const now = this.clock.now();
    const open: Pending[] = [];
    for (const pending of this.pending) {
      const answer = pending.check();
      if (answer !== null) pending.done(answer);
      else if (pending.deadline <= now) {
        const problem = pending.problem?.() ?? "";
        const text = "not committed in time; the change may still happen: look at the members";
        pending.done({ ok: false, reason: problem === "" ? text : `${text}; ${problem}` });
      } else open.push(pending);
    }
    this.pending = open;
  }

  private isMember(node: NodeId): boolean {
    const { voters, outgoing, learners, learnersNext } = this.group.raft.membership;
    return voters.includes(node) || outgoing.includes(node) || learners.includes(node) || learnersNext.includes(node);
  }

  private isActive(node: NodeId): boolean {
    if (node === this.owner.self) return true;
    const silent = this.owner.silentMs(node);
    return silent !== null && silent <= this.owner.activeWithinMs;
  }
}
