import type { Outcome } from "@trivet/engine";
import { type Command, newestLevel } from "@trivet/wire";
import type { Machine } from "../world/machine.ts";
import { ClusterBench } from "./cluster-bench.ts";
import { expect, Found, type Scenario, scenario } from "./scenario.ts";

const define: Command = { type: "define-namespace", name: "users", mode: "ensure", settings: {}, principal: "" };

/** An upgrade from node to node (decision 0022): what the oldest does not know goes into no log, and works once it is gone. */
export const mixedLevels: Scenario = scenario("mixed-levels", () => {
  const bench = new ClusterBench(3, {}, 7, 0, (machine) => machine.knows(1));
  everybodyAt(bench, 1);
  for (const machine of bench.machines) {
    expect(asked(bench, bench.theLeader()) === "feature_level", "feature-level-refused", () => `with ${machine.name} still at level 1`);
    machine.kill(false);
    bench.until(() => bench.leader() !== null, 5_000, "the others lead");
    // Away it holds the level back as much as present.
    bench.run(2_000);
    for (const other of bench.machines)
      expect((levelOf(other) ?? 1) === 1, "feature-level-for-all", () => `${other.name} is at ${levelOf(other)}`);
    machine.knows(newestLevel);
    machine.start();
    bench.until(() => levelOf(machine) !== null && bench.leader() !== null, 10_000, `${machine.name} is back`);
  }
  everybodyAt(bench, newestLevel);
  expect(asked(bench, bench.theLeader()) === "answered", "feature-level-works", () => "the command is still refused at the newest level");
});

function levelOf(machine: Machine): number | null {
  return machine.running?.program.group()?.machine.features.told ?? null;
}

function everybodyAt(bench: ClusterBench, level: number): void {
  bench.until(() => bench.machines.every((machine) => levelOf(machine) === level), 10_000, `all are at level ${level}`);
}

/** What became of a command of level 2. */
function asked(bench: ClusterBench, machine: Machine): string {
  const told: { outcome: Outcome | null } = { outcome: null };
  bench.on(machine, (api) => api.submit(define, { timeoutMs: 5_000 }, (outcome) => void (told.outcome = outcome)));
  bench.until(() => told.outcome !== null, 6_000, "an answer");
  if (told.outcome === null) throw new Found("liveness", "no answer");
  return told.outcome.type === "unavailable" ? told.outcome.code : told.outcome.type;
}
