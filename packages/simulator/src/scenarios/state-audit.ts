import type { Machine } from "../world/machine.ts";
import { ClusterBench } from "./cluster-bench.ts";
import { expect, Found, type Scenario, scenario } from "./scenario.ts";

const nobody = { answer: () => undefined, changed: () => undefined };
const tuning = { retainBytes: 0 } as const;

/** A session that only this replica knows: its state is another from here on, as after a wrong apply or a flipped bit. */
function corrupt(bench: ClusterBench, machine: Machine): void {
  bench.world.corrupted.add(machine.name);
  const command = { type: "open-session", ttlMs: 60_000, lockDelayMs: 0, principal: "ghost", label: "" } as const;
  machine.running?.program.group()?.machine.applyCommand(command, "", 0, nobody);
}

/** Wrong, and on disk like that, before anybody notices. */
function saveWrong(bench: ClusterBench, machine: Machine): void {
  // Just after the nodes compared.
  bench.run(300);
  const taken = bench.world.totals.get("snapshots taken");
  corrupt(bench, machine);
  bench.on(machine, (api) => api.snapshot(() => undefined));
  bench.until(() => bench.world.totals.get("snapshots taken") > taken, 500, "the wrong state is saved");
  expect(!inDoubt(machine), "scenario", () => "it was noticed too early");
}

const hashOf = (machine: Machine): string | undefined => machine.running?.program.group()?.machine.stateHash();
const leads = (machine: Machine): boolean => machine.running?.program.group()?.raft.role === "leader";
const status = (machine: Machine): string => machine.phase();
const inDoubt = (machine: Machine): boolean => status(machine).includes("state differs");

function pick(machine: Machine | undefined): Machine {
  if (machine === undefined) throw new RangeError("three nodes are needed");
  return machine;
}

function noticed(bench: ClusterBench, machine: Machine): void {
  bench.until(() => inDoubt(machine), 5_000, `${machine.name} learns that its state differs`);
}

/** Its own state again: from here on every index is checked. */
function healed(bench: ClusterBench, machine: Machine): void {
  bench.until(() => status(machine).startsWith("running"), 10_000, `${machine.name} has a state like the others': ${status(machine)}`);
  bench.world.corrupted.delete(machine.name);
  const others = bench.machines.filter((other) => other !== machine && other.alive);
  bench.until(() => others.every((other) => hashOf(other) === hashOf(machine)), 3_000, "all states are equal");
}

function handOver(bench: ClusterBench, to: Machine): boolean {
  let ended = false;
  bench.on(bench.theLeader(), (api) =>
    api.transferLeadership(to.name, 2_000, () => {
      ended = true;
    }),
  );
  bench.until(() => ended, 4_000, "the transfer ends");
  bench.until(() => bench.leader() !== null, 4_000, "somebody leads");
  return leads(to);
}

/** Asks for its state without a quorum; null = it does not tell. */
function staleRead(bench: ClusterBench, machine: Machine): "ready" | "unavailable" {
  let said: "ready" | "unavailable" | null = null;
  bench.on(machine, (api) =>
    api.read("stale", 1_000, ({ type }) => {
      said = type;
    }),
  );
  bench.until(() => said !== null, 2_000, "an answer to a stale read");
  return said ?? "unavailable";
}

/** Rule W7: a follower that differs tells nobody what it believes, does not lead, and is as the others soon after it can reach them. */
export const doubtfulFollower: Scenario = scenario("w7-doubtful-follower", () => {
  const bench = new ClusterBench(3, tuning);
  for (let i = 0; i < 5; i += 1) bench.openSession(60_000);
  const [bad, good] = bench.followers().map(pick);
  if (bad === undefined || good === undefined) throw new RangeError("three nodes are needed");
  corrupt(bench, bad);
  noticed(bench, bad);
  // Cut off from the leader it cannot mend itself, but it still votes for the other.
  const leader = bench.theLeader();
  bench.cut(bad, leader, true);
  bench.run(200);
  expect(staleRead(bench, bad) === "unavailable", "doubt-is-silent", () => `${bad.name} answers from a state it knows to be wrong`);
  bench.cut(bad, leader, false);
  healed(bench, bad);
  bench.openSession(60_000);
  expect(handOver(bench, bad), "w7-leads-again", () => `${bad.name} does not lead although its state is sound`);
  bench.openSession(60_000);
});

