import type { RaftGroup } from "@trivet/core";

import { placementStood } from "../convergence.ts";
import type { Machine } from "../world/machine.ts";
import { PlacementBench, silenceMs } from "./placement-bench.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";

/** Worlds of each script; they differ in who leads what, and when messages come. */
const seeds = [1, 2, 3];

const overSeeds = (name: string, script: (seed: number) => void): Scenario => scenario(name, () => seeds.forEach(script));

/** Longer than anything that the placement waits for. */
const restMs = 7_000;

function rests(bench: PlacementBench): void {
  bench.untilSettled();
  const stands = placementStood(bench.world);
  bench.run(restMs);
  const moved = stands();
  expect(moved === null, "placement-rest", () => moved ?? "");
}

/** A member that does not lead group 0, by the seed. */
function someone(bench: PlacementBench, seed: number, but: readonly Machine[] = []): Machine {
  const others = bench.members.filter((machine) => machine !== bench.leader() && machine.alive && !but.includes(machine));
  return others[seed % others.length] as Machine;
}

/** Nodes that come and go: for short nothing moves; for long their shards do, and come back with them, and that is all. */
export const flappingNodes: Scenario = overSeeds("placement-flapping", (seed) => {
  const bench = new PlacementBench(5, 0, seed);
  const node = someone(bench, seed);
  const { epoch } = bench;
  for (const downMs of [300, 900, 2_000]) {
    node.kill(false);
    bench.run(downMs);
    node.start();
    bench.run(1_500);
    expect(
      bench.epoch === epoch,
      "placement-at-rest",
      () => `${node.name} was away for ${downMs} ms, and the map is ${bench.epoch} after ${epoch}`,
    );
  }
  for (let round = 0; round < 3; round += 1) {
    const before = bench.epoch;
    node.kill(round === 1);
    bench.until(() => !bench.isPlaced(node), 4 * silenceMs, `the shards of ${node.name} move`);
    // Back in the middle of it: it takes up again what it had, or is filled anew.
    bench.run(round * 400);
    node.start();
    bench.until(() => bench.isPlaced(node), 20_000, `${node.name} has shards again`);
    bench.untilSettled();
    expect(bench.epoch <= before + 2, "placement-at-rest", () => `${bench.epoch - before} maps for one node that went and came`);
  }
  rests(bench);
});

/** Whom is struck when the shard that lost `dead` has come so far with the one in its place. */
type Stage = "learner" | "voter";

/** A node dies; while a shard is given to another, that one dies as well. Whoever had two of three left before goes on. */
function deathsInTurn(seed: number, stage: Stage): void {
  const bench = new PlacementBench(5, 0, seed);
  const before = bench.map;
  const dead = someone(bench, seed);
  dead.kill(false);
  const heir = (): Machine | undefined => {
    for (const shard of bench.shards) {
      const raft = bench.shardLeader(shard)?.running?.program.shard(shard)?.raft;
      const members = stage === "learner" ? raft?.membership.learners : raft?.membership.voters;
      const fresh = members?.find((node) => before[shard - 1]?.includes(node) !== true);
      if (fresh !== undefined) return bench.machine(fresh);
    }
    return undefined;
  };
  bench.until(() => heir() !== undefined, 20_000, `a ${stage} in the place of ${dead.name}`);
  const second = heir() as Machine;
  second.kill(false);
  const lives = bench.shards.filter(
    (shard) => (before[shard - 1] ?? []).filter((node) => node !== dead.name && node !== second.name).length >= 2,
  );
  bench.serves(lives, 6_000);
  bench.run(silenceMs + 2_000);
  // Both come back with what they had.
  second.start();
  bench.run(seed * 500);
  dead.start();
  bench.until(() => bench.isPlaced(dead) && bench.isPlaced(second), 20_000, "both have shards again");
  rests(bench);
}
export const deathsWhileMoving: Scenario = overSeeds("placement-deaths-in-turn", (seed) => {
  deathsInTurn(seed, "learner");
  deathsInTurn(seed, "voter");
});

