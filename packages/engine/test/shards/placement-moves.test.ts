import { nodeId } from "@trivet/core";
import { afterEach, describe, expect, vi } from "vitest";
import type { ShardGroup } from "../../src/shards/shard-group.ts";
import { guard } from "../hosts/guard.ts";
import { message, type Shards } from "./support.ts";
import {
  type Asked,
  changes,
  drain,
  fewest,
  groupsOf,
  handOvers,
  isPlaced,
  isSettled,
  join,
  leading,
  mapOf,
  onSend,
  pick,
  replicaOf,
  settled,
  untilLedAsMapped,
  watch,
} from "./placement-support.ts";

afterEach(() => vi.restoreAllMocks());

/** Empties these nodes, and looks at all groups after each step. */
function drained(shards: Shards, nodes: readonly string[], look: (group: ShardGroup) => void): void {
  const told = drain(shards, ...nodes);
  watch(
    shards,
    `${nodes.join()} emptied`,
    () => told.value !== null,
    () => leading(shards).forEach(look),
  );
  expect(told.value).toMatchObject({ type: "changed" });
}

describe("a shard on its way to where the map wants it (G4)", () => {
  guard("shard-steps-while-changing", "asks for one change at a time", () => {
    const shards = settled(5);
    // A change takes longer than it takes to look again.
    shards.cluster.network.options = { fate: () => ({ delaysMs: [130] }) };
    const asked = changes();
    drained(shards, pick(shards, 2), () => undefined);
    expect(asked().length).toBeGreaterThan(0);
    expect(
      asked()
        .filter(({ refusal }) => refusal !== null)
        .map(({ refusal }) => refusal),
    ).toEqual([]);
  });

  guard("shard-fills-many", "fills one replica at a time", () => {
    const shards = settled(5);
    const leader = shards.cluster.leader()?.config.node ?? "";
    const leaving = mapOf(shards)
      .map((replicas) => replicas.filter((node) => node !== leader))
      .find((others) => others.length >= 2);
    drained(shards, (leaving ?? []).slice(0, 2), ({ group }) => expect(group.raft.membership.learners.length).toBeLessThanOrEqual(1));
  });

  guard("shard-fills-the-silent", "does not begin with one that is not heard", () => {
    const shards = settled(3);
    join(shards, "n4");
    watch(
      shards,
      "the map names it",
      () => isPlaced(shards, "n4"),
      () => undefined,
    );
    expect(groupsOf(shards, "n4", "learners")).toEqual([]);
    shards.cluster.kill("n4");
    shards.cluster.run(5_000);
    expect(groupsOf(shards, "n4", "learners")).toEqual([]);
  });

  guard("shard-removed-before-replaced", "keeps three voters while a node is emptied", () => {
    const shards = settled(4);
    drained(shards, pick(shards, 1), ({ group }) => expect(group.raft.membership.voters.length).toBeGreaterThanOrEqual(3));
  });

  guard("shard-promoted-beside-the-leaving", "has at no time a voter more than it should have", () => {
    const shards = settled(4);
    const led = new Set(shards.leaders());
    const leaving = pick(shards, 3).find((node) => !led.has(node)) ?? pick(shards, 1)[0] ?? "";
    drained(shards, [leaving], ({ group }) => expect(group.raft.membership.voters.length).toBeLessThanOrEqual(3));
  });

  guard(
    "shard-promoted-beside-its-leader",
    "has at no time a voter more than it should have, also when its leader is the one that leaves",
    () => {
      const shards = settled(4);
      const [leaving] = shards.leaders();
      drained(shards, [leaving ?? ""], ({ group }) => expect(group.raft.membership.voters.length).toBeLessThanOrEqual(3));
    },
  );

  guard("shard-leader-removes-itself", "is handed over by a leader that leaves, which takes no part in its own removal", () => {
    const shards = settled(3);
    const asked = changes();
    drained(shards, [shards.leaders()[0] ?? ""], () => undefined);
    expect(asked().length).toBeGreaterThan(0);
    expect(asked().filter(({ by, change }) => by.group.raft.self === change.remove)).toEqual([]);
  });

  guard("shard-leaving-by-name", "loses first whom it misses least", () => {
    const shards = settled(5);
    untilLedAsMapped(shards);
    // Two that follow in one shard; the one that is dead comes later by name.
    const leader = shards.cluster.leader()?.config.node ?? "";
    const followers = mapOf(shards).map(([, ...others]) => others.filter((node) => node !== leader).toSorted());
    const group = 1 + followers.findIndex(({ length }) => length === 2);
    const [up = "", down = ""] = followers[group - 1] ?? [];
    shards.cluster.kill(down);
    shards.cluster.run(3_000);
    const asked = changes();
    drain(shards, up, down);
    const first = (): Asked | undefined => asked().find(({ by, change }) => by.id === group && change.remove !== undefined);
    shards.cluster.until("one has left", () => first() !== undefined, 60_000);
    expect(first()?.change.remove).toBe(down);
  });

  guard("shard-drained-for-the-late", "keeps a node that is to be emptied while its successor may still come", () => {
    const shards = settled(4);
    const [dead = "", leaving = ""] = pick(shards, 2);
    shards.cluster.kill(dead);
    drain(shards, leaving);
    shards.cluster.run(6_000);
    expect(fewest(shards)).toBe(3);
    shards.cluster.until("it is let go in the end", () => groupsOf(shards, leaving, "voters").length === 0, 60_000);
  });

  guard("shard-removed-for-the-absent", "keeps a node that is not to be emptied for as long as its successor is away", () => {
    const shards = settled(4);
    join(shards, "n5");
    watch(
      shards,
      "the map names it",
      () => isPlaced(shards, "n5"),
      () => undefined,
    );
    shards.cluster.kill("n5");
    shards.cluster.run(40_000);
    expect(isPlaced(shards, "n5")).toBe(true);
    expect(fewest(shards)).toBe(3);
  });

  guard("shard-emptied-to-one-copy", "keeps two of three copies while those in their place are away, whoever is to be emptied", () => {
    const shards = settled(5);
    const zero = shards.cluster.leader()?.config.node ?? "";
    // Without the other two group 0 still has its majority.
    const replicas = mapOf(shards).find((nodes) => nodes.includes(zero)) ?? [];
    for (const node of shards.cluster.members.keys()) if (!replicas.includes(node)) shards.cluster.kill(node);
    const group = 1 + mapOf(shards).indexOf(replicas);
    const leader = shards.leaders()[group - 1];
    const told = drain(shards, ...replicas.filter((node) => node !== leader));
    shards.cluster.run(30_000);
    expect(fewest(shards)).toBeGreaterThanOrEqual(2);
    expect(told.value).toBe(null);
    expect(
      shards.cluster
        .leader()
        ?.host.api.status()
        .shardWaits.map(({ shard }) => shard),
    ).toContain(group);
  });

  guard("shard-changed-by-an-old-map", "stays as it is while its leader does not hear the leader of group 0", () => {
    const shards = settled(4);
    const zero = shards.cluster.leader()?.config.node ?? "";
    const replica = leading(shards).find(({ group }) => group.raft.self !== zero);
    if (replica === undefined) throw new Error("the leader of group 0 leads all shards");
    const { raft } = replica.group;
    const { host } = shards.cluster.member(raft.self);
    onSend(shards, (_from, to, sent) => to !== raft.self || sent.type !== "raft" || sent.group !== 0);
    shards.cluster.until("it hears no leader", () => host.system?.leader() === null);
    const outside = ["n1", "n2", "n3", "n4"].map(nodeId).filter((node) => !raft.membership.voters.includes(node));
    host.shards?.placement.steps.advance(replica, [...raft.membership.voters.slice(0, 2), ...outside]);
    expect(raft.role).toBe("leader");
    expect(raft.membership.learners).toEqual([]);
  });
});

