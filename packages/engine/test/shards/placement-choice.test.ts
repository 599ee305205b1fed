import { nodeId, place } from "@trivet/core";
import { describe, expect } from "vitest";
import { guard } from "../hosts/guard.ts";
import {
  alive,
  ask,
  asked,
  count,
  drain,
  epochOf,
  holds,
  isMember,
  isPlaced,
  isSettled,
  join,
  mapOf,
  names,
  pick,
  settled,
} from "./placement-support.ts";

describe("who is chosen for shards (D4)", () => {
  guard("shard-placed-by-any-role", "is a node with a role that has shards", () => {
    const shards = settled(3);
    join(shards, "n4", { roles: "lock" });
    shards.cluster.until("it is a member", () => isMember(shards, "n4"), 30_000);
    shards.cluster.run(5_000);
    expect(isPlaced(shards, "n4")).toBe(false);
  });

  guard("shard-placed-at-the-draining", "is no node that is being emptied", () => {
    const shards = settled(4);
    const [leaving = ""] = pick(shards, 1);
    drain(shards, leaving);
    shards.cluster.until("the map does not name it", () => !isPlaced(shards, leaving), 10_000);
  });

  guard("shard-placed-at-the-unheard", "is no node that is not heard and has nothing yet", () => {
    const shards = settled(4);
    const [away = ""] = pick(shards, 1);
    expect(asked(shards, { drain: { nodes: [away], draining: true } })).toMatchObject({ type: "changed" });
    shards.cluster.kill(away);
    expect(asked(shards, { drain: { nodes: [away], draining: false } })).toMatchObject({ type: "changed" });
    shards.cluster.run(5_000);
    expect(isPlaced(shards, away)).toBe(false);
    shards.cluster.restart(away);
    shards.cluster.until("it has its share", () => isPlaced(shards, away) && isSettled(shards), 60_000);
  });

  guard("shard-moves-at-once", "stays the same while a node is silent for less than a minute, also again and again", () => {
    const shards = settled(4);
    const epoch = epochOf(shards);
    const [flapping = ""] = pick(shards, 1);
    for (const silentMs of [4_000, 45_000, 50_000]) {
      shards.cluster.kill(flapping);
      shards.cluster.run(silentMs);
      expect(epochOf(shards)).toBe(epoch);
      shards.cluster.restart(flapping);
      shards.cluster.run(10_000);
      expect(epochOf(shards)).toBe(epoch);
    }
    shards.cluster.kill(flapping);
    shards.cluster.until("its shards move when it does not come back", () => !isPlaced(shards, flapping), 65_000);
    shards.cluster.until("and lie elsewhere", () => isSettled(shards) && !holds(shards, flapping), 60_000);
  });

  guard("shard-dead-lose-their-place", "stays the same where nobody could take what a dead node has", () => {
    const shards = settled(3);
    const before = mapOf(shards);
    shards.cluster.kill(pick(shards, 1)[0] ?? "");
    shards.cluster.run(90_000);
    expect(mapOf(shards)).toEqual(before);
  });

  guard("shard-placed-at-nobody", "stays the same when everybody is to be emptied", () => {
    const shards = settled(3);
    const before = mapOf(shards);
    ask(shards, { drain: { nodes: ["n1", "n2", "n3"], draining: true } }, 5_000);
    shards.cluster.run(10_000);
    expect(alive(shards).map(({ failure, host }) => [failure, host.phase])).toEqual(before[0]?.map(() => [null, "running"]));
    expect(mapOf(shards)).toEqual(before);
  });
});

describe("the map (D4)", () => {
  guard("shard-map-written-again", "is written when it changes, and not again", () => {
    const shards = settled(3);
    const epoch = epochOf(shards);
    shards.cluster.run(10_000);
    expect(epochOf(shards)).toBe(epoch);
  });

  guard("shard-map-from-scratch", "is repaired, not made anew, when a node comes", () => {
    const shards = settled(3, { shards: 16 });
    for (const node of ["n4", "n5"]) {
      const before = mapOf(shards).map((replicas) => replicas.map(nodeId));
      join(shards, node);
      shards.cluster.until("the map names it", () => isPlaced(shards, node), 30_000);
      expect(mapOf(shards)).toEqual(place(names(shards).map(nodeId), 16, 3, before));
    }
  });

  guard("shard-map-waits-for-founders", "is repaired also in a cluster that has become smaller than it was founded", () => {
    const shards = settled(5);
    for (const size of [4, 3, 2]) {
      const leaving = pick(shards, 4).at(-1) ?? "";
      expect(asked(shards, { remove: [leaving] })).toMatchObject({ type: "changed" });
      shards.cluster.kill(leaving);
      shards.cluster.members.delete(leaving);
      shards.cluster.until("the others have all of it", () => names(shards).length === size && isSettled(shards), 60_000);
      for (const replicas of mapOf(shards)) expect(replicas).toHaveLength(Math.min(3, size));
    }
    for (const node of ["n6", "n7", "n8"]) join(shards, node);
    shards.cluster.until("the new ones have their share", () => names(shards).length === 5 && isSettled(shards), 60_000);
    expect(mapOf(shards)).toHaveLength(count);
    shards.produce("n6", "b");
    expect(shards.consume("n7")).toHaveLength(2);
  });
});
