import type { NodeId } from "@trivet/core";
import { caughtUpEntries } from "../shards/limits.ts";
import type { GroupHost } from "../groups/group-host.ts";
import type { NodeHost } from "../node/node-host.ts";

export interface Successor {
  readonly peer: NodeId;
  /** It has everything, or as good as: a transfer ends within a round trip or two. */
  readonly isReady: boolean;
}

/** Voters that could lead a group that this node leads, the best first: who has everything, then as the map of the shards prefers, then by what they have. */
export function successors(host: NodeHost, group: GroupHost): readonly Successor[] {
  const { raft } = group;
  const heardSince = host.ports.clock.now() - host.config.electionMaxMs;
  const preferred = host.machine?.placement()?.shards[group.id - 1] ?? [];
  const rank = (peer: NodeId): number => (preferred.includes(peer) ? preferred.indexOf(peer) : preferred.length);
  return raft
    .progress()
    .filter(({ contactAt, learner, peer, recovering }) => !learner && !recovering && contactAt >= heardSince && host.peering.mayLead(peer))
    .map(({ match, peer, state }) => ({ peer, match, isReady: state === "replicate" && raft.lastIndex - match <= caughtUpEntries }))
    .sort((a, b) => Number(b.isReady) - Number(a.isReady) || rank(a.peer) - rank(b.peer) || b.match - a.match);
}
