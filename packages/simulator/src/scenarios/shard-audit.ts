import type { Machine } from "../world/machine.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";
import { ShardBench } from "./shard-bench.ts";

const doubt = (machine: Machine): string | null => machine.running?.program.doubt(1) ?? null;
const hash = (machine: Machine): string | null | undefined => machine.running?.program.shard(1)?.machine.stateHash();
const leads = (machine: Machine): boolean => machine.running?.program.shard(1)?.raft.role === "leader";

function follower(bench: ShardBench): Machine {
  const found = bench.machines.find((machine) => machine !== bench.shardLeader());
  if (found === undefined) throw new RangeError("three nodes are needed");
  return found;
}

/** The next entry leaves this replica with another state than the others. */
function corrupt(bench: ShardBench, machine: Machine): void {
  const { stores } = machine.disk;
  if (stores === null) throw new RangeError("a world with shards is needed");
  bench.world.corrupted.add(machine.name);
  stores.spoils = true;
  bench.produce(machine);
}

function noticed(bench: ShardBench, machine: Machine): void {
  bench.until(() => doubt(machine) !== null, 5_000, `${machine.name} learns that its state of the shard differs`);
}

/** As the others from here on: every index is checked again. */
function healed(bench: ShardBench, machine: Machine): void {
  bench.until(() => doubt(machine) === null, 10_000, `${machine.name} has a state like the others': ${doubt(machine) ?? ""}`);
  bench.world.corrupted.delete(machine.name);
  const others = bench.machines.filter((other) => other !== machine && other.alive);
  bench.until(() => others.every((other) => hash(other) === hash(machine)), 3_000, "all states of the shard are equal");
}

/** Rule W7: a replica of a shard that differs finds out, and is as the others once it can reach its leader. */
export const doubtfulShard: Scenario = scenario("w7-doubtful-shard", () => {
  const bench = new ShardBench(3);
  const bad = follower(bench);
  const leader = bench.shardLeader() ?? bad;
  corrupt(bench, bad);
  noticed(bench, bad);
  // It cannot mend itself now; the others go on without it.
  bench.cut(bad, leader, true);
  bench.run(500);
  bench.produce(leader);
  bench.cut(bad, leader, false);
  healed(bench, bad);
  bench.produce(bad);
  // A state that was replaced is one like any other: also by another of the same index, if it goes wrong again.
  corrupt(bench, bad);
  noticed(bench, bad);
  healed(bench, bad);
});

/** Rule W7: a leader that differs gives the shard to another. */
export const doubtfulShardLeader: Scenario = scenario("w7-doubtful-shard-leader", () => {
  const bench = new ShardBench(3);
  const bad = bench.shardLeader() ?? follower(bench);
  corrupt(bench, bad);
  noticed(bench, bad);
  bench.run(50);
  expect(!leads(bad), "doubt-does-not-lead", () => `${bad.name} leads a shard with a state that differs`);
  healed(bench, bad);
  bench.produce(bad);
});

const crashPoints = 12;

/** Rule W7: power loss at any disk operation of the replacement leaves a replica that still knows, or finds out again. */
export const crashWhileReplacingShard: Scenario = scenario("w7-crash-while-replacing-shard", () => {
  for (let point = 1; point <= crashPoints; point += 1) {
    const bench = new ShardBench(3);
    const bad = follower(bench);
    corrupt(bench, bad);
    noticed(bench, bad);
    bad.disk.arm(point, () => bad.kill(true));
    bench.run(100);
    bad.disk.heal();
    bad.start();
    bench.until(() => bad.running?.program.shard(1) !== null && bad.alive, 5_000, `${bad.name} opens the shard`);
    // Long enough to be compared, whether it still knew or not.
    bench.produce(follower(bench));
    bench.run(2_500);
    healed(bench, bad);
    bench.produce(bad);
  }
});
