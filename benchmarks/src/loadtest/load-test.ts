import { setTimeout as pause } from "node:timers/promises";
import { lookAt, type Looks } from "./cluster-view.ts";
import { spread, type ScenarioName } from "./scenarios.ts";
import { Tally, type Second, type Totals } from "./tally.ts";
import { User } from "./user.ts";

export interface Load {
  readonly hosts: readonly string[];
  readonly users: number;
  readonly spawnRate: number;
  readonly runTimeMs: number | null;
  readonly scenarios: readonly ScenarioName[];
}

/** What is known of a run so far. */
export interface Progress extends Totals {
  readonly state: "running" | "stopping" | "over";
  readonly users: number;
  readonly elapsedMs: number;
  readonly last: Second | null;
}

/** One run: users begin at the spawn rate, work until the time is over or somebody stops it, and are waited for. */
export class LoadTest {
  readonly load: Load;
  readonly tally: Tally;
  readonly startedAt: Date = new Date();
  readonly #stop = new AbortController();
  readonly #begun = performance.now();
  #state: Progress["state"] = "running";
  #endedMs: number | null = null;
  #users = 0;
  #looks: Looks = { before: [], after: [], leaderChanges: 0 };

  constructor(load: Load) {
    this.load = load;
    this.tally = new Tally(() => performance.now());
  }

  stop(): void {
    this.#stop.abort();
    if (this.#state === "running") this.#state = "stopping";
  }

  progress(): Progress {
    const { tally } = this;
    const elapsedMs = this.#endedMs ?? performance.now() - this.#begun;
    return { ...tally.totals(), state: this.#state, users: this.#users, elapsedMs, last: tally.seconds().at(-1) ?? null };
  }

  /** What the nodes themselves said before and after the run. */
  looks(): Looks {
    return this.#looks;
  }

  async run(onSecond: (second: Second) => void): Promise<void> {
    const { hosts, runTimeMs } = this.load;
    const before = await lookAt(hosts);
    const timer = runTimeMs === null ? null : setTimeout(() => this.stop(), runTimeMs);
    const seconds = setInterval(() => {
      onSecond(this.tally.tick(this.#users));
    }, 1_000);
    try {
      await this.#spawnAndWait();
    } finally {
      clearInterval(seconds);
      if (timer !== null) clearTimeout(timer);
    }
    this.#endedMs = performance.now() - this.#begun;
    onSecond(this.tally.tick(0));
    const after = await lookAt(hosts);
    this.#looks = { before, after, leaderChanges: Math.max(0, latestTerm(after) - latestTerm(before)) };
    this.#state = "over";
  }

  async #spawnAndWait(): Promise<void> {
    const running: Promise<void>[] = [];
    const { hosts, users, spawnRate, scenarios } = this.load;
    const signal = this.#stop.signal;
    for (const [index, scenario] of spread(scenarios, users).entries()) {
      if (signal.aborted) break;
      this.#users++;
      running.push(new User(index, scenario, hosts, this.tally, signal).run().finally(() => this.#users--));
      if (index + 1 < users) await pause(1_000 / spawnRate, undefined, { signal }).catch(() => undefined);
    }
    await Promise.all(running);
  }
}

function latestTerm(looks: Looks["before"]): number {
  return Math.max(0, ...looks.map(({ term }) => term));
}
