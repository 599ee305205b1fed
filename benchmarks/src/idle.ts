import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { usageOf, type ProcessUsage } from "./measure/proc.ts";
import { ProcessKeeper } from "./processes.ts";
import { trivet } from "./subjects/trivet.ts";

/** What an idle node may take. */
const targets = { cpuPercent: 2, rssMib: 140 } as const;

export interface NodeAtRest {
  readonly role: string;
  /** Of one core. Null where the kernel does not tell. */
  readonly cpuPercent: number | null;
  readonly rssMib: number | null;
  readonly anonymousMib: number | null;
}

const mib = (bytes: number | null): number | null => (bytes === null ? null : Math.round((bytes / 1_048_576) * 10) / 10);

export function atRest(role: string, before: ProcessUsage, after: ProcessUsage, seconds: number): NodeAtRest {
  const cpu = before.cpu_s === null || after.cpu_s === null ? null : ((after.cpu_s - before.cpu_s) / seconds) * 100;
  return {
    role,
    cpuPercent: cpu === null ? null : Math.round(cpu * 100) / 100,
    rssMib: mib(after.rss_bytes),
    anonymousMib: mib(after.rss_anon_bytes),
  };
}

const atMost = (value: number | null, most: number): boolean => value !== null && value <= most;

/** Each node by itself. What is not known is not within. */
export function isWithin(nodes: readonly NodeAtRest[]): boolean {
  return nodes.every(({ cpuPercent, rssMib }) => atMost(cpuPercent, targets.cpuPercent) && atMost(rssMib, targets.rssMib));
}

/**
 * Three nodes that nobody calls: what they take. True when that is within the targets. After `settle` seconds it is over what a start leaves to do: placing
 * the shards, the first snapshots, collecting what was loaded, compiling what has become hot.
 */
export async function measureIdle(
  parent: string,
  { seconds, settle }: { readonly seconds: number; readonly settle: number },
  say: (line: string) => void,
): Promise<boolean> {
  const directory = mkdtempSync(join(parent, "idle-"));
  const keeper = new ProcessKeeper();
  try {
    const cluster = await trivet.start({ keeper, directory });
    await pause(settle * 1_000);
    const nodes = await cluster.participants();
    const before = nodes.map(({ pid }) => usageOf(pid));
    const begun = performance.now();
    await pause(seconds * 1_000);
    const elapsed = (performance.now() - begun) / 1_000;
    const rest = nodes.map(({ pid, role }, at) => atRest(role, before[at] as ProcessUsage, usageOf(pid), elapsed));
    for (const { anonymousMib, cpuPercent, role, rssMib } of rest)
      say(
        `${role.padEnd(9)} ${String(cpuPercent).padStart(6)} % of a core   RSS ${String(rssMib).padStart(6)} MiB (${anonymousMib} MiB its own)`,
      );
    const cpu = rest.reduce((sum, { cpuPercent }) => sum + (cpuPercent ?? 0), 0);
    const within = isWithin(rest);
    say(
      `cluster   ${cpu.toFixed(2).padStart(6)} % of a core over ${Math.round(elapsed)} s, ${settle} s after they were up; wanted per node: at most ${targets.cpuPercent} %, and ${targets.rssMib} MiB: ${within ? "met" : "MISSED"}`,
    );
    await cluster.stop();
    return within;
  } finally {
    await keeper.stopAll();
    rmSync(directory, { recursive: true, force: true });
  }
}
