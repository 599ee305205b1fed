import { expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { Shards } from "./support.ts";

test("draining a node while another is dead takes no shard's quorum away (rule G4: each change is checked for quorum)", () => {
  const shards = new Shards();
  shards.untilLed();
  shards.define("orders");
  shards.produce("n1", "a");
  shards.cluster.kill("n2");
  shards.cluster.run(70_000);
  const told = new Told<unknown>();
  shards.cluster.member("n1").host.api.changeMembers({ drain: { nodes: ["n3"], draining: true } }, 20_000, told.hear);
  shards.cluster.until("the drain is answered", () => told.value !== null, 60_000);
  const produced = shards.begin("n1", {
    type: "produce",
    queue: shards.queue,
    partition: 0,
    version: 1,
    messages: [{ key: "", body: new Uint8Array(1), headers: [], priority: 0, delayMs: 0, dueAt: 0, ttlMs: 0, dedupId: "" }],
    ifFence: null,
  });
  shards.cluster.until("produced or not", () => produced.value !== null, 60_000);
  expect(produced.value).toMatchObject({ type: "answered" });
});