/** Shard 1 is led by somebody whom the map does not want to lead it. */
function misled(shards: Shards): { readonly leader: string; readonly wanted: string } {
  const [, other = ""] = mapOf(shards)[0] ?? [];
  const wanted = mapOf(shards)[0]?.[0] ?? "";
  shards.cluster.until("it is led as the map says", () => shards.leaders()[0] === wanted, 60_000);
  const replica = replicaOf(shards.cluster.member(wanted), 1);
  replica?.group.raft.step({ type: "transfer", to: nodeId(other) });
  replica?.markDirty();
  shards.cluster.until("another leads", () => shards.leaders()[0] === other, 60_000);
  return { leader: other, wanted };
}

describe("leadership of a shard", () => {
  guard("shard-leader-moved-again-at-once", "is not handed again and again to who does not take it", () => {
    const shards = settled(3);
    const passes = { all: true };
    onSend(shards, (_from, _to, sent) => passes.all || sent.type !== "raft" || sent.message.type !== "timeout-now");
    misled(shards);
    passes.all = false;
    const seen = handOvers();
    shards.cluster.run(12_000);
    expect(seen().filter((id) => id === 1).length).toBeLessThanOrEqual(3);
  });

  guard("shard-led-by-who-lags", "waits until the wanted leader has everything", () => {
    const shards = settled(3);
    const { leader, wanted } = misled(shards);
    onSend(shards, (_from, to, sent) => sent.type !== "raft" || sent.group !== 1 || to !== wanted || sent.message.type !== "append");
    const messages = [message("x")];
    // Its partitions lie in all shards in turn.
    const partition = (4 - (shards.queue % 4)) % 4;
    for (let i = 0; i < 80; i += 1) {
      shards.begin(leader, { type: "produce", queue: shards.queue, partition, version: 1, messages, ifFence: null });
      shards.cluster.run(1);
    }
    const seen = handOvers();
    shards.cluster.run(7_000);
    expect(seen().filter((id) => id === 1)).toEqual([]);
    expect(isSettled(shards)).toBe(true);
  });
});