/** Rule W7: a leader that differs steps down at once, and another one serves. */
export const doubtfulLeader: Scenario = scenario("w7-doubtful-leader", () => {
  const bench = new ClusterBench(3, tuning);
  const bad = bench.theLeader();
  bench.openSession(60_000);
  corrupt(bench, bad);
  noticed(bench, bad);
  bench.run(50);
  expect(!leads(bad), "doubt-does-not-lead", () => `${bad.name} leads with a state that differs`);
  bench.until(() => bench.leader() !== null, 3_000, "another one leads");
  bench.openSession(60_000);
  healed(bench, bad);
});

/** Rule W7: what is known to be wrong is still known after a crash, also when no majority is there to say it again. */
export const doubtOutlivesRestart: Scenario = scenario("w7-doubt-outlives-restart", () => {
  const bench = new ClusterBench(3, tuning);
  const bad = pick(bench.followers()[0]);
  const other = pick(bench.followers()[1]);
  const leader = bench.theLeader();
  bench.openSession(60_000);
  saveWrong(bench, bad);
  noticed(bench, bad);
  bench.cut(bad, leader, true);
  bench.run(100);
  bad.kill(true);
  // Only two are left: nobody can tell which of them is right, except by what was found out before.
  leader.kill(true);
  bench.cut(bad, leader, false);
  bad.start();
  bench.until(() => leads(other) || leads(bad), 5_000, "one of the two leads");
  expect(!leads(bad) && (status(bad).startsWith("running") || inDoubt(bad)), "doubt-does-not-lead", () => status(bad));
  healed(bench, bad);
  leader.start();
  bench.until(() => status(leader).startsWith("running"), 5_000, "all three run");
  bench.run(2_500);
});

/** Rule W7: snapshots of the wrong state are gone: not even a damaged new one brings an older one back. */
export const doubtfulSnapshot: Scenario = scenario("w7-doubtful-snapshot", () => {
  // The log reaches back to the older snapshot, so that it would do.
  const bench = new ClusterBench(3, { retainBytes: 1_000_000 });
  const bad = pick(bench.followers()[0]);
  bench.openSession(60_000);
  saveWrong(bench, bad);
  bench.openSession(60_000);
  noticed(bench, bad);
  healed(bench, bad);
  bench.openSession(60_000);
  bad.kill(false);
  bad.disk.rotLast("snapshots/");
  bad.start();
  const caughtUp = (): boolean => {
    const mine = bad.running?.program.group();
    return mine !== undefined && mine !== null && mine.appliedIndex === bench.theLeader().running?.program.group()?.raft.commitIndex;
  };
  bench.until(() => caughtUp() && status(bad).startsWith("running"), 8_000, `${bad.name} is there again: ${status(bad)}`);
});

/** Rule W7: two that differ, and no third: an alarm, but nobody is believed, and the cluster goes on. */
export const undecidedStates: Scenario = scenario("w7-undecided", () => {
  const bench = new ClusterBench(3, tuning);
  bench.openSession(60_000);
  const [bad, away] = bench.followers();
  const leader = bench.theLeader();
  pick(away).kill(false);
  corrupt(bench, pick(bad));
  for (let i = 0; i < 10; i += 1) {
    bench.run(400);
    const told = [leader, pick(bad)].find(inDoubt);
    if (told !== undefined) throw new Found("doubt-needs-majority", `${told.name} believes the only other one`);
  }
  bench.openSession(60_000);
  pick(away).start();
  noticed(bench, pick(bad));
  healed(bench, pick(bad));
});

const crashPoints = 24;

/** Rule W7: power loss at any disk operation of the replacement leaves a node that still knows, or finds out again. */
export const crashWhileReplacing: Scenario = scenario("w7-crash-while-replacing", () => {
  for (let point = 1; point <= crashPoints; point += 1) {
    const bench = new ClusterBench(3, tuning, point);
    const bad = pick(bench.followers()[0]);
    for (let i = 0; i < 3; i += 1) bench.openSession(60_000);
    saveWrong(bench, bad);
    bench.openSession(60_000);
    noticed(bench, bad);
    bad.disk.arm(point, () => bad.kill(true));
    bench.run(100);
    bad.disk.heal();
    bad.start();
    bench.until(() => bad.running?.program.group() !== null, 3_000, `${bad.name} opens its log`);
    // Long enough to be compared, whether it still knew or not.
    bench.run(2_500);
    healed(bench, bad);
    bench.openSession(60_000);
    bench.run(100);
  }
});
