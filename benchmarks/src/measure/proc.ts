import { readFileSync } from "node:fs";

/** Clock ticks per second of the CPU times in /proc; fixed at 100 for user space on every Linux architecture. */
const ticksPerSecond = 100;

/** What the kernel knows about one process. Null where it does not say (not Linux, or the process is gone). */
export interface ProcessUsage {
  readonly cpu_s: number | null;
  /** Bytes the process caused to be sent to the storage layer (whole pages), not the bytes it passed to write(). */
  readonly written_bytes: number | null;
  readonly rss_bytes: number | null;
  readonly rss_anon_bytes: number | null;
}

/** utime + stime of /proc/<pid>/stat. The name in parentheses may hold spaces and parentheses itself. */
export function parseCpuSeconds(stat: string): number | null {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const user = Number(fields[11]);
  const system = Number(fields[12]);
  return Number.isFinite(user) && Number.isFinite(system) ? (user + system) / ticksPerSecond : null;
}

/** A `name: value [kB]` line of /proc/<pid>/io or /proc/<pid>/status; kB are turned into bytes. */
export function parseField(text: string, name: string): number | null {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name}:`));
  if (line === undefined) return null;
  const [value, unit] = line
    .slice(name.length + 1)
    .trim()
    .split(/\s+/);
  const number = Number(value);
  if (!Number.isFinite(number)) return null;
  return unit === "kB" ? number * 1024 : number;
}

/** CPU time of the whole machine in seconds over all cores. */
export interface MachineCpu {
  /** In processes and kernel threads; without interrupts, which nobody's process is charged for. */
  readonly busy_s: number;
  /** Wanted, but given to another guest by the hypervisor. */
  readonly stolen_s: number;
  readonly total_s: number;
}

/** The first line of /proc/stat. */
export function parseMachineCpu(stat: string): MachineCpu | null {
  const line = stat.split("\n").find((candidate) => candidate.startsWith("cpu "));
  if (line === undefined) return null;
  const times = line.trim().split(/\s+/).slice(1, 9).map(Number);
  if (times.length < 8 || times.some((time) => !Number.isFinite(time))) return null;
  const [user = 0, nice = 0, system = 0, , , , , stolen = 0] = times;
  const total = times.reduce((sum, time) => sum + time, 0);
  return { busy_s: (user + nice + system) / ticksPerSecond, stolen_s: stolen / ticksPerSecond, total_s: total / ticksPerSecond };
}

/** A file of /proc, or null where it does not exist: the caller reports the figure as unknown. */
function readProc(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

export function usageOf(pid: number): ProcessUsage {
  const stat = readProc(`/proc/${pid}/stat`);
  const io = readProc(`/proc/${pid}/io`);
  const status = readProc(`/proc/${pid}/status`);
  return {
    cpu_s: stat === null ? null : parseCpuSeconds(stat),
    written_bytes: io === null ? null : parseField(io, "write_bytes"),
    rss_bytes: status === null ? null : parseField(status, "VmRSS"),
    rss_anon_bytes: status === null ? null : parseField(status, "RssAnon"),
  };
}

export function machineCpu(): MachineCpu | null {
  const stat = readProc("/proc/stat");
  return stat === null ? null : parseMachineCpu(stat);
}
