import type { Machine } from "../world/machine.ts";
import { ClusterBench } from "./cluster-bench.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";

const seeds = 6;

/**
 * Power loss of the whole cluster, after which no node can read the end of its log (rule W3): all compare, the longest log wins, and the
 * cluster comes back with everything that was acknowledged and is left on any disk.
 */
export const doubtfulTails: Scenario = scenario("doubtful-tails", () => {
  for (let seed = 1; seed <= seeds; seed += 1) {
    acknowledgedOnOneDisk(seed);
    acknowledgedNowhere(seed);
  }
});

/** Both followers lose an end that they had acknowledged. The leader loses one that nobody had: its log still has what they lost. */
function acknowledgedOnOneDisk(seed: number): void {
  const bench = new ClusterBench(3, {}, seed);
  const leader = bench.theLeader();
  const followers = bench.followers();
  const sessions = [1, 2, 3].map(() => bench.openSession(600_000));
  bench.run(100);
  for (const follower of followers) bench.cut(leader, follower, true);
  propose(bench, leader);
  bench.run(20);
  strike(bench);
  for (const follower of followers) bench.cut(leader, follower, false);
  comeBack(bench, sessions);
}

/** All three have the same end on disk, of which the leader has not heard that anybody has it: nothing of it was acknowledged. */
function acknowledgedNowhere(seed: number): void {
  const bench = new ClusterBench(3, {}, seed);
  const leader = bench.theLeader();
  const followers = bench.followers();
  const sessions = [1, 2, 3].map(() => bench.openSession(600_000));
  bench.run(100);
  const { edges } = bench.world.network;
  for (const follower of followers) edges.of(follower.name, leader.name).cuts += 1;
  propose(bench, leader);
  bench.run(20);
  strike(bench);
  for (const follower of followers) edges.of(follower.name, leader.name).cuts -= 1;
  bench.world.network.released();
  comeBack(bench, sessions);
}

/** Nobody will answer. */
function propose(bench: ClusterBench, leader: Machine): void {
  bench.on(leader, (api) => {
    api.submit(
      { type: "open-session", ttlMs: 1_000, lockDelayMs: 0, principal: "p", label: "lost" },
      { timeoutMs: 1_000 },
      () => undefined,
    );
  });
}

function strike(bench: ClusterBench): void {
  for (const machine of bench.machines) {
    machine.kill(true);
    machine.disk.rotEnd();
  }
}

function votes(machine: Machine): boolean {
  return machine.running?.program.group()?.raft.mayVote === true;
}

function comeBack(bench: ClusterBench, sessions: readonly number[]): void {
  for (const machine of bench.machines) machine.start();
  bench.until(() => bench.leader() !== null, 20_000, "a leader is elected after the power came back");
  const settled = (machine: Machine): boolean => votes(machine) && machine.phase().startsWith("running");
  bench.until(() => bench.machines.every(settled), 20_000, "every node takes part again");
  sessions = [...sessions, bench.openSession(600_000)];
  for (const session of sessions) {
    expect(bench.sessionLives(bench.theLeader(), session), "acknowledged-kept", () => `session ${session} is forgotten`);
  }
  // What was settled stays settled: nobody has to compare again.
  for (const machine of bench.machines) machine.kill(false);
  for (const machine of bench.machines) machine.start();
  bench.until(() => bench.machines.every((machine) => machine.running?.program.group() != null), 5_000, "every node opens its log");
  expect(bench.machines.every(votes), "storage-trusted", () => "a node that was caught up is in doubt again");
}