/**
 * One that follows and the one that is about to vote fall silent together, while the shard's leader waits for group 0: the two that are left are a quorum
 * of the old three, and a change that counts on the silent would be the end of it. The machines are cut off: nobody closes their connections.
 */
export const silentTogether: Scenario = overSeeds("placement-silent-together", (seed) => {
  const bench = new PlacementBench(5, 0, seed);
  const zero = bench.theLeader();
  const shard = bench.shards.find((one) => !bench.voters(one).includes(zero.name)) ?? 0;
  const leader = bench.shardLeader(shard) as Machine;
  const [leaving, silent] = bench
    .voters(shard)
    .filter((name) => name !== leader.name)
    .map((name) => bench.machine(name)) as [Machine, Machine];
  bench.ask({ drain: { nodes: [leaving.name], draining: true } });
  const raft = (): RaftGroup | undefined => leader.running?.program.shard(shard)?.raft;
  bench.until(() => raft()?.membership.learners.length === 1, 20_000, `another in the place of ${leaving.name}`);
  const heir = bench.machine(raft()?.membership.learners[0] ?? "");
  bench.cut(leader, heir, true);
  const far = bench.members.find((machine) => ![leader, leaving, silent, heir].includes(machine)) as Machine;
  if (bench.leader() !== far) {
    bench.on(bench.theLeader(), (api) => api.transferLeadership(far.name, 2_000, () => undefined));
    bench.until(() => bench.leader() === far, 5_000, "another leads group 0");
  }
  bench.cut(leader, far, true);
  bench.until(() => leader.running?.program.group()?.raft.leader === null, 5_000, `${leader.name} hears no leader of group 0`);
  bench.cut(leader, heir, false);
  const isFilled = (): boolean =>
    raft()
      ?.progress()
      .some(({ match, peer, state }) => peer === heir.name && state === "replicate" && match >= (raft()?.commitIndex ?? 0)) === true;
  bench.until(isFilled, 5_000, `${heir.name} has everything`);
  bench.world.totals.add("silent together");
  for (const machine of [silent, heir]) bench.cutOff(machine, true);
  bench.run(400);
  bench.cut(leader, far, false);
  bench.run(silenceMs - 1_000);
  bench.serves([shard], 6_000);
  for (const machine of [silent, heir]) bench.cutOff(machine, false);
  bench.change({ drain: { nodes: [leaving.name], draining: false } });
  bench.until(() => bench.isPlaced(leaving), 20_000, `${leaving.name} has shards again`);
  rests(bench);
});

/** A node comes back with its old data when its shards have long been elsewhere, and others have written to them. */
export const oldData: Scenario = overSeeds("placement-old-data", (seed) => {
  const bench = new PlacementBench(5, 0, seed);
  const node = someone(bench, seed);
  node.kill(seed === 2);
  bench.until(() => !bench.isPlaced(node) && !bench.isCounted(node), 30_000, `${node.name} is out of all shards`);
  bench.untilSettled();
  // For a while it reaches everybody but the leader of group 0, and knows the map of before only.
  const leader = bench.theLeader();
  bench.cut(node, leader, true);
  node.start();
  bench.run(4_000);
  bench.cut(node, leader, false);
  bench.until(() => bench.isPlaced(node), 20_000, `${node.name} has shards again`);
  rests(bench);
});

/** A node is removed while it is down; its old disk comes back, then an empty one under its name. */
export const nameAgain: Scenario = overSeeds("placement-name-again", (seed) => {
  const bench = new PlacementBench(4, 0, seed);
  const node = someone(bench, seed);
  node.kill(false);
  bench.remove(node);
  bench.untilSettled();
  node.spare = false;
  node.start();
  bench.until(() => node.phase().startsWith("removed"), 20_000, `${node.name} knows that it was removed`);
  expect(!bench.isCounted(node), "placement-removed", () => `${node.name} was removed, and a shard counts it: ${bench.progress()}`);
  bench.join(node);
  bench.until(() => bench.isPlaced(node), 30_000, `the new ${node.name} has shards`);
  rests(bench);
  expect(bench.isCounted(node), "placement-rest", () => `the new ${node.name} is in the map and in no shard`);
});

