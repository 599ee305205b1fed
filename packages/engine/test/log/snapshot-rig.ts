import { Prng, groupId, logIndex, term } from "@trivet/core";
import type { GroupId, SnapshotMeta } from "@trivet/core";
import { MemoryClock, MemoryCrypto, MemoryFiles, NullTelemetry, openSnapshotStore } from "@trivet/engine";
import type { ClockView, FileFault, FileOperation, IoError, SnapshotStoreApi, WalFinding } from "@trivet/engine";
import { expect } from "vitest";
import { membershipOf } from "./wal-rig.ts";

export const directory: string = "snapshots/0";
export const group: GroupId = groupId(0);

export class SnapshotRig {
  readonly clock = new MemoryClock();
  private life: ClockView = this.clock.view();
  readonly files: MemoryFiles;
  fatals: IoError[] = [];
  fault: ((operation: FileOperation) => FileFault | null) | null = null;
  operations = 0;
  stopAt = Number.POSITIVE_INFINITY;
  findings: readonly WalFinding[] = [];

  constructor(files?: MemoryFiles) {
    this.files = files ?? new MemoryFiles(this.clock);
    this.files.clock = this.life;
    this.files.options = {
      fault: (operation) => {
        this.operations++;
        return this.fault?.(operation) ?? null;
      },
    };
  }

  run(): void {
    while (this.operations < this.stopAt && this.clock.step());
  }

  restart(how: "kill" | Prng = "kill"): void {
    this.life.kill();
    this.life = this.clock.view();
    this.files.clock = this.life;
    if (how === "kill") this.files.endProcess();
    else this.files.crash(how);
    this.stopAt = Number.POSITIVE_INFINITY;
  }

  open(of = group): SnapshotStoreApi {
    let store: SnapshotStoreApi | null = null;
    const ports = { files: this.files, clock: this.life, crypto: new MemoryCrypto(), telemetry: new NullTelemetry() };
    openSnapshotStore(
      ports,
      { directory, group: of },
      (error) => this.fatals.push(error),
      (error, opened, findings) => {
        if (error !== null) throw error;
        store = opened;
        this.findings = findings;
      },
    );
    this.run();
    if (store === null) throw new Error("the store did not open");
    return store;
  }

  /** Writes a snapshot; null = it died meanwhile. */
  write(store: SnapshotStoreApi, index: number, chunks: readonly Uint8Array[] = chunksOf(index)): SnapshotMeta | null {
    const writer = store.create(description(index));
    let written = 0;
    for (const chunk of chunks) writer.write(chunk, () => written++);
    let meta: SnapshotMeta | null = null;
    writer.finish((finished) => {
      expect(written).toBe(chunks.length);
      meta = finished;
    });
    this.run();
    return meta;
  }

  /** What is in it, or the error that stopped the reading. */
  read(store: SnapshotStoreApi, meta: SnapshotMeta): Uint8Array[] | IoError {
    let outcome: Uint8Array[] | IoError | null = null;
    const chunks: Uint8Array[] = [];
    store.open(meta, (error, reader) => {
      if (reader === null) {
        outcome = error;
        return;
      }
      const next = (): void =>
        reader.next((error, chunk) => {
          if (error === null && chunk !== null) {
            chunks.push(new Uint8Array(chunk));
            return next();
          }
          outcome = error ?? chunks;
          reader.close();
        });
      next();
    });
    this.run();
    if (outcome === null) throw new Error("the snapshot was not read");
    return outcome;
  }
}

export function description(index: number): Omit<SnapshotMeta, "bytes"> {
  return {
    id: `0-${index}-3-nödé/1`,
    index: logIndex(index),
    term: term(3),
    membership: membershipOf("a", "b", "c"),
    membershipIndex: logIndex(2),
  };
}

export function chunksOf(index: number): Uint8Array[] {
  const prng = new Prng(index);
  return Array.from({ length: 4 }, () => Uint8Array.from({ length: prng.between(1, 700) }, () => prng.between(1, 255)));
}

export const fileOf = (rig: SnapshotRig, index: number): string => {
  const found = rig.files.paths().find((path) => path.startsWith(`${directory}/${index.toString().padStart(16, "0")}`));
  if (found === undefined) throw new Error(`no snapshot ${index}`);
  return found;
};
