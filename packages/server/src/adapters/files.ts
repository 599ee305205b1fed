import fs from "node:fs";
import path from "node:path";
import { IoError } from "@trivet/engine";
import type { Done, DoneWith, FileHandle, FileStore, IoErrorCode } from "@trivet/engine";
import { DirectoryLock } from "./files-lock.ts";

const codes: ReadonlyMap<string, IoErrorCode> = new Map([
  ["ENOENT", "not-found"],
  ["ENOTDIR", "not-found"],
  ["EEXIST", "exists"],
  ["ENOSPC", "no-space"],
  ["EDQUOT", "no-space"],
  ["EACCES", "denied"],
  ["EPERM", "denied"],
  ["EROFS", "denied"],
  ["ENOTEMPTY", "not-empty"],
  ["EMFILE", "too-many-open"],
  ["ENFILE", "too-many-open"],
]);

function ioError(operation: string, where: string, cause: unknown): IoError {
  const code = cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "";
  return new IoError(codes.get(code) ?? "io", operation, where, cause);
}

/** The data directory on the file system. Paths given to it are relative to `root`, messages show them whole. */
export class NodeFiles implements FileStore {
  readonly root: string;
  /**
   * How a durable write is done: with O_DSYNC (Linux) one write, one trip through the thread pool; elsewhere a write and a sync, two
   * trips, a third more latency for a small batch.
   */
  private readonly dsync: boolean = process.platform === "linux";
  private readonly held: DirectoryLock[] = [];

  constructor(root: string) {
    this.root = path.resolve(root);
  }

  open(name: string, mode: "read" | "write" | "create", done: DoneWith<FileHandle>): void {
    const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR } = fs.constants;
    const where = this.resolve(name);
    const flags = { read: O_RDONLY, write: O_RDWR, create: O_RDWR | O_CREAT | O_EXCL }[mode];
    fs.open(where, flags, 0o600, (error, descriptor) => {
      if (error === null) done(null, new NodeFileHandle(where, descriptor, this.dsync));
      else done(ioError("open", where, error), undefined);
    });
  }

  list(directory: string, done: DoneWith<readonly string[]>): void {
    const where = this.resolve(directory);
    fs.readdir(where, (error, names) => {
      if (error === null) done(null, names.sort());
      else done(ioError("list", where, error), undefined);
    });
  }

  /** The root itself may be made with its parents, once per machine; everything below one level at a time. */
  makeDirectory(name: string, done: Done): void {
    const where = this.resolve(name);
    if (where !== this.root) return fs.mkdir(where, { mode: 0o700 }, reporting("make-directory", where, done));
    fs.mkdir(where, { mode: 0o700, recursive: true }, (error, made) => {
      if (error !== null) done(ioError("make-directory", where, error));
      else done(made === undefined ? new IoError("exists", "make-directory", where) : null);
    });
  }

  rename(from: string, to: string, done: Done): void {
    const source = this.resolve(from);
    fs.rename(source, this.resolve(to), reporting("rename", source, done));
  }

  remove(name: string, done: Done): void {
    const where = this.resolve(name);
    fs.unlink(where, reporting("remove", where, done));
  }

  removeTree(name: string, done: Done): void {
    const where = this.resolve(name);
    fs.rm(where, { recursive: true, force: true }, reporting("remove-tree", where, done));
  }

  syncDirectory(name: string, done: Done): void {
    const where = this.resolve(name);
    fs.open(where, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY, (error, descriptor) => {
      if (error !== null) return done(ioError("sync-directory", where, error));
      fs.fsync(descriptor, (syncError) => {
        fs.close(descriptor, (closeError) => {
          const failure = syncError ?? closeError;
          done(failure === null || failure === undefined ? null : ioError("sync-directory", where, failure));
        });
      });
    });
  }

  lock(name: string, done: Done): void {
    const where = this.resolve(name);
    DirectoryLock.take(where, (cause, lock) => {
      if (lock !== null) this.held.push(lock);
      if (cause === null) done(null);
      else done(new IoError(lock === null && cause.name === "DirectoryLocked" ? "locked" : "io", "lock", where, cause));
    });
  }

  /** For tests and tools that open a directory and go on living; the process' end does the same. */
  unlock(): void {
    for (const lock of this.held.splice(0)) lock.release();
  }

  freeBytes(done: DoneWith<number>): void {
    fs.statfs(this.root, (error, stats) => {
      if (error === null) done(null, stats.bavail * stats.bsize);
      else done(ioError("free-bytes", this.root, error), undefined);
    });
  }

  private resolve(name: string): string {
    return path.join(this.root, name);
  }
}

/** Calls of one handle complete in the order they were made: each waits for the one before, because the thread pool keeps no order. */
class NodeFileHandle implements FileHandle {
  readonly path: string;
  private readonly descriptor: number;
  /**
   * How a durable write is done: with O_DSYNC (Linux) one write, one trip through the thread pool; elsewhere a write and a sync, two
   * trips, a third more latency for a small batch.
   */
  private readonly dsync: boolean = process.platform === "linux";
  /** The same file opened with O_DSYNC. */
  private durableDescriptor: number | null = null;
  private readonly waiting: (() => void)[] = [];
  private busy = false;

