import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, statfsSync, writeSync } from "node:fs";
import { arch, cpus, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { percentileOf } from "../driver/statistics.ts";

/** The machine a result was measured on. Holds nothing that names its owner. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_bytes: number;
  readonly os: string;
  readonly kernel: string;
  readonly arch: string;
  readonly node: string;
  readonly filesystem: string;
  /** Append of 4 KiB + fdatasync where the data directories lie, median of 200: below 0.02 ms nothing is really flushed. */
  readonly fdatasync_p50_ms: number;
}

const magic: Readonly<Record<number, string>> = {
  0xef53: "ext4",
  0x58465342: "xfs",
  0x9123683e: "btrfs",
  0x01021994: "tmpfs",
  0x794c7630: "overlayfs",
  0x2fc12fc1: "zfs",
};

/** Name of the file system of a directory, `0x…` when unknown. */
export function filesystemOf(directory: string): string {
  const { type } = statfsSync(directory);
  return magic[type] ?? `0x${type.toString(16)}`;
}

function probeFdatasync(directory: string): number {
  const path = join(directory, "fdatasync-probe");
  const block = Buffer.alloc(4096, 7);
  const times: number[] = [];
  const fd = openSync(path, "w");
  try {
    for (let round = 0; round < 200; round++) {
      const start = performance.now();
      writeSync(fd, block);
      fdatasyncSync(fd);
      times.push(performance.now() - start);
    }
  } finally {
    closeSync(fd);
    rmSync(path);
  }
  return percentileOf(times, 0.5) ?? 0;
}

function distribution(): string {
  try {
    const line = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"));
    return line?.[1] ?? platform();
  } catch {
    return platform();
  }
}

/** `dataDirectory`: where the subjects will keep their files. */
export function describeMachine(dataDirectory: string): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memory_bytes: totalmem(),
    os: distribution(),
    kernel: release(),
    arch: arch(),
    node: process.version,
    filesystem: filesystemOf(dataDirectory),
    fdatasync_p50_ms: Number(probeFdatasync(dataDirectory).toFixed(4)),
  };
}

/** Whether two results come from one machine: what a person would change by moving to another one. */
export function sameMachine(a: Machine, b: Machine): boolean {
  return a.cpu === b.cpu && a.cores === b.cores && Math.abs(a.memory_bytes - b.memory_bytes) < 2 ** 26 && a.arch === b.arch;
}
