import { nodeId } from "@trivet/core";
import type { GroupHost } from "../groups/group-host.ts";
import type { GroupStatus, NodeStatus, PeerStatus } from "./node-api.ts";
import type { NodeHost } from "./node-host.ts";

/** What this node knows of itself and its peers; never asks another node. */
export function nodeStatus(host: NodeHost): NodeStatus {
  const { system } = host;
  // Rule W7. While it starts, stops or recovers its log, that is the news.
  const problem = host.phase === "running" ? (system?.audit?.problem ?? null) : null;
  return {
    node: nodeId(host.config.node),
    cluster: host.identity?.cluster ?? null,
    phase: problem === null ? host.phase : "recovering",
    phaseDetail: problem ?? host.phaseDetail,
    groups: system === null ? [] : [groupStatus(system), ...shardStatuses(host)],
    peers: peers(host),
    quorumContactMsAgo: quorumContact(host),
    clockOffsetMs: host.groupTime.wallOffset(),
    openCommands: host.outbox.openCommands + (host.shards?.openCommands ?? 0),
    features: { cluster: host.features.cluster, own: host.features.own },
    shardWaits: host.shards?.placement.waits.all() ?? [],
  };
}

function shardStatuses(host: NodeHost): readonly GroupStatus[] {
  return [...(host.shards?.all() ?? [])].map(({ group }) => groupStatus(group)).sort((a, b) => a.group - b.group);
}

function groupStatus(group: GroupHost): GroupStatus {
  const { raft } = group;
  return {
    group: group.id,
    role: raft.isLearner ? "learner" : raft.role,
    term: raft.term,
    leader: raft.leader,
    commitIndex: raft.commitIndex,
    appliedIndex: group.appliedIndex,
    lastIndex: raft.lastIndex,
    firstIndex: raft.firstIndex,
    membership: raft.membership,
    snapshot: group.snapshots.newest,
  };
}

function peers(host: NodeHost): readonly PeerStatus[] {
  const now = host.ports.clock.now();
  const progress = host.system?.raft.progress() ?? [];
  const errors = host.hub.dialling();
  const names = new Set<string>([...progress.map((peer) => peer.peer), ...host.hub.connected()]);
  for (const node of host.machine?.nodes() ?? []) names.add(node.node);
  for (const founder of host.identity?.founders ?? []) names.add(founder.node);
  names.delete(host.config.node);
  const known = [...names].sort().map((name): PeerStatus => {
    const node = nodeId(name);
    const at = host.hub.lastContact(node);
    const match = progress.find((other) => other.peer === name)?.match ?? 0;
    const address = host.hub.addressOf(node) ?? host.machine?.nodes().find((other) => other.node === name)?.url ?? "";
    return {
      node,
      address,
      connected: host.peering.detector.isAlive(node),
      matchIndex: match,
      lag: host.system?.isLeader === true ? Math.max(0, host.system.raft.lastIndex - match) : 0,
      rttMs: host.system?.meter.rttMs(node) ?? null,
      lastError: errors.find((target) => target.address === address)?.error ?? null,
      lastContactMsAgo: at === null ? null : now - at,
    };
  });
  const unidentified = errors
    .filter((target) => target.node === null && !known.some((peer) => peer.address === target.address))
    .map((target): PeerStatus => ({
      node: nodeId(""),
      address: target.address,
      connected: false,
      matchIndex: 0,
      lag: 0,
      rttMs: null,
      lastError: target.error,
      lastContactMsAgo: null,
    }));
  return [...known, ...unidentified];
}

function quorumContact(host: NodeHost): number | null {
  const { system } = host;
  if (system === null) return null;
  const at = system.raft.lastQuorumContact;
  return at === null ? null : Math.max(0, host.ports.clock.now() - at);
}
