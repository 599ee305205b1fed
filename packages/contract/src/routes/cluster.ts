import { Type } from "typebox";
import * as a from "../schemas/aliases.ts";
import * as s from "../schemas/cluster.ts";
import { Consistency } from "../schemas/common.ts";
import { readErrors, route } from "./definition.ts";

export const raftRoutes = {
  raftStatus: route({
    method: "GET",
    path: "/v1/raft/status",
    tag: "raft",
    summary: "Consensus as this node sees it",
    description: "Never forwarded: the answer is the asked node's own view, group 0 at top level.",
    responses: { 200: s.RaftStatus },
    errors: [],
  }),
  raftLeader: route({
    method: "GET",
    path: "/v1/raft/leader",
    tag: "raft",
    summary: "The leader as this node sees it",
    responses: { 200: s.LeaderState },
    errors: [],
  }),
  raftLog: route({
    method: "GET",
    path: "/v1/raft/log",
    tag: "raft",
    summary: "Entries of group 0's log on this node",
    administers: "recorded",
    description: "At most 1000 entries in one answer; bounds are inclusive, negative ones count from the end.",
    query: a.S4LogQuery,
    responses: { 200: s.LogPage },
    errors: [],
  }),
  listMembers: route({
    method: "GET",
    path: "/v1/raft/members",
    tag: "raft",
    summary: "Members of the cluster",
    responses: { 200: s.MemberList },
    errors: [],
  }),
  addMember: route({
    method: "POST",
    path: "/v1/raft/members",
    tag: "raft",
    summary: "Add a node, first as learner",
    administers: "anchored",
    description: "The node becomes a voter once it is caught up (unless `voter` is false). Refused when the quorum would be at risk.",
    body: s.AddMemberBody,
    responses: { 200: s.MemberList },
    errors: ["membership_refused", "payload_too_large", ...readErrors],
    fields: [
      { from: "node_id", to: "node" },
      { from: "id", to: "node" },
    ],
  }),
  removeMember: route({
    method: "DELETE",
    path: "/v1/raft/members/:node",
    tag: "raft",
    summary: "Remove a node",
    administers: "anchored",
    params: Type.Object({ node: Type.String({ minLength: 1, maxLength: 64 }) }),
    responses: { 200: s.MemberList },
    errors: ["membership_refused", "member_not_found", ...readErrors],
  }),
  replaceMember: route({
    method: "POST",
    path: "/v1/raft/members/:node/replace",
    tag: "raft",
    summary: "Give up the lost disk of a node",
    administers: "anchored",
    description:
      "For a node whose data is gone for good: when it asks to join with an empty disk under its id, whichever leader there is takes it in as a " +
      "learner in place of the old one. The approval is kept in the log until then. Refused while the node is up with its disk.",
    params: Type.Object({ node: Type.String({ minLength: 1, maxLength: 64 }) }),
    responses: { 200: s.MemberList },
    errors: ["membership_refused", "payload_too_large", ...readErrors],
  }),
  transferLeader: route({
    method: "POST",
    path: "/v1/raft/transfer-leader",
    tag: "raft",
    summary: "Hand leadership to another voter",
    administers: "anchored",
    body: s.TransferBody,
    bodyOptional: true,
    responses: { 200: s.Transferred },
    errors: ["transfer_refused", "payload_too_large", ...readErrors],
    fields: [{ from: "node", to: "to" }],
  }),
  takeSnapshot: route({
    method: "POST",
    path: "/v1/raft/snapshot",
    tag: "raft",
    summary: "Write a snapshot of this node's state now",
    administers: "recorded",
    responses: { 200: s.SnapshotTaken },
    errors: ["storage_unavailable", ...readErrors],
  }),
} as const;

export const backupRoutes = {
  backupGroup: route({
    method: "GET",
    path: "/v1/backup/groups/:group",
    tag: "cluster",
    summary: "The state of one group, for a backup",
    administers: "anchored",
    description:
      "Group 0 or a shard that the asked node has a replica of, with everything acknowledged before this call. `trivet snapshot save` asks for all groups, " +
      "shards first, and makes one file of them; docs/operations.md has the format. An answer that was cut off lacks its last record.",
    params: Type.Object({ group: Type.String({ pattern: "^(0|[1-9][0-9]{0,2})$" }) }),
    responses: { 200: Type.String() },
    contentType: "application/octet-stream",
    errors: ["not_found", "no_quorum", "stopping", "node_removed"],
  }),
} as const;

export const auditRoutes = {
  auditAnchors: route({
    method: "GET",
    path: "/v1/audit/anchors",
    tag: "cluster",
    summary: "Anchors of the nodes' audit logs",
    administers: "recorded",
    description:
      "What group 0's state has of the heads of audit logs (AUDIT_LOG): each was on that node's disk when it came here. `trivet audit verify` compares a log with them. " +
      "Older ones are kept the more sparsely the older they are; those of a node that was removed stay.",
    query: Type.Object(
      {
        node: Type.Optional(Type.String({ minLength: 1, maxLength: 64, description: "Of this node only." })),
        consistency: Type.Optional(Consistency),
      },
      { additionalProperties: false },
    ),
    responses: { 200: s.AuditAnchors },
    errors: readErrors,
  }),
} as const;

export const clusterRoutes = {
  getCluster: route({
    method: "GET",
    path: "/v1/cluster",
    tag: "cluster",
    summary: "The cluster in one answer",
    responses: { 200: s.ClusterState },
    errors: [],
  }),
} as const;

export const healthRoutes = {
  live: route({
    method: "GET",
    path: "/v1/health/live",
    tag: "health",
    summary: "Is the process alive?",
    description: "Never depends on the quorum.",
    responses: { 200: s.Liveness },
    errors: ["not_ready"],
    looseQuery: true,
  }),
  ready: route({
    method: "GET",
    path: "/v1/health/ready",
    tag: "health",
    summary: "Can this node serve calls?",
    description: "The node runs, knows a leader, and a linearizable read works.",
    responses: { 200: s.Readiness },
    errors: ["not_ready"],
    looseQuery: true,
  }),
} as const;

export const metricsRoutes = {
  metricsText: route({
    method: "GET",
    path: "/v1/metrics",
    tag: "metrics",
    summary: "Metrics of this node (Prometheus text)",
    responses: { 200: Type.String() },
    contentType: "text/plain; version=0.0.4; charset=utf-8",
    errors: ["not_found"],
    looseQuery: true,
  }),
} as const;

export const documentRoutes = {
  openApi: route({
    method: "GET",
    path: "/openapi.yaml",
    tag: "documents",
    summary: "This document",
    responses: { 200: Type.String() },
    contentType: "application/yaml",
    errors: [],
    looseQuery: true,
  }),
} as const;

export const streamRoutes = {
  stream: route({
    method: "GET",
    path: "/v1/stream",
    tag: "stream",
    summary: "The batch stream of the client library (WebSocket)",
    description:
      "Binary frames that carry batches of commands; for the client library: `packages/wire/src/stream-frames.ts` and docs/decisions/0002-hot-path.md. Plain HTTP answers 426.",
    responses: { 101: Type.String() },
    errors: ["upgrade_required"],
    looseQuery: true,
  }),
} as const;
