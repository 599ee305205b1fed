import { type FaultAction, faultKinds } from "./faults/kinds.ts";
import { makePlan } from "./faults/plan.ts";
import type { RunOptions } from "./options.ts";
import type { RunReport } from "./run.ts";

export interface Shrunk {
  readonly report: RunReport;
  readonly runs: number;
}

/** A run as the shrinker needs it: everything else about it (mutants, output) is the caller's. */
export type Rerun = (options: RunOptions) => RunReport;

/**
 * Makes a failing run smaller while it breaks the same invariant: no more faults, clients, operations or time than it takes. Greedy, so
 * the result is small, not smallest. At most `budget` runs.
 */
export function shrink(failing: RunReport, rerun: Rerun, budget: number, progress: (line: string) => void): Shrunk {
  return new Shrinker(failing, rerun, budget, progress).shrink();
}

class Shrinker {
  private best: RunReport;
  private readonly invariant: string;
  private readonly rerun: Rerun;
  private readonly budget: number;
  private readonly progress: (line: string) => void;
  private runs = 0;

  constructor(failing: RunReport, rerun: Rerun, budget: number, progress: (line: string) => void) {
    if (failing.violation === null) throw new RangeError("only a failing run can be shrunk");
    this.best = failing;
    this.invariant = failing.violation.invariant;
    this.rerun = rerun;
    this.budget = budget;
    this.progress = progress;
  }

  shrink(): Shrunk {
    const { options } = this.best;
    // From here on the plan is data: a shorter run does not make another plan.
    if (this.attempt({ ...options, plan: makePlan(options) })) {
      this.shorten();
      this.dropKinds();
      this.dropActions();
      this.weaken();
      this.shorten();
    }
    this.fewerClients();
    this.fewerOperations();
    this.attempt({ ...this.best.options, spares: 0 });
    this.shorten();
    return { report: this.best, runs: this.runs };
  }

  private attempt(options: RunOptions): boolean {
    if (this.runs >= this.budget) return false;
    this.runs += 1;
    const report = this.rerun(options);
    if (report.violation?.invariant !== this.invariant) return false;
    this.best = report;
    this.progress(
      `${report.options.plan?.length ?? "?"} faults, ${report.options.clients} clients × ${report.options.operationsPerClient} operations, ${report.options.durationMs} ms`,
    );
    return true;
  }

  private get plan(): readonly FaultAction[] {
    return this.best.options.plan ?? [];
  }

  private with(plan: readonly FaultAction[]): RunOptions {
    return { ...this.best.options, plan };
  }

  private dropKinds(): void {
    for (const kind of faultKinds) {
      const rest = this.plan.filter((action) => action.kind !== kind);
      if (rest.length < this.plan.length) this.attempt(this.with(rest));
    }
  }

  /** Delta debugging: ever smaller parts of the schedule are left out, down to single faults. */
  private dropActions(): void {
    for (let size = Math.ceil(this.plan.length / 2); size >= 1 && this.runs < this.budget; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let at = 0; at < this.plan.length;) {
        const rest = [...this.plan.slice(0, at), ...this.plan.slice(at + size)];
        if (!this.attempt(this.with(rest))) at += size;
        if (this.runs >= this.budget) return;
      }
    }
  }

  /** Shorter faults are easier to follow. */
  private weaken(): void {
    for (let at = 0; at < this.plan.length && this.runs < this.budget; at += 1) {
      const action = this.plan[at];
      if (action === undefined || action.durationMs < 200) continue;
      const shorter = { ...action, durationMs: Math.round(action.durationMs / 2) };
      this.attempt(this.with(this.plan.map((other) => (other === action ? shorter : other))));
    }
  }

  /** Bisects the length of the safety phase. */
  private shorten(): void {
    let low = 500;
    while (this.best.options.durationMs - low > 500 && this.runs < this.budget) {
      const middle = Math.round((low + this.best.options.durationMs) / 2);
      const plan = this.best.options.plan?.filter((action) => action.atMs < middle) ?? null;
      if (!this.attempt({ ...this.best.options, durationMs: middle, plan })) low = middle;
    }
  }

  private fewerClients(): void {
    for (let clients = 1; clients < this.best.options.clients; clients += 1) if (this.attempt({ ...this.best.options, clients })) return;
  }

  private fewerOperations(): void {
    for (let half = Math.floor(this.best.options.operationsPerClient / 2); half >= 1; half = Math.floor(half / 2)) {
      if (!this.attempt({ ...this.best.options, operationsPerClient: half })) return;
    }
  }
}
