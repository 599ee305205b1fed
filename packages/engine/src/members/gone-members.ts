import { type NodeId, nodeId, type NodeView } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Telemetry } from "../ports/telemetry.ts";
import { Silence } from "../shards/silence.ts";
import { dropMemberMs, scalableGoneAfterMs } from "../base/limits.ts";
import type { MemberAnswer, MemberRequest } from "./member-requests.ts";

/**
 * A word among the roles that a node tells of itself: it comes and goes with a scaled service, under an id that nobody will use again. It never
 * votes in group 0, so that the quorum does not grow with what is scaled.
 */
export const scalableRole = "scalable";

export const isScalable = ({ roles }: NodeView): boolean => roles.split(",").includes(scalableRole);

export interface GoneOwner {
  registry(): readonly NodeView[];
  isActive(node: NodeId): boolean;
  changeMembers(request: MemberRequest, timeoutMs: number, done: (answer: MemberAnswer) => void): void;
}

/**
 * A scaled replica leaves when it is stopped; one that was killed cannot, and its id never comes back. The leader drops it after a long silence,
 * so that its places in shards are filled and nobody dials it for ever. Other members are dropped by an operator only: they come back.
 */
export class GoneMembers {
  private readonly owner: GoneOwner;
  private readonly telemetry: Telemetry;
  private readonly silence = new Silence();
  private readonly dropping = new Set<string>();

  constructor(owner: GoneOwner, telemetry: Telemetry) {
    this.owner = owner;
    this.telemetry = telemetry;
  }

  /** Looked at by the leader, with its term and clock. */
  look(term: number, now: number): void {
    const scalable = this.owner.registry().filter((node) => isScalable(node) || mutant("host-member-dropped-by-silence"));
    const names = scalable.map(({ node }) => node);
    this.silence.look(term, now, names, (node) => this.owner.isActive(nodeId(node)));
    for (const node of names) {
      const silentMs = this.silence.of(node);
      const gone = silentMs >= scalableGoneAfterMs || (silentMs > 0 && mutant("host-scalable-dropped-at-once"));
      if (gone && !this.dropping.has(node)) this.drop(node, silentMs);
    }
  }

  private drop(node: string, silentMs: number): void {
    this.dropping.add(node);
    const text = `${node} is a scaled replica and has been silent for ${Math.round(silentMs / 1_000)} s: it is dropped`;
    this.telemetry.log("warn", "node.dropped", text, { peer: node, silent_ms: Math.round(silentMs) });
    this.owner.changeMembers({ remove: [node] }, dropMemberMs, (answer) => {
      this.dropping.delete(node);
      if (!answer.ok) this.telemetry.log("warn", "node.drop-failed", `${node} could not be dropped yet: ${answer.reason}`, { peer: node });
    });
  }
}
