import { describe, expect, test } from "vitest";
import { mapProblem, nodeId, type NodeId, place, preference, type PlacementMap, Prng, repairProblem } from "@trivet/core";
import { guard } from "../raft/guard.ts";
import { anyMap, expectSound, leadersChanged, leaderLoads, moved, nodesOf } from "./support.ts";

const shards = 32;
const guest = nodeId("guest");

interface Step {
  readonly nodes: readonly NodeId[];
  readonly before: PlacementMap;
  readonly after: PlacementMap;
  readonly joins: boolean;
}

/** Maps on walks of joins and leaves, each made of the one before it. */
function walks(count: number, seeds: number): readonly Step[] {
  const steps: Step[] = [];
  for (let seed = 1; seed <= seeds; seed += 1) {
    const prng = new Prng(seed);
    let nodes = nodesOf(3);
    let map = place(nodes, count, 3, null);
    for (let next = 4; next < 30; next += 1) {
      const joins = nodes.length <= 3 || (nodes.length < 12 && prng.chance(0.5));
      const gone = prng.pick(nodes);
      const changed = joins ? [...nodes, nodeId(`node${next}`)] : nodes.filter((node) => node !== gone);
      const after = place(changed, count, 3, map);
      steps.push({ nodes: changed, before: map, after, joins });
      [nodes, map] = [changed, after];
    }
  }
  return steps;
}

const sum = (steps: readonly Step[], of: (step: Step) => number): number => steps.reduce((total, step) => total + of(step), 0);

/** Replicas that have to move at least: those of a node that leaves, the share of one that joins. */
function least({ before, joins, nodes }: Step): number {
  return joins ? Math.floor((before.length * 3) / nodes.length) : before.flat().filter((node) => !nodes.includes(node)).length;
}

describe("a map (D4)", () => {
  guard("placement-quota-ignored", "gives nobody more than its share", () => {
    expectSound(place(nodesOf(5), 64, 3, null), nodesOf(5), 64, 3);
  });

  guard("placement-twice-at-one", "names no node twice for a shard", () => {
    for (const replicas of place(nodesOf(4), 64, 3, null)) expect(new Set(replicas).size).toBe(3);
  });

  guard("placement-gone-kept", "names no node that is gone", () => {
    const before = place([...nodesOf(4), guest], shards, 3, null);
    for (const replicas of place(nodesOf(4), shards, 3, before)) expect(replicas).not.toContain(guest);
  });

  guard("placement-replicas-not-shed", "takes from who has more than its share, for a node that joins", () => {
    const before = place(nodesOf(4), shards, 3, null);
    expectSound(place([...nodesOf(4), guest], shards, 3, before), [...nodesOf(4), guest], shards, 3);
  });

  guard("placement-leaders-not-shed", "has a node that joins lead its share, too", () => {
    const before = place(nodesOf(3), shards, 3, null);
    const after = place([...nodesOf(3), guest], shards, 3, before);
    expect(leaderLoads(after).get(guest)).toBe(shards / 4);
  });

  guard("placement-leader-without-replica", "names as leaders only who has a replica", () => {
    for (const replicas of place(nodesOf(7), 64, 3, null)) expect(new Set(replicas).size).toBe(3);
  });

  guard("placement-leader-incomplete", "has who has a shard already lead it, rather than who is still to get it", () => {
    const left = walks(8, 20).filter(({ joins }) => !joins);
    const vacant = sum(left, ({ before, nodes }) => before.filter(([leader]) => leader !== undefined && !nodes.includes(leader)).length);
    const filled = sum(
      left,
      ({ after, before }) => after.filter(([leader], shard) => leader !== undefined && !before[shard]?.includes(leader)).length,
    );
    // Only where whoever has it leads as many as it should.
    expect(filled).toBeLessThanOrEqual(vacant / 8);
  });

  guard("placement-by-order", "does not depend on the order in which nodes are told", () => {
    for (let count = 4; count <= 9; count += 1) {
      const before = place(nodesOf(count), shards, 3, null);
      expect(place([guest, ...nodesOf(count)].toReversed(), shards, 3, before)).toEqual(
        place([guest, ...nodesOf(count)], shards, 3, before),
      );
    }
  });

  guard("placement-more-than-wanted", "has no more replicas than are wanted, when they were more", () => {
    const before = place(nodesOf(6), shards, 5, null);
    expectSound(place(nodesOf(6), shards, 3, before), nodesOf(6), shards, 3);
  });

  guard("placement-leader-dropped-first", "gives up followers when fewer replicas are wanted, and leaders go on", () => {
    const before = place(nodesOf(6), 64, 5, null);
    expect(leadersChanged(before, place(nodesOf(6), 64, 3, before))).toBe(0);
  });

  test("made of any other is even, and the next is the same", () => {
    for (let seed = 1; seed <= 300; seed += 1) {
      const prng = new Prng(seed);
      const nodes = nodesOf(prng.between(1, 9));
      const count = prng.pick([2, 3, 4, 8, 16, 33]);
      const others = prng.chance(0.5) ? nodes : [...nodes, guest, nodeId("other")];
      const map = place(nodes, count, 3, anyMap(prng, others, count));
      expectSound(map, nodes, count, 3);
      expect(mapProblem(map, 3), `seed ${seed}`).toBe(null);
      expect(place(nodes, count, 3, map), `seed ${seed}`).toEqual(map);
    }
  });
});

describe("a repair of the map moves little (D4)", () => {
  guard("placement-no-chains", "and finds room where only a chain of moves leads to it", () => {
    for (const { after, nodes } of walks(shards, 10)) expectSound(after, nodes, shards, 3);
  });

  test("no step more than what it must and one shard", () => {
    for (const { after, before } of walks(shards, 20)) expect(repairProblem(before, after)).toBe(null);
  });

  guard("placement-any-chain", "and takes the shortest chain that there is", () => {
    const steps = walks(8, 20);
    expect(sum(steps, ({ after, before }) => moved(before, after))).toBeLessThanOrEqual(sum(steps, least) * 1.025);
  });

  guard("placement-shares-by-name", "and leaves larger shares with who has them", () => {
    const steps = walks(8, 20);
    expect(sum(steps, ({ after, before }) => moved(before, after))).toBeLessThanOrEqual(sum(steps, least) * 1.025);
  });

  guard("placement-leaders-shed-first", "and takes followers before leaders", () => {
    const joined = walks(8, 20).filter(({ joins }) => joins);
    const led = sum(joined, ({ nodes }) => 8 / nodes.length);
    // Those that the new node leads; another only where a leader had to give up its replica.
    expect(sum(joined, ({ after, before }) => leadersChanged(before, after))).toBeLessThanOrEqual(led);
  });
});

test("the order of preference is fixed for ever: clusters of two versions must agree", () => {
  const nodes = ["node1", "node2", "node3", "node4", "node5"].map(nodeId);
  expect([0, 1, 2, 7, 63].map((shard) => preference(shard, nodes).join(" "))).toMatchInlineSnapshot(`
    [
      "node2 node3 node1 node5 node4",
      "node5 node2 node3 node4 node1",
      "node2 node4 node5 node3 node1",
      "node2 node3 node1 node5 node4",
      "node5 node1 node2 node4 node3",
    ]
  `);
});