/** Four nodes become two, and four again. */
export const shrinkAndGrow: Scenario = overSeeds("placement-shrink-and-grow", (seed) => {
  const bench = new PlacementBench(4, 0, seed);
  const gone: Machine[] = [];
  for (let size = 4; size > 2; size -= 1) {
    const node = someone(bench, seed);
    bench.remove(node);
    gone.push(node);
    bench.untilSettled();
    for (const replicas of bench.map) {
      expect(replicas.length === Math.min(3, size - 1), "placement-map", () => `of ${size - 1} nodes a shard is at ${replicas.join()}`);
    }
  }
  bench.serves(bench.shards, 5_000);
  for (const node of gone) bench.join(node);
  bench.until(() => gone.every((node) => bench.isPlaced(node)), 30_000, "all have shards again");
  rests(bench);
});

/** The leader of group 0 is cut off when it is about to move the shards of a dead node; another does, and what the first had in mind is of no account. */
export const staleLeader: Scenario = overSeeds("placement-stale-leader", (seed) => {
  const bench = new PlacementBench(5, 0, seed);
  const dead = someone(bench, seed);
  const stale = bench.theLeader();
  const { epoch } = bench;
  dead.kill(false);
  bench.run(silenceMs - 400 + seed * 200);
  // It may have proposed the next map or be about to; nobody hears it.
  bench.cutOff(stale, true);
  const successor = (): Machine | null =>
    bench.members.find((machine) => machine !== stale && machine.running?.program.group()?.raft.role === "leader") ?? null;
  bench.until(() => successor() !== null, 5_000, "another leads group 0");
  bench.run(2_000);
  bench.cutOff(stale, false);
  bench.until(() => !bench.isPlaced(dead), 4 * silenceMs, "the dead node's shards move");
  bench.untilSettled();
  expect(bench.epoch === epoch + 1, "placement-at-rest", () => `${bench.epoch - epoch} maps for one node that died`);
  dead.start();
  bench.until(() => bench.isPlaced(dead), 20_000, "it has shards again");
  rests(bench);
});

type Strike = "kill" | "pause" | "transfer" | "cut";

/** What is done to the leader of group 0. */
function strike(bench: PlacementBench, how: Strike): void {
  const leader = bench.leader();
  if (leader === null) return;
  const { running } = leader;
  const later = (ms: number, end: () => void): void => void bench.world.clock.schedule(ms, end);
  if (how === "kill") {
    leader.kill(false);
    later(1_200, () => leader.start());
  } else if (how === "pause") {
    leader.pause();
    later(1_200, () => leader.running === running && leader.resume());
  } else if (how === "cut") {
    bench.cutOff(leader, true);
    later(1_200, () => bench.cutOff(leader, false));
  } else bench.on(leader, (api) => api.transferLeadership(null, 2_000, () => undefined));
}

/** A node joins and another is emptied; with every step that the shards take, up to `most`, the leader of group 0 changes. */
export function leaderChanges(seed: number, how: Strike, at: number): void {
  const bench = new PlacementBench(4, 1, seed);
  bench.join(bench.machine("n5"));
  const leaving = someone(bench, seed, [bench.machine("n5")]);
  bench.until(() => bench.isPlaced(bench.machine("n5")), 30_000, "the new node is in the map");
  let before = bench.progress();
  for (let step = 0; step < at; step += 1) {
    bench.world.runUntil(bench.world.clock.now() + 1_500, () => bench.progress() !== before);
    before = bench.progress();
  }
  strike(bench, how);
  bench.change({ drain: { nodes: [leaving.name], draining: true } });
  expect(!bench.isCounted(leaving), "placement-removed", () => `${leaving.name} is emptied, and a shard counts it: ${bench.progress()}`);
  bench.untilSettled();
  bench.change({ drain: { nodes: [leaving.name], draining: false } });
  bench.until(() => bench.isPlaced(leaving), 20_000, "it has shards again");
  rests(bench);
}
export const leadersChange: Scenario = scenario("placement-leader-changes", () => {
  for (const [seed, how] of (["kill", "pause", "transfer", "cut"] as const).entries()) leaderChanges(seed + 1, how, 2 * seed + 1);
});
