import { defaultOptions } from "../options.ts";
import type { Pool } from "../pool.ts";
import type { Kill } from "./kills.ts";

export interface Search {
  readonly kill: Kill | null;
  /** Was its branch ever taken? If not, the clients or faults lack something. */
  readonly reached: boolean;
  readonly runs: number;
}

/** Looks for a seed that fails with the mutant and is clean without it. */
export async function findKill(pool: Pool, mutant: string, firstSeed: number, seeds: number): Promise<Search> {
  let reached = false;
  for (let runs = 1; runs <= seeds; runs += 1) {
    const seed = firstSeed + runs - 1;
    const result = await pool.run({ options: { ...defaultOptions(seed), mutants: [mutant] }, twice: false });
    const hit = result.reached.includes(mutant);
    reached ||= hit;
    const { violation } = result.report;
    if (violation === null || !hit) continue;
    const without = await pool.run({ options: defaultOptions(seed), twice: false });
    if (without.report.violation !== null) continue;
    const { shards, clients, laterKinds, asInProduction, ...all } = defaultOptions(seed);
    const { streamProducers, cacheClients, behindClients, nearClients, fencedClients, deadNodesMoveMs, snapshotAtRestBytes } = all;
    const later = { streamProducers, cacheClients, behindClients, nearClients, fencedClients, deadNodesMoveMs };
    // What a recorded run has none of unless it says so.
    const some = Object.fromEntries(Object.entries(later).filter(([, number]) => number > 0));
    const options = { snapshotAtRestBytes, ...(shards === 0 ? {} : { shards, clients, laterKinds, asInProduction, ...some }) };
    return { kill: { kind: "seed", seed, options, invariant: violation.invariant }, reached, runs };
  }
  return { kill: null, reached, runs: seeds };
}