  constructor(where: string, descriptor: number, dsync: boolean) {
    this.path = where;
    this.descriptor = descriptor;
    this.dsync = dsync;
  }

  write(position: number, chunks: readonly Uint8Array[], done: Done): void {
    this.enqueue((next) => this.writeAll("write", this.descriptor, position, chunks, (error) => next(() => done(error))));
  }

  writeDurable(position: number, chunks: readonly Uint8Array[], done: Done): void {
    this.enqueue((next) => {
      const finish: Done = (error) => next(() => done(error));
      if (this.dsync) return this.writeThrough(position, chunks, finish);
      this.writeAll("write-durable", this.descriptor, position, chunks, (error) => {
        if (error === null) fs.fdatasync(this.descriptor, reporting("write-durable", this.path, finish));
        else finish(error);
      });
    });
  }

  read(position: number, length: number, done: DoneWith<Uint8Array>): void {
    this.enqueue((next) => this.readAll(position, new Uint8Array(length), 0, (error, data) => next(() => done(error, data))));
  }

  sync(done: Done): void {
    this.enqueue((next) =>
      fs.fdatasync(
        this.descriptor,
        reporting("sync", this.path, (error) => next(() => done(error))),
      ),
    );
  }

  truncate(length: number, done: Done): void {
    this.enqueue((next) =>
      fs.ftruncate(
        this.descriptor,
        length,
        reporting("truncate", this.path, (error) => next(() => done(error))),
      ),
    );
  }

  size(done: DoneWith<number>): void {
    this.enqueue((next) =>
      fs.fstat(this.descriptor, (error, stats) =>
        next(() => (error === null ? done(null, stats.size) : done(ioError("size", this.path, error), undefined))),
      ),
    );
  }

  close(done: Done): void {
    this.enqueue((next) => {
      const closeMain = (earlier: Error | null): void =>
        fs.close(this.descriptor, (error) => {
          const failure = earlier ?? error ?? null;
          next(() => done(failure === null ? null : ioError("close", this.path, failure)));
        });
      if (this.durableDescriptor === null) closeMain(null);
      else fs.close(this.durableDescriptor, (error) => closeMain(error ?? null));
    });
  }

  private enqueue(job: (next: (report: () => void) => void) => void): void {
    const start = (): void =>
      job((report) => {
        const following = this.waiting.shift();
        if (following === undefined) this.busy = false;
        else following();
        report();
      });
    if (this.busy) {
      this.waiting.push(start);
      return;
    }
    this.busy = true;
    start();
  }

  private writeThrough(position: number, chunks: readonly Uint8Array[], done: Done): void {
    if (this.durableDescriptor !== null) return this.writeAll("write-durable", this.durableDescriptor, position, chunks, done);
    // By descriptor, not by name: the file may have been renamed or removed since it was opened.
    fs.open(`/proc/self/fd/${this.descriptor}`, fs.constants.O_WRONLY | fs.constants.O_DSYNC, (error, descriptor) => {
      if (error !== null) return done(ioError("open", this.path, error));
      this.durableDescriptor = descriptor;
      this.writeAll("write-durable", descriptor, position, chunks, done);
    });
  }

  /** A short write is continued, so that the reason (a full disk, say) shows as an error. */
  private writeAll(operation: string, descriptor: number, position: number, chunks: readonly Uint8Array[], done: Done): void {
    let wanted = 0;
    for (const chunk of chunks) wanted += chunk.length;
    if (wanted === 0) return fs.fstat(descriptor, reporting(operation, this.path, done));
    fs.writev(descriptor, chunks as Uint8Array[], position, (error, written) => {
      if (error !== null) return done(ioError(operation, this.path, error));
      if (written >= wanted) return done(null);
      if (written === 0) return done(new IoError("io", operation, this.path, new Error("the system wrote nothing")));
      this.writeAll(operation, descriptor, position + written, dropBytes(chunks, written), done);
    });
  }

  private readAll(position: number, target: Uint8Array, filled: number, done: DoneWith<Uint8Array>): void {
    fs.read(this.descriptor, target, filled, target.length - filled, position + filled, (error, count) => {
      if (error !== null) return done(ioError("read", this.path, error), undefined);
      const total = filled + count;
      if (count > 0 && total < target.length) return this.readAll(position, target, total, done);
      done(null, total === target.length ? target : target.subarray(0, total));
    });
  }
}

function dropBytes(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = count;
  for (const chunk of chunks) {
    if (skip < chunk.length) rest.push(skip > 0 ? chunk.subarray(skip) : chunk);
    skip = Math.max(0, skip - chunk.length);
  }
  return rest;
}

function reporting(operation: string, where: string, done: Done): (error: Error | null | undefined) => void {
  return (error) => done(error === null || error === undefined ? null : ioError(operation, where, error));
}
