import { IoError } from "../ports/file.ts";
import type { Done, DoneWith, FileHandle, IoErrorCode } from "../ports/file.ts";
import type { FileContent } from "./file-content.ts";

export type FileOperationType =
  | "open"
  | "write"
  | "write-durable"
  | "read"
  | "sync"
  | "truncate"
  | "size"
  | "close"
  | "list"
  | "make-directory"
  | "rename"
  | "remove"
  | "remove-tree"
  | "sync-directory"
  | "lock"
  | "free-bytes";

export interface FileOperation {
  readonly type: FileOperationType;
  readonly path: string;
  readonly bytes: number;
}

/** What a test or the simulator makes of an operation. */
export type FileFault =
  | { readonly type: "error"; readonly code: IoErrorCode }
  | { readonly type: "delay"; readonly ms: number }
  /** It never comes back: a hung disk. */
  | { readonly type: "stall" }
  /** A sync that reports success and does nothing. */
  | { readonly type: "lie" };

/** Operations of one handle (or on names) that must complete in order. */
export interface Lane {
  /** Operations waiting for a timer. */
  timed: number;
  readyAt: number;
}

/** Quota of a disk that has none. */
export const hugeDisk: number = 2 ** 50;

/** The disk that a handle belongs to. */
export interface HandleDisk {
  /** False for what belongs to a process that ended. */
  isCurrent(life: number): boolean;
  quota(): number;
  usedBytes(): number;
  /** Performs `effect` when the operation's time has come, and reports. `failed` is called before an injected error is reported. */
  run<T>(
    operation: FileOperation,
    lane: Lane,
    done: (error: IoError | null, value: T | undefined) => void,
    effect: (fault: FileFault | null) => T,
    failed?: () => void,
  ): void;
}

export class MemoryHandle implements FileHandle {
  readonly path: string;
  private readonly disk: HandleDisk;
  private readonly file: FileContent;
  private readonly lane: Lane = { timed: 0, readyAt: 0 };
  private readonly life: number;
  private closed = false;

  constructor(disk: HandleDisk, path: string, file: FileContent, life: number) {
    this.disk = disk;
    this.path = path;
    this.file = file;
    this.life = life;
  }

  write(position: number, chunks: readonly Uint8Array[], done: Done): void {
    const bytes = sizeOf(chunks);
    // At once, like everything that later calls must see: a crash before it completes may keep a part of it.
    const full = this.put(position, chunks, bytes);
    this.run("write", bytes, done, () => this.checkSpace(full, "write"));
  }

  writeDurable(position: number, chunks: readonly Uint8Array[], done: Done): void {
    const bytes = sizeOf(chunks);
    const full = this.put(position, chunks, bytes);
    const serial = this.file.lastChange;
    this.run(
      "write-durable",
      bytes,
      done,
      (fault) => {
        this.checkSpace(full, "write-durable");
        if (fault?.type !== "lie") this.file.sync(serial);
      },
      () => this.file.loseUnsynced(serial),
    );
  }

  read(position: number, length: number, done: DoneWith<Uint8Array>): void {
    const bytes = this.file.read(position, length);
    this.run("read", length, done, () => bytes);
  }

  sync(done: Done): void {
    const serial = this.file.lastChange;
    this.run(
      "sync",
      0,
      done,
      (fault) => {
        if (fault?.type !== "lie") this.file.sync(serial);
      },
      () => this.file.loseUnsynced(serial),
    );
  }

  truncate(length: number, done: Done): void {
    this.file.truncate(length);
    this.run("truncate", length, done, () => {});
  }

  size(done: DoneWith<number>): void {
    const { length } = this.file;
    this.run("size", 0, done, () => length);
  }

  close(done: Done): void {
    this.run("close", 0, done, () => {});
    this.closed = true;
  }

  private run<T>(
    type: FileOperationType,
    bytes: number,
    done: (error: IoError | null, value: T | undefined) => void,
    effect: (fault: FileFault | null) => T,
    failed?: () => void,
  ): void {
    const { path } = this;
    if (this.closed) throw new IoError("io", type, path, new Error("the handle is closed"));
    if (!this.disk.isCurrent(this.life)) return;
    this.disk.run({ type, path, bytes }, this.lane, done, effect, failed);
  }

  /** True when the disk is full; like a real one it takes what fits. */
  private put(position: number, chunks: readonly Uint8Array[], bytes: number): boolean {
    if (!this.disk.isCurrent(this.life)) return false;
    const grows = Math.max(0, position + bytes - this.file.length);
    const quota = this.disk.quota();
    const over = quota >= hugeDisk ? 0 : this.disk.usedBytes() + grows - quota;
    if (over <= 0 || grows === 0) {
      this.file.write(position, chunks);
      return false;
    }
    const whole = new Uint8Array(bytes);
    let at = 0;
    for (const chunk of chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    this.file.write(position, [whole.subarray(0, Math.max(0, bytes - over))]);
    return true;
  }

  private checkSpace(full: boolean, operation: string): void {
    if (full) throw new IoError("no-space", operation, this.path);
  }
}

function sizeOf(chunks: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const chunk of chunks) bytes += chunk.length;
  return bytes;
}
