import type { Prng } from "@trivet/core";
import {
  type ClockView,
  type FileFault,
  type FileOperation,
  type FileStore,
  type MemoryClock,
  MemoryFiles,
  type MemoryFilesOptions,
} from "@trivet/engine";

import { SimStores } from "./stores.ts";
import type { Totals } from "./totals.ts";

const syncing: ReadonlySet<string> = new Set(["sync", "write-durable", "sync-directory"]);
/** Small files whose damage needs a person, not the protocol (docs/operations.md). */
const neverRotten: readonly string[] = ["identity.json", "founding.json", "LOCK"];

/** A machine's disk: outlives programs, is slow, stalls, fails, fills up, rots, and forgets what was not synced when the power goes. */
export class SimDisk {
  private readonly files: MemoryFiles;
  /** Of the shards; null in a world without them. */
  readonly stores: SimStores | null;
  private readonly clock: MemoryClock;
  private readonly prng: Prng;
  private readonly totals: Totals;
  private readonly machine: string;
  private slowness = 1;
  private stalledUntil = 0;
  private stalledFiles = "";
  private failing = false;
  /** Operations left until `armed` runs, in the middle of the last of them. */
  private fuse = 0;
  private armed: (() => void) | null = null;
  private full = false;

  constructor(clock: MemoryClock, machine: string, prng: Prng, totals: Totals, storesPrng: Prng | null = null) {
    this.clock = clock;
    this.machine = machine;
    this.prng = prng;
    this.totals = totals;
    this.files = new MemoryFiles(clock, this.options(null));
    const mood = {
      stalledMs: (): number => (this.stalledFiles === "" ? Math.max(0, this.stalledUntil - clock.now()) : 0),
      slowness: (): number => this.slowness,
      takeFailure: (): boolean => this.takeFailure(),
      isFull: (): boolean => this.full,
    };
    this.stores = storesPrng === null ? null : new SimStores(clock, storesPrng, totals, mood);
  }

  /** The file port of a program that starts now. */
  mount(process: ClockView): FileStore {
    this.files.clock = process;
    return this.files;
  }

  unmount(powerLoss: boolean): void {
    this.armed = null;
    this.stores?.unmount(powerLoss);
    if (!powerLoss) {
      this.files.endProcess();
      return;
    }
    const before = this.files.copy();
    const durable = this.files.copy();
    durable.crash(this.prng.fork(), { unsynced: "none" });
    this.files.crash(this.prng);
    this.countLosses(before, durable);
  }

  slow(factor: number): void {
    this.slowness = factor;
  }
  /** Nothing completes before that virtual time, on files whose path begins so: files are flushed independently of each other. */
  stall(until: number, files: string = ""): void {
    this.stalledUntil = Math.max(this.stalledUntil, until);
    this.stalledFiles = files;
  }
  /** The next sync fails. */
  failSync(): void {
    this.failing = true;
  }
  /** Runs `strike` in the middle of the `operations`-th operation from now: a crash between any two steps, not only between idle moments. */
  arm(operations: number, strike: () => void): void {
    this.fuse = operations;
    this.armed = strike;
  }
  /** Leaves `freeBytes`; null = as large as it was. */
  fill(freeBytes: number | null): void {
    this.full = freeBytes !== null;
    this.files.options = this.options(freeBytes === null ? null : this.files.usedBytes() + freeBytes);
  }

  /** Only the shards' stores: they lie on the same disk, but the log has its room beforehand. */
  fillStores(full: boolean): void {
    if (this.stores !== null) this.stores.full = full;
  }

  /** Flips one bit in the log or in a snapshot. Null = there is nothing to rot yet. */
  rot(): string | null {
    if (this.stores !== null && this.prng.chance(0.5)) return this.stores.rot();
    const candidates = this.files.paths().filter((path) => {
      const name = path.slice(path.lastIndexOf("/") + 1);
      return !neverRotten.includes(name) && (this.files.contents(path)?.length ?? 0) > 0;
    });
    if (candidates.length === 0) return null;
    const path = this.prng.pick(candidates);
    const length = this.files.contents(path)?.length ?? 1;
    const offset = this.prng.below(length);
    this.files.flipBit(path, offset, this.prng.below(8));
    this.totals.add("bits flipped");
    return `${path} at ${offset} of ${length}`;
  }

  /** Damages the end of the log: its last batch cannot be read, and nothing shows that it was never written whole. */
  rotEnd(): void {
    const newest = this.files.paths().findLast((path) => path.startsWith("wal/") && path.endsWith(".wal"));
    if (newest === undefined) return;
    // Behind the last batch there may be zeros, room for the next ones.
    const end = (this.files.contents(newest)?.findLastIndex((byte) => byte !== 0) ?? -1) + 1;
    if (end >= 3) this.files.flipBit(newest, end - 3, 2);
  }

  /** Damages the last file by name whose path begins so, in its middle. */
  rotLast(prefix: string): void {
    const path = this.files
      .paths()
      .filter((candidate) => candidate.startsWith(prefix))
      .sort()
      .at(-1);
    if (path !== undefined) this.files.flipBit(path, (this.files.contents(path)?.length ?? 0) >> 1, 3);
  }

  wipe(): void {
    this.files.erase();
    this.stores?.wipe();
  }

  heal(): void {
    this.slowness = 1;
    this.stalledUntil = 0;
    this.failing = false;
    this.armed = null;
    this.fill(null);
    this.fillStores(false);
  }

  describe(): string {
    return `${this.machine}: ${this.files.paths().length} files, ${this.files.usedBytes()} bytes`;
  }

  private options(quotaBytes: number | null): MemoryFilesOptions {
    return {
      latencyMs: (operation) => this.latency(operation),
      fault: (operation) => this.fault(operation),
      ...(quotaBytes === null ? {} : { quotaBytes }),
    };
  }

  private latency(operation: FileOperation): number {
    const latency = this.plainLatency(operation);
    if (this.armed !== null && latency > 0) {
      this.fuse -= 1;
      if (this.fuse <= 0) {
        this.clock.schedule(latency * this.prng.next(), this.armed);
        this.armed = null;
      }
    }
    return latency;
  }

  private plainLatency(operation: FileOperation): number {
    const base = syncing.has(operation.type) ? 0.15 : operation.type === "write" || operation.type === "read" ? 0.02 : 0;
    if (base === 0) return 0;
    return (base - base * Math.log(1 - this.prng.next()) + operation.bytes / 500_000) * this.slowness;
  }

  private fault(operation: FileOperation): FileFault | null {
    const now = this.clock.now();
    if (this.stalledUntil > now && operation.path.startsWith(this.stalledFiles)) return { type: "delay", ms: this.stalledUntil - now };
    if (syncing.has(operation.type) && this.takeFailure()) {
      this.totals.add("failed syncs");
      return { type: "error", code: "io" };
    }
    return null;
  }

  private takeFailure(): boolean {
    const { failing } = this;
    this.failing = false;
    return failing;
  }

  /** Compares what was seen, what was surely on the platter, and what came through. */
  private countLosses(before: MemoryFiles, durable: MemoryFiles): void {
    for (const path of before.paths()) {
      const seen = before.contents(path);
      const now = this.files.contents(path);
      if (equal(seen, now)) continue;
      this.totals.add("lost unsynced writes");
      if (now !== undefined && !equal(durable.contents(path), now)) this.totals.add("torn writes");
    }
  }
}

function equal(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
