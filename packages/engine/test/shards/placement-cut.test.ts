import { type NodeId, nodeId } from "@trivet/core";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { PeerMessage } from "../../src/peers/peer-frames.ts";
import type { ShardGroup } from "../../src/shards/shard-group.ts";
import type { Member } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { alive, handOvers, holds, leading, onSend, replicaOf, settled, untilLedAsMapped } from "./placement-support.ts";
import type { Shards } from "./support.ts";

afterEach(() => vi.restoreAllMocks());

interface Cut {
  readonly shards: Shards;
  readonly member: Member;
  readonly replica: ShardGroup;
  /** Of group 0's messages to it these arrive from here on. */
  readonly let: (passes: (message: PeerMessage) => boolean) => void;
}

/** A leader of a shard that hears nothing of group 0. */
function cutOff(): Cut {
  const shards = settled(4);
  const zero = shards.cluster.leader()?.config.node ?? "";
  const replica = leading(shards).find(({ group }) => group.raft.self !== zero);
  if (replica === undefined) throw new Error("the leader of group 0 leads all shards");
  const { self } = replica.group.raft;
  const member = shards.cluster.member(self);
  const to = { passes: (_message: PeerMessage): boolean => false };
  onSend(shards, (_from, target, sent) => target !== self || sent.type !== "raft" || sent.group !== 0 || to.passes(sent));
  shards.cluster.until("it hears no leader", () => member.host.system?.leader() === null);
  shards.cluster.run(500);
  return {
    shards,
    member,
    replica,
    let: (passes) => {
      to.passes = passes;
    },
  };
}

/** Another map: one of these voters is to go, one that is outside to come. */
function another({ group }: ShardGroup): readonly NodeId[] {
  const { voters } = group.raft.membership;
  return [...voters.slice(0, 2), ...["n1", "n2", "n3", "n4"].map(nodeId).filter((node) => !voters.includes(node))];
}

const epoch = (of: Member | null): number => of?.host.machine?.placement()?.epoch ?? 0;
const isBeat = (sent: PeerMessage): boolean => sent.type === "raft" && sent.message.type === "heartbeat";

describe("the leader of a shard that was cut off from group 0", () => {
  guard("shard-known-map-outlives-a-cut", "changes nothing by the map of before when it hears its leader again", () => {
    const { let: hears, member, replica, shards } = cutOff();
    const { term } = member.host.system?.raft ?? {};
    const leader = shards.cluster.leader();
    const [first, ...others] = leader?.host.machine?.placement()?.shards ?? [];
    leader?.host.propose([
      { type: "set-placement", epoch: epoch(leader), replication: 3, shards: [(first ?? []).toReversed(), ...others] },
    ]);
    shards.cluster.until("there is another map", () => epoch(leader) > epoch(member));
    hears(isBeat);
    shards.cluster.until("it hears its leader", () => member.host.system?.leader() !== null);
    expect(member.host.system?.raft.term).toBe(term);
    member.host.shards?.placement.steps.advance(replica, another(replica));
    expect(replica.group.raft).toMatchObject({ role: "leader", membership: { learners: [] } });
  });

  guard("shard-handed-over-by-an-early-map", "does not leave it by the map of before when it hears its leader again", () => {
    const { let: hears, member, replica, shards } = cutOff();
    hears(isBeat);
    shards.cluster.until("it hears its leader", () => member.host.system?.leader() !== null);
    const { self, membership } = replica.group.raft;
    const seen = handOvers();
    member.host.shards?.placement.steps.advance(
      replica,
      membership.voters.filter((node) => node !== self),
    );
    expect(seen()).toEqual([]);
  });

  guard("shard-leader-moved-by-an-old-map", "leaves it where it is led", () => {
    const { member, replica } = cutOff();
    const { steps } = member.host.shards?.placement ?? {};
    const { self, membership } = replica.group.raft;
    const seen = handOvers();
    steps?.advance(replica, [...membership.voters.filter((node) => node !== self), self]);
    expect(seen()).toEqual([]);
  });
});

const deadNodeMovesAfterMs = 15_000;

/** Nothing passes between group 0's leader and a leader of a shard; all others hear both. */
function brokenLink(size: number): {
  readonly shards: Shards;
  readonly zero: string;
  readonly node: string;
  readonly led: readonly number[];
} {
  const shards = settled(size, { deadNodeMovesAfterMs });
  untilLedAsMapped(shards);
  const zero = shards.cluster.leader()?.config.node ?? "";
  const node = shards.leaders().find((leader) => leader !== null && leader !== zero) ?? "";
  const led = leading(shards).filter(({ group }) => group.raft.self === node);
  onSend(shards, (from, to) => !(from === zero && to === node) && !(from === node && to === zero));
  return { shards, zero, node, led: led.map(({ id }) => id) };
}

describe("a leader of shards that alone does not hear group 0's leader", () => {
  guard("shard-led-on-without-group-0", "gives them to those that do, and they go where the map wants them", () => {
    const { node, shards, zero } = brokenLink(5);
    shards.cluster.run(4 * deadNodeMovesAfterMs);
    expect(shards.cluster.leader()?.config.node).toBe(zero);
    expect(shards.cluster.member(node).host.system?.leader()).toBe(null);
    expect(holds(shards, node)).toBe(false);
  });

  guard("shard-heir-tried-for-ever", "gives them to another where the first does not take them", () => {
    const shards = settled(5, { deadNodeMovesAfterMs });
    untilLedAsMapped(shards);
    const zero = nodeId(shards.cluster.leader()?.config.node ?? "");
    const replica = leading(shards).find(({ group }) => !group.raft.membership.voters.includes(zero));
    if (replica === undefined) throw new Error("the leader of group 0 has a replica of each");
    const { membership, self: node } = replica.group.raft;
    const { id } = replica;
    onSend(shards, (from, to) => !(from === zero && to === node) && !(from === node && to === zero));
    const [doubtful = ""] = membership.voters.filter((voter) => voter !== node);
    // Nobody else sees that (rule W7).
    replicaOf(shards.cluster.member(doubtful), id)?.group.raft.step({ type: "may-lead", allowed: false });
    shards.cluster.run(4 * deadNodeMovesAfterMs);
    expect(shards.leaders()[id - 1]).not.toBe(node);
  });

  guard("shard-led-back-to-the-cut-off", "does not get them back, where the map still names it", () => {
    const { led, node, shards } = brokenLink(3);
    const seen = handOvers();
    shards.cluster.run(5 * deadNodeMovesAfterMs);
    expect(leading(shards).some(({ group }) => group.raft.self === node)).toBe(false);
    for (const id of led) expect(seen().filter((shard) => shard === id)).toHaveLength(1);
  });

  test("says so", () => {
    const { led, node, shards, zero } = brokenLink(5);
    shards.cluster.run(12_000);
    for (const { config, host } of alive(shards)) {
      if (config.node === zero) continue;
      const waits = host.api
        .status()
        .shardWaits.filter(({ why }) => why.startsWith(`${node}, which leads it, does not hear the leader of group 0`));
      expect(waits.map(({ shard }) => shard)).toEqual(led);
    }
  });
});
