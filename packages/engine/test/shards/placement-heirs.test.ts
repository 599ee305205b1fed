import { afterEach, describe, expect, vi } from "vitest";
import type { ShardGroup } from "../../src/shards/shard-group.ts";
import { guard } from "../hosts/guard.ts";
import { drain, handOvers, holds, leading, mapOf, onSend, replicaOf, settled, untilLedAsMapped, watch } from "./placement-support.ts";
import type { Shards } from "./support.ts";

afterEach(() => vi.restoreAllMocks());

/** A shard that is led by another node than group 0, as the map says. */
function led(shards: Shards): ShardGroup {
  untilLedAsMapped(shards);
  const zero = shards.cluster.leader()?.config.node ?? "";
  const replica = leading(shards).find(({ group }) => group.raft.self !== zero);
  if (replica === undefined) throw new Error("the leader of group 0 leads all shards");
  return replica;
}

describe("the heir of a shard whose leader leaves (decision 0035)", () => {
  guard("shard-promoted-at-the-first-refusal", "is waited for before there is a voter too many", () => {
    const shards = settled(4);
    const { id, group } = led(shards);
    onSend(shards, (_from, _to, sent) => sent.type !== "raft" || sent.group !== id || sent.message.type !== "timeout-now");
    const seen = handOvers();
    drain(shards, group.raft.self);
    watch(
      shards,
      "it is handed over",
      () => seen().includes(id),
      () => undefined,
    );
    const since = shards.cluster.clock.now();
    watch(
      shards,
      "a voter too many",
      () => group.raft.membership.voters.length > 3,
      () => undefined,
    );
    expect(shards.cluster.clock.now() - since).toBeGreaterThanOrEqual(5_000 - 1);
  });

  guard("shard-heir-tried-for-ever", "is another where the first does not take it", () => {
    const shards = settled(4);
    const { id, group } = led(shards);
    const leaving = group.raft.self;
    drain(shards, leaving);
    shards.cluster.until("the map is another", () => !mapOf(shards).flat().includes(leaving));
    const first = mapOf(shards)[id - 1]?.find((node) => group.raft.membership.voters.some((voter) => voter === node)) ?? "";
    // As a replica does whose state is in doubt (rule W7).
    replicaOf(shards.cluster.member(first), id)?.group.raft.step({ type: "may-lead", allowed: false });
    shards.cluster.until("it is emptied", () => !holds(shards, leaving), 40_000);
  });

  guard("shard-transfer-waits-for-room", "gets it also from a leader whose disk fills up while it withdraws copies", () => {
    const shards = settled(3);
    const replica = led(shards);
    const { id, group } = replica;
    const { self } = group.raft;
    // Its log takes no barrier from here on.
    vi.spyOn(replica.home, "close").mockImplementation(() => undefined);
    const [to] = group.raft.membership.voters.filter((node) => node !== self);
    if (to === undefined) throw new Error("no other voter");
    replica.handOver(to);
    shards.cluster.run(300);
    expect(replica.isHandingOver).toBe(true);
    vi.spyOn(shards.cluster.member(self).host.disk, "critical", "get").mockReturnValue(true);
    shards.cluster.until("the other leads it", () => shards.leaders()[id - 1] === to, 3_000);
    expect(replica.isHandingOver).toBe(false);
  });
});
