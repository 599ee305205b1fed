import { groupId, nodeId, term } from "@trivet/core";
import { newReplica } from "../../src/log/types.ts";
import { describe, expect, test } from "vitest";
import type { Member } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { WalRig } from "../log/wal-rig.ts";
import { Shards } from "./support.ts";

const group = groupId(1);
const raftOf = ({ host }: Member) => host.shards?.replica(group)?.group.raft ?? null;

/** Three nodes with shards, of which one that follows in shard 1 has just come back with an empty disk. */
function replaced(): { readonly shards: Shards; readonly victim: Member } {
  const shards = new Shards(3, { autoReplace: true });
  const { cluster } = shards;
  shards.untilLed();
  shards.define("orders");
  shards.produce("n1", "a");
  cluster.run(3_000);
  const leaders = [cluster.leader()?.config.node, shards.leaders()[0]];
  const name = ["n1", "n2", "n3"].find((node) => !leaders.includes(node)) ?? "";
  const victim = cluster.member(name);
  cluster.kill(name);
  victim.files.erase();
  victim.stores?.erase();
  cluster.restart(name);
  return { shards, victim };
}

/** What the shard's leader counts as voters, until `done`. */
function votersUntil({ cluster }: Shards, done: () => boolean): readonly string[] {
  const seen: string[] = [];
  cluster.until("the replica votes", () => {
    for (const member of cluster.members.values()) {
      const raft = raftOf(member);
      const voters = raft?.role === "leader" ? raft.membership.voters.join() : "";
      if (voters !== "" && voters !== seen.at(-1)) seen.push(voters);
    }
    return done();
  });
  return seen;
}

describe("a shard's voter whose disk was replaced (G5)", () => {
  guard("shard-newcomer-catches-up", "votes only after it was removed and added again", () => {
    const { shards, victim } = replaced();
    const others = ["n1", "n2", "n3"].filter((node) => node !== victim.config.node).join();
    const seen = votersUntil(shards, () => raftOf(victim)?.mayVote === true);
    expect(seen).toContain(others);
  });

  guard("shard-newcomer-stays", "is removed by the shard's leader as soon as that hears of it, and is a voter again later", () => {
    const { shards, victim } = replaced();
    const isVoter = (): boolean => raftOf(victim)?.membership.voters.includes(nodeId(victim.config.node)) === true;
    votersUntil(shards, () => raftOf(victim)?.mayVote === true && isVoter());
    shards.produce(victim.config.node, "b");
    expect(shards.consume(victim.config.node)).toHaveLength(2);
  });

  guard("shard-newcomer-votes-at-once", "grants no vote while it has nothing", () => {
    const { shards, victim } = replaced();
    for (let step = 0; step < 100_000 && raftOf(victim) === null; step += 1) shards.cluster.run(0.1);
    expect(raftOf(victim)?.mayVote).toBe(false);
  });

  test("stays out while the others cannot do without it, and they go on together", () => {
    const { shards, victim } = replaced();
    const { cluster } = shards;
    cluster.until("its shard is open", () => raftOf(victim) !== null);
    const leader = shards.leaders()[0] ?? "";
    const third = ["n1", "n2", "n3"].find((node) => node !== leader && node !== victim.config.node) ?? "";
    cluster.kill(third);
    cluster.run(5_000);
    expect(raftOf(victim)?.mayVote).toBe(false);
    cluster.restart(third);
    votersUntil(shards, () => raftOf(victim)?.mayVote === true);
  });
});

describe("the log", () => {
  guard("wal-newcomer-forgotten", "knows a new replica after restarts and in later segments, whatever else was damaged meanwhile", () => {
    const rig = new WalRig(600);
    let opened = rig.mustOpen();
    opened.wal.distrust(group, newReplica, () => undefined);
    rig.run();
    for (let i = 1; i < 30; i += 1) {
      const hardState = { term: term(i), vote: null };
      opened.wal.write({ group, hardState, truncateFrom: 0 as never, append: [], commit: 0 as never }, () => undefined);
      rig.run();
    }
    rig.kill();
    opened = rig.mustOpen();
    expect(opened.groups.get(group)).toMatchObject({ doubt: "newcomer", mayVote: false });
    opened.wal.trust(group, () => undefined);
    rig.run();
    rig.kill();
    expect(rig.mustOpen().groups.get(group)?.doubt).toBe(null);
  });
});
