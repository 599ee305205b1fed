import { spawnSync } from "node:child_process";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { start, type Started } from "./processes.ts";
import { ready, waitFor } from "./wait.ts";

const isRoot = process.getuid?.() === 0;

/** Can this machine mount a small file system? Tests that need one are skipped, and counted, where it cannot. */
export const canMount: boolean = isRoot && spawnSync("mount", ["--version"]).status === 0;
/** Can this machine make system calls of a process fail? */
export const canTrace: boolean = spawnSync("strace", ["-o", "/dev/null", "true"]).status === 0;

/** A file system of a few megabytes in memory. */
export interface SmallDisk {
  readonly path: string;
  /** Fills it but for `leaveBytes`. */
  fill(leaveBytes: number): void;
  empty(): void;
  unmount(): void;
}

export function mountSmallDisk(path: string, megabytes: number): SmallDisk {
  mkdirSync(path, { recursive: true });
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", path], { encoding: "utf8" });
  if (mounted.status !== 0) throw new Error(`mount ${path}: ${mounted.stderr}`);
  const filler = join(path, "filler");
  return {
    path,
    fill: (leaveBytes) => {
      // The node writes meanwhile: what was free a moment ago may not be any more.
      for (let tries = 1; ; tries += 1) {
        const free = Number(spawnSync("df", ["--output=avail", "-B1", path], { encoding: "utf8" }).stdout.trim().split("\n").at(-1));
        const done = spawnSync("fallocate", ["-l", String(Math.max(4_096, free - leaveBytes)), filler], { encoding: "utf8" });
        if (done.status === 0) return;
        if (tries === 20) throw new Error(`fallocate ${filler}: ${done.stderr}`);
      }
    },
    empty: () => void spawnSync("rm", ["-f", filler]),
    // Lazy: a process that still holds a file there does not keep the test from ending.
    unmount: () => void spawnSync("umount", ["-l", path]),
  };
}

/** Can this machine make a file system in a file, and mount it? */
export const canMountImage: boolean = canMount && spawnSync("mkfs.ext4", ["-V"]).status === 0 && spawnSync("losetup", ["-f"]).status === 0;

/** A file system on a disk that is a file: what the file holds is what a power loss leaves. */
export interface ImageDisk {
  readonly path: string;
  /** The disk as it is at this moment, as a disk of its own at `path`. */
  copyTo(path: string): ImageDisk;
  unmount(): void;
}

export function mountImageDisk(path: string, megabytes: number): ImageDisk {
  const image = `${path}.img`;
  must("truncate", ["-s", `${megabytes}M`, image]);
  must("mkfs.ext4", ["-q", "-F", image]);
  return mountImage(image, path);
}

function mountImage(image: string, path: string): ImageDisk {
  mkdirSync(path, { recursive: true });
  must("mount", ["-o", "loop", image, path]);
  return {
    path,
    copyTo: (copy) => {
      must("cp", ["--sparse=always", image, `${copy}.img`]);
      return mountImage(`${copy}.img`, copy);
    },
    unmount: () => void spawnSync("umount", ["-l", path]),
  };
}

function must(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? stderr}`);
}

const durableCalls = "fsync,fdatasync,sync_file_range,pwrite64,pwritev,pwritev2";

/**
 * From now on every durable write of the process fails with EIO: calls that sync, and writes at a position, which the log makes on a
 * descriptor opened with O_DSYNC (its other files are written as streams).
 */
export function failDurableWrites(pid: number, cwd: string): Promise<Started> {
  return injectInto(pid, cwd, "error=EIO");
}

/** From now on, until the returned process ends (SIGINT), each of them takes so much longer. */
export function slowDurableWrites(pid: number, cwd: string, byMs: number): Promise<Started> {
  return injectInto(pid, cwd, `delay_enter=${byMs * 1_000}`);
}

async function injectInto(pid: number, cwd: string, what: string): Promise<Started> {
  const inject = ["-e", `trace=${durableCalls}`, "-e", `inject=${durableCalls}:${what}`];
  const strace = start("strace", ["-f", "-qq", ...inject, "-o", "/dev/null", "-p", String(pid)], { cwd });
  await waitFor(`strace to hold ${pid}`, () => {
    if (strace.hasExited()) throw new Error(`strace ended: ${strace.output()}`);
    const tracer = /^TracerPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return tracer === String(strace.pid) ? ready(true) : `tracer is ${tracer}`;
  });
  return strace;
}

/** Every file below `folder`. */
export function filesIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Flips one bit in the middle of what was written to the log of a stopped node. Gives the file and the position. */
export function rotLog(dataDir: string): { readonly file: string; readonly offset: number } {
  const file = filesIn(join(dataDir, "wal")).toSorted((a, b) => written(b) - written(a))[0];
  if (file === undefined) throw new Error(`no log in ${dataDir}: ${filesIn(dataDir).join(", ")}`);
  const offset = Math.floor(written(file) / 2);
  const handle = openSync(file, "r+");
  try {
    const byte = Buffer.alloc(1);
    readSync(handle, byte, 0, 1, offset);
    byte[0] = (byte[0] ?? 0) ^ 0x10;
    writeSync(handle, byte, 0, 1, offset);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  return { file, offset };
}

// Segments may be allocated ahead: the zeros behind the last record do not count.
function written(file: string): number {
  const bytes = readFileSync(file);
  let end = statSync(file).size;
  while (end > 0 && bytes[end - 1] === 0) end -= 1;
  return end;
}
