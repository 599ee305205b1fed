import { Type } from "typebox";
import { Decimal, NullableDecimal, NullableNumber, NullableString } from "./common.ts";

const closed = { additionalProperties: false } as const;

export const RoleName = Type.Enum(["leader", "follower", "candidate", "learner"]);
export const MemberKind = Type.Enum(["voter", "learner", "outgoing"]);
export const Member = Type.Object({
  node: Type.String(),
  kind: MemberKind,
  url: NullableString,
  roles: NullableString,
  self: Type.Boolean(),
  leader: Type.Boolean(),
  connected: Type.Union([Type.Boolean(), Type.Null()], { description: "As this node sees it; true for itself." }),
  replaceable: Type.Boolean({
    description: "Its disk was given up (`replace`), and an empty one under its id is taken in. As this node knows it.",
  }),
});
export const Peer = Type.Object({
  node: Type.String(),
  address: Type.String(),
  connected: Type.Boolean(),
  match_index: Decimal,
  lag: Type.Number(),
  rtt_ms: NullableNumber,
  last_error: NullableString,
  last_contact_ms_ago: NullableNumber,
});
export const GroupState = Type.Object({
  group: Type.Integer(),
  role: RoleName,
  term: Type.Number(),
  leader: NullableString,
  commit_index: Decimal,
  applied_index: Decimal,
  last_index: Decimal,
  first_index: Decimal,
});
export const RaftStatus = Type.Object({
  node_id: Type.String(),
  cluster_id: NullableString,
  phase: Type.String(),
  phase_detail: Type.String(),
  role: RoleName,
  term: Type.Number(),
  leader: NullableString,
  commit_index: Decimal,
  applied_index: Decimal,
  quorum_contact_ms_ago: NullableNumber,
  feature_level: Type.Union([Type.Integer(), Type.Null()], {
    description: "What commands of the cluster may need: every member knows it. Null while this node does not know it.",
  }),
  knows_feature_level: Type.Integer({
    description: "The highest that this node knows. Above `feature_level`: another member does not, or is away.",
  }),
  quorum: Type.Object({ needed: Type.Integer(), reachable: Type.Integer(), missing: Type.Array(Type.String()) }),
  members: Type.Array(Member),
  peers: Type.Array(Peer),
  groups: Type.Array(GroupState),
});
export const LeaderState = Type.Object({
  leader: NullableString,
  term: Type.Number(),
  agreed: Type.Boolean({ description: "This node is the leader, or heard from it within the election timeout." }),
  quorum: Type.Boolean({ description: "A majority of the voters answers, as far as this node knows." }),
  node_id: Type.String(),
  url: NullableString,
});
export const LogEntry = Type.Object({
  index: Decimal,
  term: Type.Number(),
  type: Type.String(),
  command: Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()]),
});
export const LogPage = Type.Object({
  log: Type.Array(LogEntry),
  first_index: Decimal,
  last_index: Decimal,
  commit_index: Decimal,
});
export const MemberList = Type.Object({ members: Type.Array(Member), leader: NullableString, term: Type.Number() });

export const AddMemberBody = Type.Object(
  {
    node: Type.String({ minLength: 1, maxLength: 64, pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$", description: "Id of the new node." }),
    url: Type.String({ minLength: 1, maxLength: 512, pattern: "^https?://[^\\s]+$", description: "Where the other nodes reach it." }),
    voter: Type.Optional(Type.Boolean({ default: true, description: "Become a voter once caught up; false keeps it a learner." })),
  },
  closed,
);
export const TransferBody = Type.Object({ to: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })) }, closed);
export const Transferred = Type.Object({ transferred: Type.Literal(true), leader: Type.String() });
export const SnapshotTaken = Type.Object({ taken: Type.Literal(true), index: Decimal });

export const ClusterState = Type.Object({
  cluster_id: NullableString,
  node_id: Type.String(),
  version: Type.String(),
  roles: Type.Array(Type.String()),
  phase: Type.String(),
  leader: NullableString,
  term: Type.Number(),
  healthy: Type.Boolean(),
  verdict: Type.String({ description: "One sentence for people." }),
  failure_tolerance: Type.Integer({ description: "How many more voters may fail." }),
  members: Type.Array(Member),
});

export const AuditAnchor = Type.Object({
  seq: Decimal,
  mac: Type.String({ description: "Code of the record `seq`, under AUDIT_KEY: it covers all records before it." }),
  at_ms: Type.Number({ description: "When it came here: group time, Unix milliseconds." }),
});
export const AuditAnchors = Type.Object({
  anchoring: Type.Boolean({ description: "The cluster takes anchors: all its members know them (feature level 6)." }),
  nodes: Type.Array(
    Type.Object({
      node: Type.String(),
      member: Type.Boolean({ description: "False: it was removed." }),
      logs_begun: Type.Integer({
        description: "Audit logs that it has begun. Above the number of `logs`: the anchors of others are no longer kept.",
      }),
      logs: Type.Array(
        Type.Object({
          chain: Type.String({ description: "Drawn when the log was begun; its first record has it." }),
          number: Type.Integer({ description: "The how manieth of its node." }),
          anchors: Type.Array(AuditAnchor, { description: "Oldest first; the last is the newest there was." }),
        }),
      ),
    }),
  ),
});

export const Liveness = Type.Object({
  status: Type.Enum(["ok", "failed"]),
  node_id: Type.String(),
  phase: Type.String(),
  uptime_s: Type.Number(),
  started_at: Type.String({
    description: "When this process began, by its machine's clock. Another value than before: it was started again.",
  }),
});
export const Readiness = Type.Object({
  status: Type.Literal("ready"),
  node_id: Type.String(),
  checks: Type.Array(Type.Object({ name: Type.String(), ok: Type.Boolean(), detail: Type.String() })),
});
export const NextIndex = NullableDecimal;
