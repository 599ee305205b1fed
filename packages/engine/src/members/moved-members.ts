import { type NodeId, nodeId, type NodeView } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Command } from "@trivet/wire";
import type { Telemetry } from "../ports/telemetry.ts";

/** How a node that is up says it is reached, and with which disk. */
export interface Announced {
  readonly storage: string;
  readonly url: string;
}
export interface MovedMembersOwner {
  registry(): readonly NodeView[];
  /** Null = it is not up, or of no cluster yet. */
  announced(node: NodeId): Announced | null;
  propose(commands: readonly Command[]): boolean;
}

/** Long enough for a proposal: one that is under way is not made again. */
const lookMs = 1_000;

/** A member that was started with another address: the leader writes it into the registry, which people and programs are told of. */
export class MovedMembers {
  private readonly owner: MovedMembersOwner;
  private readonly isMember: (node: NodeId) => boolean;
  private readonly telemetry: Telemetry;
  private lastAt = Number.NEGATIVE_INFINITY;

  constructor(owner: MovedMembersOwner, isMember: (node: NodeId) => boolean, telemetry: Telemetry) {
    this.owner = owner;
    this.isMember = isMember;
    this.telemetry = telemetry;
  }

  look(now: number): void {
    if (now - this.lastAt < lookMs || mutant("host-member-not-followed")) return;
    this.lastAt = now;
    const moved = this.moved();
    if (moved.length === 0 || !this.owner.propose(moved.map(({ command }) => command))) return;
    for (const { command, from } of moved) {
      const { node, url } = command;
      this.telemetry.log("info", "node.moved", `${node} is at ${url} now, no longer at ${from}`, { node, url, from });
    }
  }

  private moved(): readonly { readonly command: Extract<Command, { type: "set-node" }>; readonly from: string }[] {
    return this.owner.registry().flatMap(({ node, roles, storage, url: from, voter }) => {
      const announced = this.owner.announced(nodeId(node));
      // Another disk joins by rule G5, with its address; who is no member yet, too.
      if (announced === null || announced.storage !== storage || !this.isMember(nodeId(node))) return [];
      const { url } = announced;
      if (url === "" || url === from || this.isOfAnother(node, url)) return [];
      // Without a disk: what is known of it by the time this is applied stays.
      return [{ command: { type: "set-node", node, storage: "", url, roles, voter }, from }];
    });
  }

  /** Two that say the same are both wrong, or one is: people have to decide. What another one had before it moved is free. */
  private isOfAnother(node: string, url: string): boolean {
    return this.owner.registry().some((other) => {
      if (other.node === node) return false;
      return (this.owner.announced(nodeId(other.node))?.url ?? other.url) === url;
    });
  }
}
