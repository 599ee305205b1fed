import { httpLimits, type raftRoutes } from "@trivet/contract";
import { failure, ok } from "../answer.ts";
import { unavailable, type Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { decimal } from "../outcomes.ts";
import { groupJson, inContact, leadership, membersOf, quorumOf } from "./raft-view.ts";

const rounded = (ms: number | null): number | null => (ms === null ? null : Math.round(ms));

/** The present leader, agreed upon or not; also S4's /raft/leader. */
export function leaderJson(context: HttpContext): Readonly<Record<string, unknown>> {
  const status = context.node.status();
  const { leader, term, agreed, role } = leadership(context, status);
  const { needed, reachable } = quorumOf(status);
  const url =
    leader === null
      ? null
      : leader === status.node
        ? context.config.advertiseUrl
        : (status.peers.find((peer) => peer.node === leader)?.address ?? null);
  // A follower in contact with a leader knows that a quorum follows it: the leader steps down otherwise (CheckQuorum).
  const quorum =
    role === "leader" ? inContact(context, status) && (agreed || reachable >= needed) : agreed || (needed > 0 && reachable >= needed);
  return { leader, term, agreed, quorum, node_id: status.node, url };
}

/** Bounds as S4 counts them: inclusive, 0 = the first entry there is, negative = from the end. */
export function logPage(
  context: HttpContext,
  query: { readonly start?: number; readonly end?: number },
): Readonly<Record<string, unknown>> {
  const group = context.node.status().groups[0];
  const first = group?.firstIndex ?? 0;
  const last = group?.lastIndex ?? 0;
  const place = (bound: number): number => (bound < 0 ? last + 1 + bound : bound);
  const start = Math.max(first, place(query.start ?? 0), 1);
  const end = Math.min(last, place(query.end ?? -1));
  // Without a start the newest page is what a person wants to see.
  const from = query.start === undefined ? Math.max(start, end - httpLimits.maxPageItems + 1) : start;
  const lines = from > end ? [] : context.node.log(from, Math.min(end, from + httpLimits.maxPageItems - 1));
  return {
    log: lines.map((line) => ({ index: decimal(line.index), term: line.term, type: line.type, command: line.command })),
    first_index: decimal(first),
    last_index: decimal(last),
    commit_index: decimal(group?.commitIndex ?? 0),
  };
}

export const raftHandlers: Some<Exclude<keyof typeof raftRoutes, "listMembers" | "addMember" | "removeMember" | "replaceMember">> = {
  raftStatus: async (_call, context) => {
    const status = context.node.status();
    const group = status.groups[0];
    const { role, leader, term } = leadership(context, status);
    return ok({
      node_id: status.node,
      cluster_id: status.cluster,
      phase: status.phase,
      phase_detail: status.phaseDetail,
      role,
      term,
      leader,
      commit_index: decimal(group?.commitIndex ?? 0),
      applied_index: decimal(group?.appliedIndex ?? 0),
      quorum_contact_ms_ago: rounded(status.quorumContactMsAgo),
      feature_level: status.features.cluster,
      knows_feature_level: status.features.own,
      quorum: quorumOf(status),
      members: await membersOf(context),
      peers: status.peers.map((peer) => ({
        node: peer.node,
        address: peer.address,
        connected: peer.connected,
        match_index: decimal(peer.matchIndex),
        lag: peer.lag,
        rtt_ms: peer.rttMs,
        last_error: peer.lastError,
        last_contact_ms_ago: rounded(peer.lastContactMsAgo),
      })),
      groups: status.groups.map(groupJson),
    });
  },

  raftLeader: (_call, context) => ok(leaderJson(context)),

  raftLog: ({ query }, context) => ok(logPage(context, query)),

  transferLeader: ({ body }, context) =>
    new Promise((resolve) => {
      context.node.transferLeadership(body?.to ?? null, context.config.http.requestTimeoutMs, (outcome) => {
        if (outcome.type === "transferred") resolve(ok({ transferred: true, leader: outcome.leader }));
        else if (outcome.type === "refused")
          resolve(failure("transfer_refused", { values: { reason: `${outcome.reason}.` }, members: { reason: outcome.reason } }));
        else resolve(unavailable(context, outcome));
      });
    }),

  takeSnapshot: (_call, context) =>
    new Promise((resolve) => {
      context.node.snapshot((outcome) => {
        resolve(outcome.type === "taken" ? ok({ taken: true, index: decimal(outcome.index) }) : unavailable(context, outcome));
      });
    }),
};
