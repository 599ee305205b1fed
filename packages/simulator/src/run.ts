import { InvariantError } from "@trivet/core";

import type { Violation } from "./checkers/history.ts";
import { BehindWorkload } from "./clients/behind-workload.ts";
import { CacheWorkload } from "./clients/cache-workload.ts";
import { LockWorkload } from "./clients/lock-workload.ts";
import { QueueWorkload } from "./clients/queue-workload.ts";
import type { Workload } from "./clients/workload.ts";
import { Workloads } from "./clients/workloads.ts";
import { converged, describe, misledShards, placementStood, shardsConverged } from "./convergence.ts";
import { Nemesis } from "./faults/nemesis.ts";
import { makePlan } from "./faults/plan.ts";
import { type MutantSwitch, noMutants } from "./mutants/switch.ts";
import type { RunOptions } from "./options.ts";
import { startNode } from "./world/program.ts";
import { Trace } from "./world/trace.ts";
import { World } from "./world/world.ts";

/** What a run was, for people, for the totals, and for comparing two runs of one seed. */
export interface RunReport {
  readonly options: RunOptions;
  readonly violation: Violation | null;
  readonly traceHash: string;
  readonly totals: Readonly<Record<string, number>>;
  readonly virtualMs: number;
  readonly steps: number;
  /** The last lines of the trace; empty unless asked for. */
  readonly tail: readonly string[];
}

export interface RunView {
  /** Lines to keep for the report of a failure. */
  readonly keep: number;
  readonly print: ((line: string) => void) | null;
}
export const silent: RunView = { keep: 0, print: null };

/** Clients go on asking for so long after the heal: a healed cluster must serve, not only come to rest. */
const serveMs = 4_000;
/** What a healed cluster may take until nobody waits any more and all nodes agree. */
const settleLimitMs = 60_000;
const supervisionMs = 1_000;
/** Longer than anything that the placement waits for between two steps: a healed cluster that rests does not move its shards. */
const restMs = 6_000;

/** Runs one world from founding to judgement. The same options give the same report. */
export function run(options: RunOptions, view: RunView = silent, mutants: MutantSwitch = noMutants): RunReport {
  const trace = new Trace(view.keep, view.print);
  mutants.activate(options.mutants);
  try {
    const world = new World(options, trace, startNode);
    const locks = new LockWorkload(world);
    const workload = options.shards === 0 ? locks : new Workloads([locks, ...sharded(world, locks, options)]);
    const nemesis = new Nemesis(world, workload);
    live(world, workload, nemesis);
    return {
      options,
      violation: world.violation,
      traceHash: trace.hash(),
      totals: world.totals.toRecord(),
      virtualMs: world.clock.now(),
      steps: world.steps,
      tail: trace.tail(),
    };
  } finally {
    mutants.activate([]);
  }
}

function sharded(world: World, locks: LockWorkload, { behindClients, cacheClients }: RunOptions): readonly Workload[] {
  const queues = new QueueWorkload(world, locks.history);
  const cache = cacheClients === 0 ? [] : [new CacheWorkload(world)];
  return [queues, ...cache, ...(behindClients === 0 ? [] : [new BehindWorkload(world)])];
}

function live(world: World, workload: Workload, nemesis: Nemesis): void {
  const begun = world.clock.now();
  for (const machine of world.machines) {
    if (!machine.spare) world.clock.schedule(world.prng.below(300), () => machine.start());
  }
  workload.start();
  nemesis.begin(makePlan(world.options));
  world.runUntil(begun + world.options.durationMs);
  if (world.violation !== null) return;

  nemesis.heal();
  supervise(world, nemesis);
  const answered = workload.answered();
  world.runUntil(world.clock.now() + serveMs);
  workload.wind();
  const limit = world.clock.now() + settleLimitMs;
  world.runUntil(limit, () => workload.settled() && converged(world) && shardsConverged(world) === null);
  if (world.violation !== null) return;
  if (!workload.settled())
    world.fail(
      "liveness",
      `clients still wait ${settleLimitMs} ms after the heal: ${workload.open().slice(0, 5).join("; ")}; ${shardsConverged(world) ?? ""}; ${describe(world)}`,
    );
  else if (!converged(world)) world.fail("liveness-converge", describe(world));
  else if (shardsConverged(world) !== null) world.fail("liveness-converge", shardsConverged(world) ?? "");
  else if (workload.answered() === answered && answered < workload.issued())
    world.fail("liveness-serve", "nothing was answered after the heal");
  else rest(world);
  const found = world.violation === null ? judge(workload) : null;
  if (found !== null) world.fail(found.invariant, found.detail);
}

/** The map has come to where it should be: shards are led as it says, and it stays as it is. */
function rest(world: World): void {
  world.runUntil(world.clock.now() + settleLimitMs, () => misledShards(world) === null);
  const misled = misledShards(world);
  if (world.violation === null && misled !== null) world.fail("liveness-leaders", misled);
  if (world.violation !== null) return;
  const stands = placementStood(world);
  world.runUntil(world.clock.now() + restMs);
  const moved = stands();
  if (world.violation === null && moved !== null) world.fail("placement-rest", moved);
}

function supervise(world: World, nemesis: Nemesis): void {
  world.clock.schedule(supervisionMs, () => {
    nemesis.supervise();
    supervise(world, nemesis);
  });
}

/** A judge also asks the state machines for their own invariants, which throw. */
function judge(workload: Workload): Violation | null {
  try {
    return workload.check();
  } catch (error) {
    if (error instanceof InvariantError) return { invariant: error.invariant, detail: error.message };
    throw error;
  }
}
