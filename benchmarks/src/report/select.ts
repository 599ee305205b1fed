import { isMissing, type Missing, type Result, type ResultFile } from "../results.ts";
import { sameMachine, type Machine } from "../measure/machine.ts";

/** Results chosen for a report: one run per workload, all from one machine. */
export interface Selection {
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly results: readonly (Result | Missing)[];
  /** What was left out and why, for the person who asked. */
  readonly leftOut: readonly string[];
}

export interface Source {
  readonly path: string;
  readonly file: ResultFile;
}

/** A run counts as quick when any of its figures is. */
function isQuick(results: readonly (Result | Missing)[]): boolean {
  return results.some((result) => !isMissing(result) && result.quick);
}

function newestRun(file: ResultFile): string {
  return file.results.map(({ run }) => run).reduce((a, b) => (a > b ? a : b), "");
}

/** The results of one workload in one run, and where they come from. */
interface Group {
  readonly path: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly results: readonly (Result | Missing)[];
}

function groupsOf({ path, file }: Source): Group[] {
  const keys = new Set(file.results.map(({ run, workload }) => `${run} ${workload}`));
  return [...keys].map((key) => {
    return { path, versions: file.versions, results: file.results.filter(({ run, workload }) => `${run} ${workload}` === key) };
  });
}

/** 2: ours was measured; 1: only peers (work on the harness); 0: nothing. */
function worth(results: readonly (Result | Missing)[]): number {
  const measured = results.filter((result) => !isMissing(result));
  if (measured.some(({ subject }) => subject === "trivet")) return 2;
  return measured.length > 0 ? 1 : 0;
}

function isBetter(a: Group, b: Group): boolean {
  const difference = worth(a.results) - worth(b.results);
  return difference === 0 ? (a.results[0]?.run ?? "") >= (b.results[0]?.run ?? "") : difference > 0;
}

/**
 * The newest run of each workload that measured ours. Figures of different runs are never mixed within a workload, because only ratios
 * within one run mean anything. Throws when nothing is left, or when the files named come from different machines (`strict`).
 */
export function select(sources: readonly Source[], options: { readonly quick: boolean; readonly strict: boolean }): Selection {
  const leftOut: string[] = [];
  const byAge = [...sources].sort((a, b) => (newestRun(a.file) < newestRun(b.file) ? -1 : 1));
  const machine = byAge.at(-1)?.file.machine;
  if (machine === undefined) throw new Error("there are no results yet; npm run bench -- run … makes some");
  const chosen = new Map<string, Group>();
  for (const source of byAge) {
    const { path, file } = source;
    if (!sameMachine(machine, file.machine)) {
      if (options.strict) throw new Error(`${path} was measured on another machine (${file.machine.cpu}); a report is of one machine`);
      leftOut.push(`${path}: another machine`);
      continue;
    }
    for (const group of groupsOf(source)) {
      const [first] = group.results;
      if (first === undefined) continue;
      if (!options.quick && isQuick(group.results)) {
        leftOut.push(`${path}: ${first.workload} is a quick run (--quick takes it)`);
        continue;
      }
      const present = chosen.get(first.workload);
      if (present === undefined || isBetter(group, present)) chosen.set(first.workload, group);
    }
  }
  if (chosen.size === 0) throw new Error(`no result can be used:\n${leftOut.join("\n")}`);
  const groups = [...chosen.values()];
  return {
    machine,
    versions: Object.assign({}, ...groups.map(({ versions }) => versions)) as Record<string, string>,
    results: groups.flatMap(({ results }) => results),
    leftOut,
  };
}
