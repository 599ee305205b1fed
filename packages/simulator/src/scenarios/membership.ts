import type { Machine } from "../world/machine.ts";
import { ClusterBench } from "./cluster-bench.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";

/** A leader that removes itself goes, and the others go on without it (mutant 24). */
export const removedLeaderLeaves: Scenario = scenario("removed-leader-leaves", () => {
  const bench = new ClusterBench(3);
  const leader = bench.theLeader();
  bench.run(500);
  bench.on(leader, (api) => api.changeMembers({ remove: [leader.name] }, 3_000, () => undefined));
  const successor = (): Machine | undefined =>
    bench.machines.find((machine) => machine !== leader && machine.running?.program.group()?.raft.role === "leader");
  bench.until(() => successor() !== undefined, 5_000, "one of the others leads");
  bench.run(1_000);
  expect(leader.running?.program.group()?.raft.role !== "leader", "removed-leader-leaves", () => "the removed node still leads");
  expect(successor()?.running?.program.group()?.raft.membership.voters.length === 2, "removed-leader-leaves", () => "the removal was lost");
});
