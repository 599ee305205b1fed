import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

import type { RunOptions } from "./options.ts";
import { run, type RunReport } from "./run.ts";
import { loadSwitch, type MutantSwitch } from "./mutants/switch.ts";

/** A run asked of a worker. */
export interface Job {
  readonly options: RunOptions;
  /** Run it twice and compare (same seed, same trace). */
  readonly twice: boolean;
}
export interface JobResult {
  readonly report: RunReport;
  /** Mutants whose branch was reached. */
  readonly reached: readonly string[];
}

/** Carries out one job in this process. */
export function perform({ options, twice }: Job, mutants: MutantSwitch): JobResult {
  let reached: readonly string[] = [];
  const watching: MutantSwitch = {
    activate(names) {
      if (names.length === 0) reached = mutants.reached();
      mutants.activate(names);
    },
    reached: () => mutants.reached(),
  };
  const report = run(options, undefined, watching);
  if (!twice || report.violation !== null) return { report, reached };
  const again = run(options, undefined, watching);
  if (again.traceHash === report.traceHash && again.steps === report.steps) return { report, reached };
  const detail = `one seed, two traces: ${report.traceHash} after ${report.steps} steps, then ${again.traceHash} after ${again.steps}`;
  return { report: { ...report, violation: { invariant: "determinism", detail } }, reached };
}

const workerFile = fileURLToPath(new URL("./worker.ts", import.meta.url));

/** Processes that carry out jobs; with size 1 this process does. */
export class Pool {
  readonly size: number;
  private readonly idle: Worker[] = [];
  private readonly workers: Worker[] = [];
  private readonly waiting: ((worker: Worker) => void)[] = [];
  private mutants: MutantSwitch | null = null;

  constructor(size: number) {
    this.size = size;
  }

  async run(job: Job): Promise<JobResult> {
    if (this.size <= 1) {
      this.mutants ??= await loadSwitch();
      return perform(job, this.mutants);
    }
    const worker = await this.take();
    try {
      return await worker.run(job);
    } finally {
      this.give(worker);
    }
  }

  close(): void {
    for (const worker of this.workers) worker.close();
  }

  private take(): Promise<Worker> {
    const free = this.idle.pop();
    if (free !== undefined) return Promise.resolve(free);
    if (this.workers.length < this.size) {
      const worker = new Worker();
      this.workers.push(worker);
      return Promise.resolve(worker);
    }
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private give(worker: Worker): void {
    const next = this.waiting.shift();
    if (next === undefined) this.idle.push(worker);
    else next(worker);
  }
}

/** One child process. It inherits the conditions and the loader of this one. */
class Worker {
  private readonly child: ChildProcess = fork(workerFile, [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  private job: { readonly resolve: (result: JobResult) => void; readonly reject: (error: Error) => void } | null = null;

  constructor() {
    this.child.on("message", (message) => {
      const { job } = this;
      this.job = null;
      job?.resolve(message as JobResult);
    });
    this.child.on("exit", (code) =>
      this.job?.reject(new Error(`a simulator process ended with code ${code ?? "none"} in the middle of a run`)),
    );
  }

  run(job: Job): Promise<JobResult> {
    return new Promise((resolve, reject) => {
      this.job = { resolve, reject };
      this.child.send(job);
    });
  }

  close(): void {
    if (this.child.connected) this.child.disconnect();
  }
}

/** Runs jobs until `next` has no more; results come as they finish. */
export async function runAll(pool: Pool, next: () => Job | null, done: (result: JobResult) => void): Promise<void> {
  const lane = async (): Promise<void> => {
    for (let job = next(); job !== null; job = next()) done(await pool.run(job));
  };
  await Promise.all(Array.from({ length: pool.size }, lane));
}
