import { groupId, nodeId } from "@trivet/core";
import { expect } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { ShardGroup } from "../../src/shards/shard-group.ts";
import { guard } from "../hosts/guard.ts";
import { message, Shards } from "./support.ts";

/** Files of snapshots of `group` on the disk of `node`. */
function snapshotsOf(shards: Shards, node: string, group: number): readonly string[] {
  const told = new Told<readonly string[]>();
  shards.cluster
    .member(node)
    .files.list(`snapshots/${group}`, (error, names) => told.hear(error === null && names !== undefined ? names : []));
  shards.cluster.until("its files are listed", () => told.value !== null);
  return told.value ?? [];
}

guard("shard-given-snapshots-kept", "a shard that was given away leaves no snapshot behind", () => {
  const shards = new Shards(3, { retainBytes: 0, walSegmentBytes: 256 * 1024, walRoomBytes: 0 });
  const { cluster } = shards;
  shards.untilLed();
  shards.define("orders", { partitions: 4 });
  for (let partition = 0; partition < 4; partition += 1) {
    const messages = [message("x".repeat(100_000))];
    shards.ask("n1", { type: "produce", queue: shards.queue, partition, version: 1, messages, ifFence: null });
  }
  cluster.run(10_000);
  cluster.add("n4", "http://n4", { join: ["http://n1"], shards: 4 });
  const holds = (node: string, group: number): boolean => cluster.member(node).host.shards?.replica(groupId(group)) instanceof ShardGroup;
  const given = (): (readonly [string, number])[] =>
    ["n1", "n2", "n3"].flatMap((node) => [1, 2, 3, 4].flatMap((group) => (holds(node, group) ? [] : [[node, group] as const])));
  // Who is to give a shard away leads it, and sends the newcomer its snapshot.
  const leaving = [
    ["n1", 2],
    ["n2", 4],
    ["n3", 1],
  ] as const;
  for (let step = 0; step < 100; step += 1) {
    for (const [node, group] of leaving) {
      for (const member of cluster.members.values()) {
        const replica = member.host.shards?.replica(groupId(group));
        const filled = cluster.member("n4").host.shards?.replica(groupId(group))?.group.snapshots.installedCount;
        if (
          replica?.group.isLeader === true &&
          member.host.config.node !== node &&
          replica.group.raft.transferring === null &&
          filled !== 1
        ) {
          replica.group.raft.step({ type: "transfer", to: nodeId(node) });
          replica.markDirty();
        }
      }
    }
    cluster.run(50);
  }
  cluster.until("some were given away", () => given().length >= 3, 60_000);
  cluster.run(120_000);
  expect(cluster.member("n1").telemetry.lines.some(({ event, fields }) => event === "snapshot.taken" && fields?.["group"] === 2)).toBe(
    true,
  );
  expect(given().flatMap(([node, group]) => snapshotsOf(shards, node, group))).toEqual([]);
});
