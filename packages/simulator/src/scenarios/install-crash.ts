import { ClusterBench } from "./cluster-bench.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";

const crashPoints = 30;
const seeds = 4;

/**
 * Power loss at every disk operation of a follower that comes back, hears of a new term and is given a snapshot of it: wherever it
 * strikes, the node starts again and catches up (rule W5, mutant 34).
 */
export const installCrash: Scenario = scenario("install-crash", () => {
  for (let seed = 1; seed <= seeds; seed += 1) for (let point = 1; point <= crashPoints; point += 1) strike(seed, point);
});

function strike(seed: number, point: number): void {
  const bench = new ClusterBench(3, { snapshotEveryEntries: 4, retainBytes: 0, diskStallMs: 60_000 }, seed);
  const [follower, other] = bench.followers();
  if (follower === undefined || other === undefined) throw new RangeError("three nodes are needed");
  bench.openSession(60_000);
  follower.kill(true);
  for (let i = 0; i < 6; i += 1) bench.openSession(60_000);
  // A term that the follower has never heard of.
  bench.on(bench.theLeader(), (api) => api.transferLeadership(other.name, 2_000, () => undefined));
  bench.until(() => bench.leader() === other, 3_000, "leadership moves");
  for (let i = 0; i < 6; i += 1) bench.openSession(60_000);
  let down = false;
  follower.start();
  // Half the time the snapshot is on disk long before the log knows of the term it came in.
  if (seed % 2 === 0) bench.run(20);
  if (seed % 2 === 0) follower.disk.stall(bench.world.clock.now() + 400, "wal/");
  follower.disk.arm(point, () => {
    follower.kill(true);
    down = true;
  });
  bench.run(800);
  if (!down) follower.disk.heal();
  follower.start();
  const caughtUp = (): boolean => {
    const leader = bench.leader()?.running?.program.group();
    const mine = follower.running?.program.group();
    return leader !== undefined && leader !== null && mine !== undefined && mine !== null && mine.appliedIndex === leader.raft.commitIndex;
  };
  bench.until(caughtUp, 8_000, `seed ${seed}, crash at disk operation ${point}: the follower is ${follower.phase()}`);
  expect(follower.alive, "liveness", () => "the follower stopped");
}
