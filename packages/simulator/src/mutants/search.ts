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
    const { shards, cacheClients, clients, laterKinds, asInProduction, nearClients, fencedClients } = defaultOptions(seed);
    const caching = {
      ...(cacheClients > 0 && { cacheClients }),
      ...(nearClients > 0 && { nearClients }),
      ...(fencedClients > 0 && { fencedClients }),
    };
    const options = shards === 0 ? {} : { shards, clients, laterKinds, asInProduction, ...caching };
    return { kill: { kind: "seed", seed, options, invariant: violation.invariant }, reached, runs };
  }
  return { kill: null, reached, runs: seeds };
}
