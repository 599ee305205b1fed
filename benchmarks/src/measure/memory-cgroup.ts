import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const mount = "/sys/fs/cgroup";

/** A cgroup of version 2 with a limit of memory, around one process and its children. */
export interface MemoryCgroup {
  add(pid: number): void;
  /** Times the kernel killed something inside. */
  kills(): number;
  /** After its processes have ended. */
  remove(): void;
}

/** Makes one, or says why that cannot be. */
export function memoryCgroup(name: string, maxBytes: number): MemoryCgroup | string {
  const controllers = join(mount, "cgroup.controllers");
  if (!existsSync(controllers)) return "cgroup v2 is not what is mounted at /sys/fs/cgroup";
  if (!readFileSync(controllers, "utf8").split(/\s+/).includes("memory")) return "the memory controller of cgroup v2 is not available";
  const folder = join(mount, `trivet-benchmark-${process.pid}-${name}`);
  try {
    writeFileSync(join(mount, "cgroup.subtree_control"), "+memory");
    mkdirSync(folder);
    writeFileSync(join(folder, "memory.max"), String(maxBytes));
    if (existsSync(join(folder, "memory.swap.max"))) writeFileSync(join(folder, "memory.swap.max"), "0");
  } catch (error) {
    if (existsSync(folder)) rmdirSync(folder);
    return `cgroup v2 cannot be used: ${error instanceof Error ? error.message : String(error)}`;
  }
  return {
    add: (pid) => {
      writeFileSync(join(folder, "cgroup.procs"), String(pid));
    },
    kills: () => Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(folder, "memory.events"), "utf8"))?.[1] ?? 0),
    remove: () => {
      rmdirSync(folder);
    },
  };
}
