import { nodeId, place, type PlacementMap } from "@trivet/core";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const nodes = ["node1", "node2", "node3", "node4"].map(nodeId);
const shards = 8;

/** What stands in the map for a shard, node by node. */
const marks = (map: PlacementMap, shard: number, among: number): readonly string[] =>
  nodes.slice(0, among).map((node) => (map[shard]?.[0] === node ? "★" : map[shard]?.includes(node) === true ? "●" : "·"));

test("the ring that docs/architecture.md draws is that of a new cluster of three, and of four", () => {
  const page = readFileSync(new URL("../docs/architecture.md", import.meta.url), "utf8");
  const drawn = page.split("\n").filter((line) => /^shard \d /.test(line));
  const three = place(nodes.slice(0, 3), shards, 3, null);
  const four = place(nodes, shards, 3, three);
  const rows = Array.from({ length: shards }, (_, shard) => [`shard`, `${shard + 1}`, ...marks(three, shard, 3), ...marks(four, shard, 4)]);
  expect(drawn.map((line) => line.split(/\s+/))).toEqual(rows);
});
