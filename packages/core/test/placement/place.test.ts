import { describe, expect, test } from "vitest";
import { nodeId, place, Prng } from "@trivet/core";
import { expectSound, leaderLoads, moved, nodesOf, oneShard, replicaLoads } from "./support.ts";

describe("where shards belong (D4)", () => {
  test.each([
    [1, 8],
    [2, 8],
    [3, 8],
    [4, 8],
    [5, 64],
    [7, 64],
    [9, 64],
    [40, 64],
  ])("%i nodes share %i shards evenly, replicas and leaders", (count, shards) => {
    const nodes = nodesOf(count);
    expectSound(place(nodes, shards, 3, null), nodes, shards, 3);
  });

  test("depends on the set of nodes alone, not on their order", () => {
    const nodes = nodesOf(6);
    expect(place(nodes.toReversed(), 64, 3, null)).toEqual(place(nodes, 64, 3, null));
  });

  test("is left alone when nothing changed", () => {
    const nodes = nodesOf(5);
    const map = place(nodes, 64, 3, null);
    expect(place(nodes, 64, 3, map)).toEqual(map);
  });

  test("a node that joins takes its share and nothing else moves", () => {
    for (let count = 3; count <= 12; count += 1) {
      const before = place(nodesOf(count), 64, 3, null);
      const nodes = nodesOf(count + 1);
      const after = place(nodes, 64, 3, before);
      expectSound(after, nodes, 64, 3);
      const ideal = (64 * 3) / (count + 1);
      expect(moved(before, after)).toBeLessThanOrEqual(Math.ceil(ideal) + oneShard);
    }
  });

  test("a node that leaves: its shards get other homes and nothing else moves, and few other leaders change", () => {
    for (let count = 4; count <= 12; count += 1) {
      const nodes = nodesOf(count);
      const before = place(nodes, 64, 3, null);
      const after = place(nodes.slice(1), 64, 3, before);
      expectSound(after, nodes.slice(1), 64, 3);
      expect(moved(before, after)).toBeLessThanOrEqual((replicaLoads(before).get(nodeId("node1")) ?? 0) + oneShard);
      // A leader that has no room for one more may hand one on, which costs little.
      const led = leaderLoads(before).get(nodeId("node1")) ?? 0;
      const changed = after.filter((replicas, shard) => replicas[0] !== before[shard]?.[0]).length;
      expect(changed).toBeLessThanOrEqual(led * 2);
    }
  });

  test("joining and leaving again moves only what the node had", () => {
    const nodes = nodesOf(5);
    const before = place(nodes, 64, 3, null);
    const between = place([...nodes, nodeId("guest")], 64, 3, before);
    const after = place(nodes, 64, 3, between);
    expectSound(after, nodes, 64, 3);
    for (const [shard, replicas] of between.entries()) {
      if (!replicas.includes(nodeId("guest"))) expect(new Set(after[shard])).toEqual(new Set(replicas));
    }
  });

  test("grows to three replicas by itself as nodes join (G3)", () => {
    let map = place(nodesOf(1), 8, 3, null);
    expect(map.every((replicas) => replicas.length === 1)).toBe(true);
    map = place(nodesOf(2), 8, 3, map);
    expect(map.every((replicas) => replicas.length === 2)).toBe(true);
    map = place(nodesOf(3), 8, 3, map);
    expectSound(map, nodesOf(3), 8, 3);
  });

  test("any walk of joins and leaves ends even, and no step moves much more than it must", () => {
    for (let seed = 1; seed <= 40; seed += 1) {
      const prng = new Prng(seed);
      let nodes = nodesOf(3);
      let map = place(nodes, 32, 3, null);
      let next = 4;
      for (let step = 0; step < 25; step += 1) {
        const joins = nodes.length <= 3 || (nodes.length < 12 && prng.nextUint32() % 2 === 0);
        const gone = nodes[prng.nextUint32() % nodes.length];
        const changed = joins ? [...nodes, nodeId(`node${next++}`)] : nodes.filter((node) => node !== gone);
        const after = place(changed, 32, 3, map);
        expectSound(after, changed, 32, 3);
        const must = joins ? Math.ceil((32 * 3) / changed.length) : (replicaLoads(map).get(gone ?? nodeId("none")) ?? 0);
        expect(moved(map, after), `seed ${seed}, step ${step}`).toBeLessThanOrEqual(must + oneShard);
        [nodes, map] = [changed, after];
      }
    }
  });
});
