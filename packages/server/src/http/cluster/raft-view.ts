import type { GroupStatus, NodeStatus } from "@trivet/engine";
import type { NodeView } from "@trivet/core";
import { isFailure, read } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { decimal } from "../outcomes.ts";

export type ShownRole = "leader" | "follower" | "candidate" | "learner";
export const shownRole = (role: GroupStatus["role"] | undefined): ShownRole =>
  role === undefined ? "follower" : role === "pre-candidate" ? "candidate" : role;

/**
 * The last contact is recent: a node cut off says so instead of repeating an old name (T-23). Raft itself forgets a leader after one
 * election timeout; the second one is for a busy event loop. Null = nothing measured; then Raft's word counts.
 */
export function inContact(context: HttpContext, status: NodeStatus): boolean {
  return status.quorumContactMsAgo === null || status.quorumContactMsAgo <= 2 * context.config.raft.electionMaxMs;
}

export interface Leadership {
  readonly role: ShownRole;
  readonly leader: string | null;
  readonly term: number;
  readonly agreed: boolean;
}
export function leadership(context: HttpContext, status: NodeStatus): Leadership {
  const group = status.groups[0];
  const agreed = group !== undefined && group.leader !== null && inContact(context, status);
  return { role: shownRole(group?.role), leader: agreed ? group.leader : null, term: group?.term ?? 0, agreed };
}

export interface Quorum {
  readonly needed: number;
  readonly reachable: number;
  readonly missing: readonly string[];
}
/** Of the voters, as far as this node's own connections go ("have 1 of 2 needed, missing: …", T-09). */
export function quorumOf(status: NodeStatus): Quorum {
  const voters = status.groups[0]?.membership.voters ?? [];
  const connected = new Set<string>(status.peers.filter((peer) => peer.connected).map((peer) => peer.node));
  const missing = voters.filter((voter) => voter !== status.node && !connected.has(voter));
  return { needed: Math.floor(voters.length / 2) + 1, reachable: voters.length - missing.length, missing };
}

export interface MemberJson {
  readonly node: string;
  readonly kind: "voter" | "learner" | "outgoing";
  readonly url: string | null;
  readonly roles: string | null;
  readonly self: boolean;
  readonly leader: boolean;
  readonly connected: boolean | null;
  readonly replaceable: boolean;
}

const withScheme = (address: string): string => (address.includes("://") ? address : `http://${address}`);

/** URLs of the other nodes: as connected, or as configured while there is no cluster yet (E-01). */
export function otherNodes(context: HttpContext, status: NodeStatus): string[] {
  const connected = status.peers.filter((peer) => peer.address !== "").map((peer) => withScheme(peer.address));
  if (connected.length > 0) return connected;
  const { config } = context;
  return config.peers.filter((peer) => peer !== config.self && peer.url !== config.advertiseUrl).map((peer) => peer.url);
}

/** Members with what the registry and the connections know of them. The registry is read locally: this never waits for a quorum. */
export async function membersOf(context: HttpContext): Promise<readonly MemberJson[]> {
  const status = context.node.status();
  const registry = await read(context, "stale", (view) => view.nodes().map((node): NodeView => ({ ...node })));
  const known = new Map((isFailure(registry) ? [] : registry).map((node) => [node.node, node]));
  const { leader } = leadership(context, status);
  const membership = status.groups[0]?.membership;
  const row = (node: string, kind: MemberJson["kind"]): MemberJson => {
    const self = node === status.node;
    const peer = status.peers.find((candidate) => candidate.node === node);
    const address = self ? context.config.advertiseUrl : peer === undefined ? null : withScheme(peer.address);
    return {
      node,
      kind,
      url: known.get(node)?.url ?? address,
      roles: known.get(node)?.roles ?? (self ? context.config.roles.join(",") : null),
      self,
      leader: node === leader,
      connected: self ? true : (peer?.connected ?? false),
      replaceable: known.get(node)?.replaceable ?? false,
    };
  };
  const voters = membership?.voters ?? [];
  const outgoing = (membership?.outgoing ?? []).filter((node) => !voters.includes(node));
  const learners = [...(membership?.learners ?? []), ...(membership?.learnersNext ?? [])].filter((node) => !outgoing.includes(node));
  return [
    ...voters.map((node) => row(node, "voter")),
    ...outgoing.map((node) => row(node, "outgoing")),
    ...learners.map((node) => row(node, "learner")),
  ];
}

export function groupJson(group: GroupStatus): Readonly<Record<string, unknown>> {
  return {
    group: group.group,
    role: shownRole(group.role),
    term: group.term,
    leader: group.leader,
    commit_index: decimal(group.commitIndex),
    applied_index: decimal(group.appliedIndex),
    last_index: decimal(group.lastIndex),
    first_index: decimal(group.firstIndex),
  };
}
