import type { clusterRoutes } from "@trivet/contract";
import { ok } from "../answer.ts";
import type { Some } from "../calls.ts";
import { leadership, membersOf, quorumOf } from "./raft-view.ts";

export const clusterHandlers: Some<keyof typeof clusterRoutes> = {
  getCluster: async (_call, context) => {
    const status = context.node.status();
    const { leader, term } = leadership(context, status);
    const { needed, reachable, missing } = quorumOf(status);
    const members = await membersOf(context);
    const healthy = status.phase === "running" && leader !== null;
    const tolerance = Math.max(0, reachable - needed);
    const absent = missing.length === 0 ? "" : ` Missing: ${missing.join(", ")}.`;
    const verdict = healthy
      ? `${leader} leads term ${term}; ${reachable} of ${Math.max(reachable + missing.length, 1)} voters reachable, ${tolerance} more may fail.${absent}`
      : `No leader: ${status.phaseDetail === "" ? status.phase : status.phaseDetail}; have ${reachable} of ${needed} voters needed.${absent}`;
    return ok({
      cluster_id: status.cluster,
      node_id: status.node,
      version: context.version,
      roles: [...context.config.roles],
      phase: status.phase,
      leader,
      term,
      healthy,
      verdict,
      failure_tolerance: tolerance,
      members,
    });
  },
};
