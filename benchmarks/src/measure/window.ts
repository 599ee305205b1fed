import { machineCpu, usageOf, type MachineCpu, type ProcessUsage } from "./proc.ts";

/** A process that takes part in a measurement. */
export interface Participant {
  readonly role: "leader" | "follower" | "node" | "client";
  readonly pid: number;
}

/** What a measurement cost between two readings. Null: the kernel or the subject does not say. */
export interface Cost {
  readonly cpu_s: number | null;
  readonly cpu_s_by_role: Readonly<Record<string, number>>;
  readonly written_bytes: number | null;
  readonly fsyncs: number | null;
  /** The largest of the servers' processes at the end. */
  readonly rss_bytes: number | null;
  readonly rss_anon_bytes: number | null;
  /** Share of the machine that processes outside this measurement used: above a few per cent the figures are not to be trusted. */
  readonly foreign_cpu: number | null;
  /** Share of the machine that the hypervisor gave to others. */
  readonly stolen_cpu: number | null;
}

/** Of a run whose processes come and go: their counters do not add up. */
export const unknownCost: Cost = {
  cpu_s: null,
  cpu_s_by_role: {},
  written_bytes: null,
  fsyncs: null,
  rss_bytes: null,
  rss_anon_bytes: null,
  foreign_cpu: null,
  stolen_cpu: null,
};

function difference(after: number | null, before: number | null): number | null {
  return after === null || before === null ? null : after - before;
}

/** Adds up; one unknown makes the sum unknown. */
function total(values: readonly (number | null)[]): number | null {
  let sum = 0;
  for (const value of values) {
    if (value === null) return null;
    sum += value;
  }
  return sum;
}

function largest(values: readonly (number | null)[]): number | null {
  const known = values.filter((value): value is number => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}

/** Readings of all participants at one moment. */
export interface Reading {
  readonly usages: readonly ProcessUsage[];
  readonly machine: MachineCpu | null;
  readonly fsyncs: number | null;
}

/** `fsyncs`: the subject's own counter over all nodes, where it has one. */
export function read(participants: readonly Participant[], fsyncs: number | null): Reading {
  return { usages: participants.map(({ pid }) => usageOf(pid)), machine: machineCpu(), fsyncs };
}

export function costBetween(participants: readonly Participant[], before: Reading, after: Reading): Cost {
  const cpu = participants.map((_, index) => difference(after.usages[index]?.cpu_s ?? null, before.usages[index]?.cpu_s ?? null));
  const byRole: Record<string, number> = {};
  for (const [index, { role }] of participants.entries()) {
    const used = cpu[index];
    if (used !== null && used !== undefined) byRole[role] = (byRole[role] ?? 0) + used;
  }
  const servers = participants.flatMap(({ role }, index) => (role === "client" ? [] : [index]));
  const cpuTotal = total(cpu);
  const busy = difference(after.machine?.busy_s ?? null, before.machine?.busy_s ?? null);
  const stolen = difference(after.machine?.stolen_s ?? null, before.machine?.stolen_s ?? null);
  const all = difference(after.machine?.total_s ?? null, before.machine?.total_s ?? null);
  return {
    cpu_s: cpuTotal,
    cpu_s_by_role: byRole,
    written_bytes: total(
      servers.map((index) => difference(after.usages[index]?.written_bytes ?? null, before.usages[index]?.written_bytes ?? null)),
    ),
    fsyncs: difference(after.fsyncs, before.fsyncs),
    rss_bytes: largest(servers.map((index) => after.usages[index]?.rss_bytes ?? null)),
    rss_anon_bytes: largest(servers.map((index) => after.usages[index]?.rss_anon_bytes ?? null)),
    foreign_cpu: busy === null || all === null || cpuTotal === null || all <= 0 ? null : Math.max(0, (busy - cpuTotal) / all),
    stolen_cpu: stolen === null || all === null || all <= 0 ? null : stolen / all,
  };
}
