import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const mountPoint = "/sys/fs/cgroup";

/** A cgroup with a limit of memory, around one process and its children. */
export interface MemoryCgroup {
  /** Version 1 counts the page cache as version 2 does, but knows no limit of dirty pages of its own. */
  readonly version: 1 | 2;
  add(pid: number): void;
  /** Times the kernel killed something inside for want of memory. */
  kills(): number;
  /** After its processes have ended. */
  remove(): void;
}

/** Where a version keeps its groups, how it is told the limits, and where it counts what it has killed. */
interface Hierarchy {
  readonly version: 1 | 2;
  readonly parent: string;
  readonly limit: string;
  /** No swap: in version 1 it is counted with the memory. */
  readonly swap: readonly [file: string, value: string];
  readonly events: string;
}

/** The memory controller belongs to one of the versions; a machine may have both mounted. */
function hierarchyIn(mount: string, maxBytes: number): Hierarchy | string {
  const controllers = join(mount, "cgroup.controllers");
  if (existsSync(controllers) && readFileSync(controllers, "utf8").trim().split(/\s+/).includes("memory")) {
    return { version: 2, parent: mount, limit: "memory.max", swap: ["memory.swap.max", "0"], events: "memory.events" };
  }
  const parent = join(mount, "memory");
  if (existsSync(join(parent, "memory.limit_in_bytes"))) {
    const swap = ["memory.memsw.limit_in_bytes", String(maxBytes)] as const;
    return { version: 1, parent, limit: "memory.limit_in_bytes", swap, events: "memory.oom_control" };
  }
  return `no memory controller is mounted at ${mount}, neither of cgroup v2 nor of v1`;
}

/** Of `memory.events` and of `memory.oom_control`: both say it in these words. */
export function oomKillsIn(events: string): number {
  return Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0);
}

/** Makes one, or says why that cannot be. */
export function memoryCgroup(name: string, maxBytes: number, mount: string = mountPoint): MemoryCgroup | string {
  const hierarchy = hierarchyIn(mount, maxBytes);
  if (typeof hierarchy === "string") return hierarchy;
  const { version, parent, limit, swap, events } = hierarchy;
  const folder = join(parent, `trivet-benchmark-${process.pid}-${name}`);
  try {
    if (version === 2) writeFileSync(join(parent, "cgroup.subtree_control"), "+memory");
    mkdirSync(folder);
    writeFileSync(join(folder, limit), String(maxBytes), { flag: "r+" });
    const [swapFile, swapMax] = swap;
    // A kernel may be without an account of swap.
    if (existsSync(join(folder, swapFile))) writeFileSync(join(folder, swapFile), swapMax);
  } catch (error) {
    if (existsSync(folder)) rmdirSync(folder);
    return `cgroup v${version} cannot be used: ${error instanceof Error ? error.message : String(error)}`;
  }
  return {
    version,
    add: (pid) => {
      writeFileSync(join(folder, "cgroup.procs"), String(pid));
    },
    kills: () => oomKillsIn(readFileSync(join(folder, events), "utf8")),
    remove: () => {
      rmdirSync(folder);
    },
  };
}
