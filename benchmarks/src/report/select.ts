import { isMissing, type Missing, type Result, type ResultFile } from "../results.ts";
import { sameMachine, type Machine } from "../measure/machine.ts";

/** Results chosen for a report: one run per workload, and one machine per service. */
export interface Selection {
  /** By service. Locks, queues and the cache may have been measured on machines of their own: no figure of one is compared with another's. */
  readonly machines: Readonly<Record<string, Machine>>;
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

/** What a workload is about: `lock`, `queue` or `cache`. */
export function serviceOf(workload: string): string {
  return workload.slice(0, workload.indexOf("-"));
}

/** The results of one workload in one run, and where they come from. */
interface Group {
  readonly path: string;
  readonly run: string;
  readonly workload: string;
  readonly service: string;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly results: readonly (Result | Missing)[];
}

function groupsOf({ path, file }: Source): Group[] {
  const keys = new Map(file.results.map(({ run, workload }) => [`${run} ${workload}`, { run, workload }]));
  return [...keys.values()].map(({ run, workload }) => {
    const service = serviceOf(workload);
    const machine = file.machines?.[service] ?? file.machine;
    const results = file.results.filter((result) => result.run === run && result.workload === workload);
    return { path, run, workload, service, machine, versions: file.versions, results };
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
  return difference === 0 ? a.run >= b.run : difference > 0;
}

/** The better of two by a name of theirs. */
function bestBy(groups: readonly Group[], nameOf: (group: Group) => string): Map<string, Group> {
  const best = new Map<string, Group>();
  for (const group of groups) {
    const present = best.get(nameOf(group));
    if (present === undefined || isBetter(group, present)) best.set(nameOf(group), group);
  }
  return best;
}

/**
 * The newest run of each workload that measured ours. Figures of different runs are never mixed within a workload, because only ratios
 * within one run mean anything; and all workloads of a service are of one machine, that of its newest run, because targets compare some of them.
 * Throws when nothing is left, or when the files named measured a service on different machines (`strict`).
 */
export function select(sources: readonly Source[], options: { readonly quick: boolean; readonly strict: boolean }): Selection {
  if (sources.length === 0) throw new Error("there are no results yet; npm run bench -- run … makes some");
  const leftOut: string[] = [];
  const usable = sources.flatMap(groupsOf).filter(({ path, results, workload }) => {
    const isLeftOut = !options.quick && isQuick(results);
    if (isLeftOut) leftOut.push(`${path}: ${workload} is a quick run (--quick takes it)`);
    return !isLeftOut;
  });
  const newest = bestBy(usable, ({ service }) => service);
  const fitting = usable.filter(({ machine, path, service, workload }) => {
    const fits = sameMachine(newest.get(service)?.machine ?? machine, machine);
    if (fits) return true;
    if (options.strict)
      throw new Error(`${path}: ${workload} was measured on another machine (${machine.cpu}); a service is reported of one`);
    leftOut.push(`${path}: ${workload} was measured on another machine`);
    return false;
  });
  if (fitting.length === 0) throw new Error(`no result can be used:\n${leftOut.join("\n")}`);
  const groups = [...bestBy(fitting, ({ workload }) => workload).values()];
  const byAge = [...groups].sort((a, b) => (a.run < b.run ? -1 : 1));
  return {
    machines: Object.fromEntries([...newest].map(([service, { machine }]) => [service, machine])),
    versions: Object.assign({}, ...byAge.map(({ versions }) => versions)) as Record<string, string>,
    results: groups.flatMap(({ results }) => results),
    leftOut,
  };
}
