import { recordedOptions, type RunOptions } from "../options.ts";
import type { Pool } from "../pool.ts";
import { scenarios } from "../scenarios/index.ts";
import type { Scenario } from "../scenarios/scenario.ts";
import type { Kill } from "./kills.ts";
import type { RegisteredMutant } from "./registry.ts";
import type { MutantSwitch } from "./switch.ts";
import { guardedByUnitTests, runGuards, runStateMatrix } from "./units.ts";

/** What became of one mutant. */
export interface Killed {
  readonly killed: boolean;
  /** What broke; for a unit test, that it failed. */
  readonly invariant: string;
  readonly by: string;
  /** Why it counts as alive. */
  readonly problem: string;
}

/** Mutants whose guards are tested by the state machine's own matrix (packages/core/test/mutants). */
const stateMachine = /^(?:lock|session|dedupe|system|snapshot)-/;

/** Replays recorded kills, each with and without its mutant. */
export class Replayer {
  private readonly pool: Pool;
  private readonly mutants: MutantSwitch;
  private readonly cleanScenarios = new Map<string, boolean>();
  private readonly cleanSeeds = new Map<string, Promise<boolean>>();

  constructor(pool: Pool, mutants: MutantSwitch) {
    this.pool = pool;
    this.mutants = mutants;
  }

  /** The first script that catches the mutant; null = none does. */
  firstScenario(mutant: string): Kill | null {
    for (const scenario of scenarios) {
      const { invariant, reached } = this.runScenario(scenario, mutant);
      if (invariant !== null && reached && this.isCleanScenario(scenario)) return { kind: "scenario", name: scenario.name, invariant };
    }
    return null;
  }

  async replay(wanted: readonly RegisteredMutant[], kills: ReadonlyMap<string, Kill>): Promise<ReadonlyMap<string, Killed>> {
    const results = new Map<string, Killed>();
    const queue = wanted.filter(({ name }) => kills.has(name));
    const lane = async (): Promise<void> => {
      for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
        const kill = kills.get(mutant.name);
        if (kill !== undefined) results.set(mutant.name, await this.replayKill(mutant.name, kill));
      }
    };
    await Promise.all(Array.from({ length: this.pool.size }, lane));
    this.replayUnits(
      wanted.map(({ name }) => name).filter((name) => results.get(name)?.killed !== true),
      results,
    );
    return results;
  }

  private replayUnits(names: readonly string[], results: Map<string, Killed>): void {
    const guarded = guardedByUnitTests();
    const files = new Set(names.flatMap((name) => guarded.get(name) ?? []));
    const kills = [...runGuards([...files]), ...runStateMatrix(names.filter((name) => stateMachine.test(name)))];
    for (const { mutant, killed, by } of kills) {
      if (!names.includes(mutant) || results.get(mutant)?.killed === true) continue;
      results.set(mutant, { killed, invariant: "unit test fails", by, problem: "its unit test does not notice" });
    }
  }

  private replayKill(name: string, kill: Kill): Promise<Killed> {
    return kill.kind === "seed" ? this.replaySeed(name, kill) : Promise.resolve(this.replayScenario(name, kill));
  }

  private async replaySeed(name: string, kill: Kill & { readonly kind: "seed" }): Promise<Killed> {
    const options: RunOptions = recordedOptions(kill.seed, kill.options);
    const by = `seed ${kill.seed}`;
    const { report, reached } = await this.pool.run({ options: { ...options, mutants: [name] }, twice: false });
    const { violation } = report;
    if (violation === null) return alive(by, reached.includes(name) ? "the seed runs clean with it" : "the seed does not reach it");
    if (violation.invariant !== kill.invariant) return alive(by, `${violation.invariant} breaks instead of ${kill.invariant}`);
    if (!(await this.isCleanSeed(options))) return alive(by, "the seed fails without it too");
    return { killed: true, invariant: violation.invariant, by, problem: "" };
  }

  private replayScenario(name: string, kill: Kill & { readonly kind: "scenario" }): Killed {
    const by = `script ${kill.name}`;
    const scenario = scenarios.find((candidate) => candidate.name === kill.name);
    if (scenario === undefined) return alive(by, "there is no such script");
    const { invariant, reached } = this.runScenario(scenario, name);
    if (invariant === null) return alive(by, reached ? "the script runs clean with it" : "the script does not reach it");
    if (!this.isCleanScenario(scenario)) return alive(by, "the script fails without it too");
    return { killed: true, invariant, by, problem: "" };
  }

  private runScenario(scenario: Scenario, mutant: string): { readonly invariant: string | null; readonly reached: boolean } {
    this.mutants.activate([mutant]);
    try {
      const violation = scenario.run();
      return { invariant: violation?.invariant ?? null, reached: this.mutants.reached().includes(mutant) };
    } finally {
      this.mutants.activate([]);
    }
  }

  private isCleanScenario(scenario: Scenario): boolean {
    let clean = this.cleanScenarios.get(scenario.name);
    if (clean === undefined) {
      clean = scenario.run() === null;
      this.cleanScenarios.set(scenario.name, clean);
    }
    return clean;
  }

  private isCleanSeed(options: RunOptions): Promise<boolean> {
    const key = JSON.stringify(options);
    let clean = this.cleanSeeds.get(key);
    if (clean === undefined) {
      clean = this.pool.run({ options, twice: false }).then(({ report }) => report.violation === null);
      this.cleanSeeds.set(key, clean);
    }
    return clean;
  }
}

function alive(by: string, problem: string): Killed {
  return { killed: false, invariant: "", by, problem };
}
