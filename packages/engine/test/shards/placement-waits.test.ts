import { describe, expect, test } from "vitest";
import type { Told } from "../hosts/cluster.ts";
import { alive, type Answer, ask, names, pick, settled, strangers } from "./placement-support.ts";
import type { Shards } from "./support.ts";

function drain(shards: Shards, node: string, timeoutMs: number): Told<Answer> {
  return ask(shards, { drain: { nodes: [node], draining: true } }, timeoutMs);
}

function pickTwo(shards: Shards): readonly [string, string] {
  const [one, two] = pick(shards, 2);
  if (one === undefined || two === undefined) throw new Error("too few nodes");
  return [one, two];
}

describe("a shard on its way to where the map wants it", () => {
  test("does not keep a node that is drained for a replica that never arrives", () => {
    const shards = settled(4);
    const [dead, leaving] = pickTwo(shards);
    shards.cluster.kill(dead);
    const told = drain(shards, leaving, 110_000);
    shards.cluster.until("the drain is answered", () => told.value !== null, 120_000);
    expect(told.value).toMatchObject({ type: "changed" });
    for (const { host } of alive(shards)) {
      for (const { group } of host.shards?.all() ?? []) if (group.isLeader) expect(group.raft.membership.voters).not.toContain(leaving);
    }
    // And when it comes after all, it gets what the map has kept for it.
    shards.cluster.restart(dead);
    shards.cluster.until("it is everywhere it belongs", () => names(shards).includes(dead) && strangers(shards).length === 0, 120_000);
  });

  test("says why it waits, at every node, in the log and to who drains, and how to go on", () => {
    const shards = settled(3);
    const [dead, leaving] = pickTwo(shards);
    shards.cluster.kill(dead);
    const told = drain(shards, leaving, 20_000);
    shards.cluster.until("the drain is answered", () => told.value !== null, 60_000);
    expect(told.value).toMatchObject({ type: "refused" });
    expect(told.value?.reason).toContain(`${leaving} is to leave it, but without ${leaving} there would be no quorum: ${dead}`);
    for (const { host } of alive(shards)) {
      const waits = host.api.status().shardWaits;
      expect(waits.map(({ shard }) => shard)).toEqual([1, 2, 3, 4]);
      for (const { next } of waits) expect(next).toContain(`start ${dead}`);
    }
    const lines = alive(shards).flatMap(({ telemetry }) => telemetry.lines.filter(({ event }) => event === "shard.waits"));
    expect(new Set(lines.map(({ fields }) => fields["group"]))).toEqual(new Set([1, 2, 3, 4]));
    expect(lines).toHaveLength(4);

    shards.cluster.restart(dead);
    shards.cluster.until("the drained node is empty", () => strangers(shards).length === 0, 60_000);
    shards.cluster.run(2_000);
    for (const { host } of alive(shards)) expect(host.api.status().shardWaits).toEqual([]);
  });
});

test("a leader of group 0 counts the silence of a node anew, not from its earlier leadership", () => {
  const shards = settled(4);
  const [dead, second] = pickTwo(shards);
  const first = shards.cluster.leader()?.host.config.node ?? "";
  const transfer = (to: string): void => {
    shards.cluster.leader()?.host.api.transferLeadership(to, 5_000, () => undefined);
    shards.cluster.until(`${to} leads`, () => shards.cluster.leader()?.host.config.node === to);
  };
  shards.cluster.kill(dead);
  shards.cluster.run(40_000);
  transfer(second);
  shards.cluster.run(1_000);
  transfer(first);
  shards.cluster.run(30_000);
  expect(names(shards)).toContain(dead);
  shards.cluster.until("its shards have moved", () => !names(shards).includes(dead), 40_000);
});
