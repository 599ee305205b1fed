import { type NodeId, nodeId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { peerCallTimeoutMs } from "../base/limits.ts";
import type { NodeHost } from "../node/node-host.ts";

/** What a peer said or asked holds for so long at least. */
const heardOfLateMs = 15_000;

/** What a node that hears no leader asks the others. `forwarded` = already passed on once, so that nobody passes it in circles. */
interface Question {
  readonly node: string;
  readonly storage: string;
  readonly forwarded: boolean;
}
interface Verdict {
  readonly removed: boolean;
  readonly reason: string;
}

/**
 * How a node learns that it is no member any more (rule G4). Nobody sends it the log that says so: the leader stops replicating to it with the
 * very entry that removes it. So a node that hears no leader asks the others, and believes a leader that has confirmed its leadership after
 * the question and whose configuration without this node is committed. Its Raft then hears no ticks: nobody
 * would vote for it, so it stands for nothing. The verdict is no state: a later leader that replicates to this node again has taken it back.
 */
export class RemovalWatch {
  private readonly host: NodeHost;
  private aloneSince: number | null = null;
  private askedAt = Number.NEGATIVE_INFINITY;
  private asking = false;
  private asked = 0;
  /** Peers that hear a leader which this node does not, and when they said so. */
  private readonly hearing = new Map<NodeId, number>();
  /** Peers that hear none, and when they asked. */
  private readonly alone = new Map<NodeId, number>();

  constructor(host: NodeHost) {
    this.host = host;
  }

  /** Called every few ticks. */
  tick(now: number): void {
    const { host } = this;
    const { system, phase } = host;
    if (system === null || (phase !== "running" && phase !== "recovering" && phase !== "removed")) return;
    if (system.leader() !== null) {
      this.aloneSince = null;
      this.hearing.clear();
      if (phase === "removed") host.setPhase("running", `${host.config.node} is a member again`);
      return;
    }
    this.aloneSince ??= now;
    const { electionMaxMs } = host.config;
    // An election is over long before; a node without quorum has nobody who could say it.
    if (phase === "removed" || this.asking || now - this.aloneSince < 3 * electionMaxMs || now - this.askedAt < 2 * electionMaxMs) return;
    this.ask(now);
  }

  private ask(now: number): void {
    const { host } = this;
    const members = host.hub.connected().filter((node) => host.hub.helloOf(node)?.cluster === host.identity?.cluster);
    const peer = members[this.asked % Math.max(1, members.length)];
    if (peer === undefined || mutant("host-removed-node-unaware")) return;
    this.asked += 1;
    this.askedAt = now;
    this.asking = true;
    const question: Question = { node: host.config.node, storage: host.storage, forwarded: false };
    host.calls.call(peer, "is-member", question, (answer) => {
      this.asking = false;
      const verdict = answer as Verdict | null;
      if (verdict?.removed === true) this.removed(verdict.reason);
      // A leader that was confirmed has answered, there or by way of it.
      if (verdict?.removed === false) this.hearing.set(peer, host.ports.clock.now());
    });
  }

  /** Does the peer hear a leader of group 0, while this node hears none? */
  isHearing(peer: NodeId): boolean {
    return this.isOfLate(this.hearing.get(peer));
  }

  /** Did the peer say of late that it hears none? */
  isAlone(peer: NodeId): boolean {
    return this.isOfLate(this.alone.get(peer));
  }

  /** For two rounds of questions: each peer is asked in turn, and one that is linked but silent costs a whole call. */
  private isOfLate(at: number | undefined): boolean {
    const { config, hub, ports } = this.host;
    const roundMs = hub.connected().length * (2 * config.electionMaxMs + config.heartbeatMs) + peerCallTimeoutMs;
    return at !== undefined && ports.clock.now() - at <= Math.max(heardOfLateMs, 2 * roundMs);
  }

  /** A member has said, in a way to be believed, that this node or its disk does not belong to the cluster any more. */
  removed(reason: string): void {
    const { host } = this;
    if ((host.phase !== "running" && host.phase !== "recovering") || host.system === null || host.system.leader() !== null) return;
    host.setPhase(
      "removed",
      `${reason}; it serves nothing any more: stop it, or let it join again by starting it with an empty DATA_DIR (this one is ${host.storage})`,
    );
  }

  /** The question of another node, or one that another member passes on. */
  onAsked(body: unknown, answer: (verdict: Verdict | null) => void): void {
    const { host } = this;
    const question = body as Question;
    const { system } = host;
    const leader = system?.leader() ?? null;
    if (!question.forwarded) this.alone.set(nodeId(question.node), host.ports.clock.now());
    if (system !== null && system.isLeader) {
      system.reads.barrier(host.config.electionMaxMs, (confirmed) => answer(confirmed ? this.judge(question) : null));
      host.markDirty();
    } else if (leader === null || question.forwarded) answer(null);
    else host.calls.call(leader, "is-member", { ...question, forwarded: true }, (verdict) => answer(verdict as Verdict | null));
  }

  private judge({ node, storage }: Question): Verdict | null {
    const { system, machine } = this.host;
    if (system === null || machine === null) return null;
    const { membership, membershipIndex, commitIndex } = system.raft;
    const { voters, outgoing, learners, learnersNext } = membership;
    // Until the last step is committed the node may still be needed for the quorum.
    if (membershipIndex > commitIndex || outgoing.length > 0) return null;
    const id: NodeId = nodeId(node);
    if (![...voters, ...learners, ...learnersNext].includes(id)) {
      return { removed: true, reason: `${node} was removed from the cluster (${this.host.config.node} says so)` };
    }
    const registered = machine.nodes().find((known) => known.node === node)?.storage ?? "";
    if (registered !== "" && registered !== storage) {
      return { removed: true, reason: `${node} has been given another disk, ${registered} instead of ${storage}` };
    }
    return { removed: false, reason: "" };
  }
}
