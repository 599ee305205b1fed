import { expect, test } from "vitest";
import { Shards } from "./support.ts";

test("a lease begun after the shard was idle for a minute lasts as long as it was asked for (rule L3)", () => {
  const shards = new Shards();
  shards.untilLed();
  shards.define("orders");
  shards.produce("n1", "a");
  shards.cluster.run(60_000);
  expect(shards.consume("n1", 1, { visibilityMs: 30_000 })).toHaveLength(1);
  shards.cluster.run(5_000);
  expect(shards.consume("n1")).toEqual([]);
});
