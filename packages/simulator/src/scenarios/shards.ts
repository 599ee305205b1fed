import type { Machine } from "../world/machine.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";
import { ShardBench } from "./shard-bench.ts";

const short = { retainBytes: 0, walSegmentBytes: 4_096 };

/** A replica that is given a snapshot still answers those who ask through its node. */
export const answersAfterInstall: Scenario = scenario("answers-after-install", () => {
  const bench = new ShardBench(3, short);
  const leader = bench.shardLeader() as Machine;
  const follower = bench.machines.find((machine) => machine !== leader) as Machine;
  // From here on the node has a caller of its own at the shard.
  bench.produce(follower);
  for (const other of bench.machines) if (other !== follower) bench.cut(follower, other, true);
  bench.run(300);
  // More than the leader sends ahead without an answer: that much still waits in the links.
  for (let i = 0; i < 320; i += 1) bench.produce(leader);
  const first = (): number => leader.running?.program.shard(1)?.raft.firstIndex ?? 0;
  bench.until(() => first() > 300, 10_000, "the leader's log has lost its beginning");
  for (const other of bench.machines) if (other !== follower) bench.cut(follower, other, false);
  const replica = (): number => follower.running?.program.shard(1)?.appliedIndex ?? 0;
  // The log may have lost all that it had.
  bench.until(() => replica() >= first() - 1, 10_000, "the follower has the snapshot");
  const told = bench.begin(follower, bench.produceCommand(), 3_000);
  bench.until(() => told.outcome !== null, 5_000, "an answer at the follower");
  expect(told.outcome?.type === "answered", "answers-after-install", () => `the follower was told ${JSON.stringify(told.outcome)}`);
});

/** Rule W6: a disk that lied about a flush has lost what the log does not hold any more. */
export const shortStore: Scenario = scenario("short-store", () => {
  const bench = new ShardBench(3, short);
  const victim = bench.machines.find((machine) => machine !== bench.shardLeader()) as Machine;
  const { stores } = victim.disk;
  if (stores === null) return;
  bench.world.damaged.add(victim.name);
  stores.lies = true;
  const other = bench.machines.find((machine) => machine !== victim) as Machine;
  for (let i = 0; i < 60; i += 1) bench.produce(other);
  const first = (): number => victim.running?.program.shard(1)?.raft.firstIndex ?? 0;
  bench.until(() => first() > 40, 10_000, "the log has lost its beginning");
  victim.kill(true);
  stores.lies = false;
  bench.run(100);
  victim.start();
  bench.until(() => victim.running?.program.shard(1) !== null && victim.running !== null, 10_000, "the shard is open again");
  expect(victim.running?.program.shard(1)?.raft.mayVote === false, "short-store", () => "a replica that lost a part of its state votes");
  bench.produce(other);
  const applied = (): number => victim.running?.program.shard(1)?.appliedIndex ?? 0;
  bench.until(() => applied() === other.running?.program.shard(1)?.raft.commitIndex, 10_000, "the replica has all of it again");
});

/** Rule L2: after a pause the leader hears what has come for it before it ends the leases that have run out. */
export const extensionOverPause: Scenario = scenario("extension-over-pause", () => {
  const bench = new ShardBench(3, { electionMinMs: 1_000, electionMaxMs: 6_000 });
  bench.run(6_000);
  const node = bench.shardLeader() as Machine;
  const [message] = bench.consume(node);
  if (message === undefined) return expect(false, "extension-over-pause", () => "nothing was handed out");
  // So little is left that even the counted part of the pause is enough.
  bench.run(880);
  node.pause();
  bench.run(1_150);
  node.resume();
  // What lay in the socket is read a little later than the clock.
  bench.run(0.3);
  const told = bench.begin(node, bench.extend(message), 5_000);
  bench.until(() => told.outcome !== null, 6_000, "an answer to the extension");
  const { outcome } = told;
  const settled = outcome?.type === "answered" && outcome.result.type === "settled" ? outcome.result.outcomes[0] : outcome?.type;
  expect(settled === "settled", "extension-over-pause", () => `an extension that came in time was answered ${settled ?? "nothing"}`);
});

/** Rule W1: the log holds what a store has not flushed, and a power loss leaves both whole. */
export const floorFollowsFlush: Scenario = scenario("floor-follows-flush", () => {
  const bench = new ShardBench(3, short);
  const victim = bench.machines.find((machine) => machine !== bench.shardLeader()) as Machine;
  const { stores } = victim.disk;
  if (stores === null) return;
  // All of before is flushed.
  bench.run(6_000);
  stores.hangs = true;
  const other = bench.machines.find((machine) => machine !== victim) as Machine;
  for (let i = 0; i < 60; i += 1) bench.produce(other);
  bench.run(4_000);
  victim.kill(true);
  stores.hangs = false;
  bench.run(100);
  victim.start();
  const applied = (): number => victim.running?.program.shard(1)?.appliedIndex ?? 0;
  bench.until(() => applied() === other.running?.program.shard(1)?.raft.commitIndex, 10_000, "the replica has all of it again");
});

/** Rule L3: where nothing else is going on, the leader itself puts the time into the log when a deadline has come. */
export const deadlineInSilence: Scenario = scenario("deadline-in-silence", () => {
  const bench = new ShardBench(3);
  bench.ask(bench.machines[0] as Machine, bench.produceCommand(800));
  bench.run(4_000);
  const delayed = bench.world.shards[0]?.golden.stats(bench.queue, 0).delayed;
  expect(delayed === 0, "deadline-in-silence", () => "a delayed message is not ready long after its time");
});
