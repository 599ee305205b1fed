import type { NodeId } from "@trivet/core";
import type { GroupHost } from "./group-host.ts";
import { answerOpenMs, handOverRounds } from "./limits.ts";
import type { NodeHost } from "./node-host.ts";
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
    this.handOverUntil = now + handOverRounds * host.config.electionMaxMs;
    // First of all: whoever leads a group next must not hand it back.
    for (const peer of host.hub.connected()) host.calls.call(peer, "leaving", null, () => undefined, host.config.electionMaxMs);
    host.queues.endWaits();
    this.tick(now);
  }

  tick(now: number): void {
    if (this.over) return;
    const led = this.groups().filter((group) => group.isLeader && !this.isRelieved(group));
    if (led.length > 0 && now < this.handOverUntil) return;
    this.answersUntil ??= now + answerOpenMs;
    if ((this.host.shards?.openCommands ?? 0) > 0 && now < this.answersUntil) return;
    this.over = true;
    if (led.length > 0) this.report(led);
    this.host.ports.clock.defer(this.done);
  }

  private groups(): readonly GroupHost[] {
    const { shards, system } = this.host;
    return [...(system === null ? [] : [system]), ...[...(shards?.all() ?? [])].map(({ group }) => group)];
  }

  /** Begins a transfer where none is under way. True = there is nobody (else) to give the group to. */
  private isRelieved(group: GroupHost): boolean {
    const { raft } = group;
    if (raft.transferring !== null) return false;
    const tried = this.tried.get(group) ?? [];
    const able = successors(this.host, group).filter(({ peer }) => !tried.includes(peer));
    const next = able.find(({ isReady }) => isReady);
    if (next === undefined) return able.length === 0;
    this.tried.set(group, [...tried, next.peer]);
    raft.step({ type: "transfer", to: next.peer });
    group.drain();
    this.host.markDirty();
    return false;
  }

  private report(led: readonly GroupHost[]): void {
    const groups = led.map(({ id }) => id).join(", ");
    const text = `leadership of group ${groups} could not be handed over within ${handOverRounds * this.host.config.electionMaxMs} ms; the others elect when this node is gone`;
    this.host.ports.telemetry.log("warn", "node.not-relieved", text, { groups: led.map(({ id }) => id) });
  }
}
