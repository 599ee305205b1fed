import { groupId } from "@trivet/core";
import { describe, expect } from "vitest";
import type { Member } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { Shards } from "./support.ts";

const findings = ({ telemetry }: Member): readonly string[] =>
  telemetry.lines.filter(({ event }) => event === "storage.corrupt").map(({ text }) => text);

/** Flips a bit in the middle of what is written in the newest segment. */
function damage({ files }: Member): void {
  const path =
    files
      .paths()
      .filter((name) => name.startsWith("wal/"))
      .at(-1) ?? "";
  const end = files.contents(path)?.findLastIndex((byte) => byte !== 0) ?? 0;
  files.flipBit(path, Math.floor(end / 2), 1);
}

/** The program is killed, and the machine goes on: what it wrote is there, flushed or not. */
function killProgram({ cluster }: Shards, victim: Member): void {
  victim.view.kill();
  cluster.network.detach(victim.url);
  victim.files.endProcess();
  victim.stores?.endProcess();
}

/** The log of a follower is damaged in the middle; then it starts again and again. `idle`: the log had heard how far the stores were. */
function foundOnce(idle: boolean): void {
  // What is committed is in the stores, flushed or not.
  const shards = new Shards(3, {}, 0);
  const { cluster } = shards;
  shards.untilLed();
  shards.define("orders");
  cluster.run(5_000);
  for (let i = 0; i < 20; i += 1) shards.produce("n1", `m${i}`);
  if (idle) cluster.run(5_000);
  const group = groupId(1 + (shards.queue % 4));
  const leaders = [cluster.leader()?.config.node, shards.leaders()[group - 1]];
  const name = ["n1", "n2", "n3"].find((node) => !leaders.includes(node)) ?? "";
  const victim = cluster.member(name);
  killProgram(shards, victim);
  damage(victim);
  cluster.restart(name);
  const isWell = (): boolean => {
    const replicas = [...(victim.host.shards?.all() ?? [])];
    return victim.host.phase === "running" && replicas.length === 4 && replicas.every((replica) => replica.group.raft.mayVote);
  };
  cluster.until("it has recovered", isWell, 30_000);
  const found = findings(victim).length;
  expect(found).toBeGreaterThan(0);
  for (let start = 0; start < 2; start += 1) {
    for (let i = 0; i < 5; i += 1) shards.produce("n1", `later ${i}`);
    cluster.run(200);
    cluster.kill(name);
    cluster.restart(name);
    cluster.until("it runs", isWell, 30_000);
    expect(findings(victim).slice(found)).toEqual([]);
  }
  expect(shards.consume(name)).toHaveLength(30);
}

describe("damage in the middle of a log whose shards' stores are ahead of it (W6)", () => {
  guard("wal-floor-behind-damage-forgotten", "is found once, and not again by later starts", () => foundOnce(true));
  guard("shard-store-ahead-unrecorded", "is found once also where the log had not heard yet how far the stores were", () =>
    foundOnce(false),
  );
});
