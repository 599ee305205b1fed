import { groupId } from "@trivet/core";
import { expect, vi } from "vitest";
import { guard } from "../hosts/guard.ts";
import { Shards } from "./support.ts";

vi.mock("../../../core/src/mutation-off.ts", () => import("../../../core/src/mutation-on.ts"));

guard("shard-load-stops-without-space", "a replica that finds no space for a snapshot for a moment goes on when there is some", () => {
  const shards = new Shards(3, { retainBytes: 4 * 1024, walSegmentBytes: 256 * 1024, walRoomBytes: 0 });
  const { cluster } = shards;
  shards.untilLed();
  shards.define("orders");
  shards.produce("n1", "a");
  const leader = shards.leaders()[shards.queue % 4] ?? "";
  const absent = ["n1", "n2", "n3"].find((node) => node !== leader) ?? "";
  cluster.kill(absent);
  for (let count = 0; count < 60; count += 1) shards.produce(leader, "x".repeat(4 * 1024));
  cluster.run(10_000);
  const member = cluster.member(absent);
  member.storeProblems.full = true;
  cluster.restart(absent);
  const group = groupId(1 + (shards.queue % 4));
  const snapshots = () => member.host.shards?.replica(group)?.group.snapshots;
  cluster.until("it has a snapshot to install", () => snapshots()?.installing === true, 30_000);
  cluster.run(2_000);
  expect(member.host.phase).toBe("running");
  expect(snapshots()?.installing).toBe(true);
  member.storeProblems.full = false;
  cluster.until("it has installed it", () => snapshots()?.installedCount === 1);
  shards.produce(leader, "more");
  cluster.until("it has all", () => member.host.shards?.replica(group)?.group.caughtUp === true);
});
