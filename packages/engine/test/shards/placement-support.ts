import { vi } from "vitest";
import { groupId, nodeId } from "@trivet/core";
import type { NodeHostConfig } from "@trivet/engine";
import type { PeerMessage } from "../../src/peers/peer-frames.ts";
import type { MemberRequest } from "../../src/members/member-requests.ts";
import { ShardGroup } from "../../src/shards/shard-group.ts";
import { type Member, Told } from "../hosts/cluster.ts";
import { Shards } from "./support.ts";

export type Answer = { readonly type: string; readonly reason?: string };

/** Shards of these clusters. */
export const count = 4;

export const alive = (shards: Shards): readonly Member[] => [...shards.cluster.members.values()].filter(({ view }) => view.alive);

/** The map of the shards, as the leader of group 0 has it. */
export const mapOf = (shards: Shards): readonly (readonly string[])[] => shards.cluster.leader()?.host.machine?.placement()?.shards ?? [];
export const epochOf = (shards: Shards): number => shards.cluster.leader()?.host.machine?.placement()?.epoch ?? 0;

/** Nodes that the map names. */
export const names = (shards: Shards): readonly string[] => [...new Set(mapOf(shards).flat())].sort();
export const isPlaced = (shards: Shards, node: string): boolean => names(shards).includes(node);

export const isMember = (shards: Shards, node: string): boolean =>
  shards.cluster.leader()?.host.system?.raft.membership.voters.includes(nodeId(node)) === true;

/** Replicas that lead. */
export const leading = (shards: Shards): readonly ShardGroup[] =>
  alive(shards).flatMap(({ host }) => [...(host.shards?.all() ?? [])].filter(({ group }) => group.isLeader));

/** Shards whose leader counts the node, as a voter or a learner. */
export function groupsOf(shards: Shards, node: string, as: "voters" | "learners"): readonly number[] {
  const found = leading(shards).filter(({ group }) => group.raft.membership[as].includes(nodeId(node)));
  return [...new Set(found.map(({ id }) => id))].sort((a, b) => a - b);
}
export const holds = (shards: Shards, node: string): boolean =>
  [...groupsOf(shards, node, "voters"), ...groupsOf(shards, node, "learners")].length > 0;

/** Members of groups that the map does not name, and those it names that are no voters. */
export function strangers(shards: Shards): readonly string[] {
  const map = mapOf(shards);
  return leading(shards).flatMap(({ group, id }) => {
    const { learners, voters } = group.raft.membership;
    const wanted = map[id - 1] ?? [];
    const missing = wanted.filter((node) => !voters.includes(nodeId(node)));
    return [...voters.filter((node) => !wanted.includes(node)), ...missing, ...learners].map((node) => `${node} of shard ${id}`);
  });
}
export const isSettled = (shards: Shards): boolean => strangers(shards).length === 0 && shards.leaders().every((leader) => leader !== null);

/** With as many nodes, each of which holds what the map gives it. */
export function settled(size: number, overrides: Partial<NodeHostConfig> = {}): Shards {
  const shards = new Shards(size, overrides);
  shards.untilLed();
  shards.define("orders");
  shards.produce("n1", "a");
  shards.cluster.until("every node is in the map", () => names(shards).length === size, 60_000);
  shards.cluster.until("all replicas are where they belong", () => isSettled(shards), 60_000);
  return shards;
}

export function join(shards: Shards, node: string, overrides: Partial<NodeHostConfig> = {}): Member {
  const doors = alive(shards).map(({ url }) => url);
  return shards.cluster.add(node, `http://${node}`, { join: doors, shards: count, peers: [], ...overrides });
}

export function ask(shards: Shards, request: MemberRequest, timeoutMs = 60_000): Told<Answer> {
  const told = new Told<Answer>();
  shards.cluster.leader()?.host.api.changeMembers(request, timeoutMs, told.hear);
  return told;
}
export const drain = (shards: Shards, ...nodes: readonly string[]): Told<Answer> => ask(shards, { drain: { nodes, draining: true } });

/** Asks, and waits for the answer. */
export function asked(shards: Shards, request: MemberRequest): Answer {
  const told = ask(shards, request);
  shards.cluster.until(`an answer to ${JSON.stringify(request)}`, () => told.value !== null, 70_000);
  return told.value ?? { type: "nothing" };
}

/** Not the leader of group 0. */
export function pick(shards: Shards, howMany: number): readonly string[] {
  const leader = shards.cluster.leader()?.host.config.node;
  return [...shards.cluster.members.keys()].filter((node) => node !== leader).slice(0, howMany);
}

/** What every node sends from here on passes by here; false = it is lost on the way. */
export function onSend(shards: Shards, passes: (from: string, to: string, message: PeerMessage) => boolean): void {
  for (const { host } of shards.cluster.members.values()) {
    const send = host.hub.send.bind(host.hub);
    host.hub.send = (to, message, isReply) => !passes(host.config.node, to, message) || send(to, message, isReply);
  }
}

/** Looks after every fraction of a millisecond, until `done`. */
export function watch(shards: Shards, what: string, done: () => boolean, look: () => void, limitMs = 60_000): void {
  const end = shards.cluster.clock.now() + limitMs;
  while (!done()) {
    if (shards.cluster.clock.now() >= end) throw new Error(`not within ${limitMs} virtual ms: ${what}\n${shards.cluster.describe()}`);
    shards.cluster.run(0.5);
    look();
  }
}

export const replicaOf = ({ host }: Member, group: number): ShardGroup | null => host.shards?.replica(groupId(group)) ?? null;

export interface Asked {
  readonly by: ShardGroup;
  readonly change: Parameters<ShardGroup["changeMembership"]>[0];
  readonly refusal: string | null;
}

/** What leaders ask of their groups from here on, in order; until the mocks are restored. */
export function changes(): () => readonly Asked[] {
  const { mock } = vi.spyOn(ShardGroup.prototype, "changeMembership");
  return () =>
    mock.calls.map(([change], call) => ({
      by: mock.contexts[call] as ShardGroup,
      change,
      refusal: (mock.results[call]?.value as string | null | undefined) ?? null,
    }));
}

/** Hand-overs from here on, by shard. */
export function handOvers(): () => readonly number[] {
  const { mock } = vi.spyOn(ShardGroup.prototype, "handOver");
  return () => mock.contexts.map((group) => (group as ShardGroup).id);
}

/** Voters of the shard that has the fewest. */
export const fewest = (shards: Shards): number => Math.min(...leading(shards).map(({ group }) => group.raft.membership.voters.length));

/** Every shard is led by whom the map wants to lead it. */
export function untilLedAsMapped(shards: Shards): void {
  const isLed = (): boolean => mapOf(shards).every(([first], shard) => shards.leaders()[shard] === first);
  shards.cluster.until("all are led as the map says", isLed, 60_000);
}
