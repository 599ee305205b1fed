import { groupId } from "@trivet/core";
import { featureLevels, newestLevel, newestRules } from "@trivet/wire";
import { describe, expect } from "vitest";
import { guard } from "../hosts/guard.ts";
import { Told } from "../hosts/cluster.ts";
import type { WorkerReply } from "../../src/shards/worker-protocol.ts";
import { Shards } from "./support.ts";

const nodes = ["n1", "n2", "n3"] as const;
const older = featureLevels.begun - 1;

/** Of the version before, but for what `FEATURE_LEVEL` says. */
function startedAsBefore(): Shards {
  const shards = new Shards(3, { featureLevel: older });
  shards.untilLed();
  shards.define("orders", { maxAcquired: 3 });
  shards.produce("n1", "a", "b");
  return shards;
}

function upgrade({ cluster }: Shards, node: string): void {
  cluster.kill(node);
  const member = cluster.member(node);
  cluster.members.set(node, { ...member, config: { ...member.config, featureLevel: newestLevel } });
  cluster.restart(node);
  cluster.run(5_000);
}

/** By shard, as its leader has it. */
function rulesOf(shards: Shards): readonly (number | null)[] {
  return shards.leaders().map((leader, shard) => {
    const replica = leader === null ? null : (shards.cluster.member(leader).host.shards?.replica(groupId(shard + 1)) ?? null);
    if (replica === null) return null;
    const told = new Told<WorkerReply>();
    replica.machine.ask({ type: "definitions", group: replica.id }, told.hear);
    shards.cluster.until("the rules", () => told.value !== null);
    return told.value?.type === "definitions" ? told.value.rules : null;
  });
}

function lose(shards: Shards, consumer: string): void {
  const begun = { messages: 1, partitions: [0] };
  expect(shards.ask("n1", { type: "consumer-gone", queue: shards.queue, consumer, begun })).toEqual({ type: "counted", count: 2 });
}

describe("rules of shards", () => {
  guard("shard-begun-below-level", "while a member may not know what was begun, all that a lost consumer held counts as before", () => {
    const shards = startedAsBefore();
    expect(rulesOf(shards)).toEqual([0, 0, 0, 0]);
    shards.consume("n1");
    lose(shards, "c");
    expect(shards.consume("n2").map(({ deliveries }) => deliveries)).toEqual([1, 1]);
  });

  guard("shard-rules-by-leadership-only", "are those of the newer version as soon as the level says that every member knows them", () => {
    const shards = startedAsBefore();
    upgrade(shards, "n1");
    upgrade(shards, "n2");
    shards.untilLed();
    expect(rulesOf(shards)).toEqual([0, 0, 0, 0]);
    upgrade(shards, "n3");
    const level = (): boolean => nodes.every((node) => shards.cluster.member(node).host.machine?.features.told === newestLevel);
    shards.cluster.until("the level", level, 60_000);
    shards.untilLed();
    shards.cluster.run(5_000);
    expect(rulesOf(shards)).toEqual(Array.from({ length: 4 }, () => newestRules));
    for (const deliveries of [0, 1]) {
      expect(shards.consume("n1").map((message) => message.deliveries)).toEqual([deliveries, 0]);
      lose(shards, "c");
    }
  });
});
