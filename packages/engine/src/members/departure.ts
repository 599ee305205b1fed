import type { NodeId } from "@trivet/core";
import type { GroupHost } from "../groups/group-host.ts";
import { answerOpenMs, handOverMostMs, handOverRounds } from "../base/limits.ts";
import type { NodeHost } from "../node/node-host.ts";
import { successors } from "./successors.ts";

/**
 * What comes before the end in a graceful stop (W-76). The node says to the others that it goes, hands the leadership of all groups it leads to
 * voters that have everything, at the same time, and waits until the queue commands under way here are answered: out of its own apply, so it goes on
 * as a follower until then. All of it is bounded: where nobody can take over, the node goes anyway and the others elect.
 */
export class Departure {
  private readonly host: NodeHost;
  private readonly done: () => void;
  /** By group: to whom it was given in vain. */
  private readonly tried = new Map<GroupHost, NodeId[]>();
  private readonly handOverUntil: number;
  private answersUntil: number | null = null;
  private over = false;

  constructor(host: NodeHost, done: () => void) {
    this.host = host;
    this.done = done;
    const now = host.ports.clock.now();
    this.handOverUntil = now + Math.min(handOverRounds * host.config.electionMaxMs, handOverMostMs);
    // First of all: whoever leads a group next must not hand it back.
    for (const peer of host.hub.connected()) host.calls.call(peer, "leaving", null, () => undefined, host.config.electionMaxMs);
    host.queues.endWaits();
    this.tick(now);
  }

  tick(now: number): void {
    if (this.over) return;
    const open = this.groups().filter((group) => !this.isRelieved(group));
    if (open.length > 0 && now < this.handOverUntil) return;
    this.answersUntil ??= now + answerOpenMs;
    if ((this.host.shards?.openCommands ?? 0) + this.host.caching.openWrites > 0 && now < this.answersUntil) return;
    this.over = true;
    this.host.caching.leave();
    this.report();
    this.host.ports.clock.defer(this.done);
  }

  private groups(): readonly GroupHost[] {
    const { shards, system } = this.host;
    return [...(system === null ? [] : [system]), ...[...(shards?.all() ?? [])].map(({ group }) => group)];
  }

  /** Begins a transfer where none is under way. True = it is led by somebody else, or there is nobody (else) to give it to. */
  private isRelieved(group: GroupHost): boolean {
    const { raft } = group;
    // Until the successor is heard as leader: it may need this node's vote.
    const shard = this.host.shards?.replica(group.id) ?? null;
    if (raft.transferring !== null || shard?.isHandingOver === true) return false;
    if (!group.isLeader) return true;
    const tried = this.tried.get(group) ?? [];
    const able = successors(this.host, group).filter(({ peer }) => !tried.includes(peer));
    const next = able.find(({ isReady }) => isReady);
    if (next === undefined) return able.length === 0;
    this.tried.set(group, [...tried, next.peer]);
    if (shard === null) raft.step({ type: "transfer", to: next.peer });
    else shard.handOver(next.peer);
    group.drain();
    this.host.markDirty();
    return false;
  }

  private report(): void {
    const kept = this.groups().filter((group) => group.isLeader && group.raft.membership.voters.length > 1);
    if (kept.length === 0) return;
    const groups = kept.map(({ id }) => id);
    const text = `leadership of group ${groups.join(", ")} could not be handed over: no other voter is up, has everything and took it; those that are left elect when this node is gone`;
    this.host.ports.telemetry.log("warn", "node.not-relieved", text, { groups });
  }
}
