import { invariant } from "@trivet/core";
import type { SnapshotMeta } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { Crypto } from "../ports/crypto.ts";
import type { FileHandle, FileStore, IoError } from "../ports/file.ts";
import { logLimits } from "./limits.ts";
import { SnapshotEncoder, encodeSnapshotHead } from "./snapshot-file.ts";
import type { SnapshotDescription } from "./snapshot-file.ts";
import type { SnapshotWriter } from "./types.ts";

export interface WriterOwner {
  readonly files: FileStore;
  readonly crypto: Crypto;
  readonly fail: (error: IoError | null) => void;
  /** The file at `path` is complete and durable; gives it its name. */
  readonly complete: (path: string, meta: SnapshotMeta, done: () => void) => void;
}

/**
 * Writes one snapshot to a temporary name. Calls may come before the file is open: they are carried out in order. After `abort` or
 * an error nothing is called back any more.
 */
export class FileSnapshotWriter implements SnapshotWriter {
  private readonly owner: WriterOwner;
  private readonly path: string;
  private readonly description: SnapshotDescription;
  private handle: FileHandle | null = null;
  private encoder: SnapshotEncoder | null = null;
  private readonly jobs: (() => void)[] = [];
  private busy = true;
  private ended = false;
  private unsyncedBytes = 0;

  constructor(owner: WriterOwner, path: string, description: SnapshotDescription) {
    this.owner = owner;
    this.path = path;
    this.description = description;
    this.start();
  }

  write(chunk: Uint8Array, done: () => void): void {
    invariant(chunk.length > 0 && chunk.length <= logLimits.maxSnapshotChunkBytes, "snapshot-chunk-size", () => `${chunk.length} bytes`);
    this.enqueue(() => {
      const { encoder } = this;
      invariant(encoder !== null, "snapshot-writer-open");
      this.put(encoder.bytes, encoder.chunk(chunk), () => this.afterJob(done));
    });
  }

  finish(done: (meta: SnapshotMeta) => void): void {
    this.enqueue(() => {
      const { encoder } = this;
      invariant(encoder !== null, "snapshot-writer-open");
      this.put(encoder.bytes, [encoder.end()], () => this.sync(() => this.close(encoder.bytes, done)));
    });
  }

  abort(): void {
    if (this.ended) return;
    this.ended = true;
    this.jobs.length = 0;
    // A leftover is removed at the next start, or replaced by the next snapshot of that name; errors here change nothing.
    const { handle, owner, path } = this;
    if (handle === null) return;
    handle.close(() => owner.files.remove(path, () => {}));
  }

  private start(): void {
    const { files, crypto } = this.owner;
    files.open(this.path, "create", (error, handle) => {
      if (error?.code === "exists") {
        files.remove(this.path, (error) => (error === null ? this.start() : this.fail(error)));
        return;
      }
      if (handle === undefined) return this.fail(error);
      if (this.ended) return handle.close(() => files.remove(this.path, () => {}));
      this.handle = handle;
      const head = encodeSnapshotHead(this.description, crypto);
      this.encoder = new SnapshotEncoder(crypto, head);
      this.put(0, [head], () => this.afterJob(() => {}));
    });
  }

  private enqueue(job: () => void): void {
    if (this.ended) return;
    this.jobs.push(job);
    this.runNext();
  }

  private runNext(): void {
    if (this.busy || this.ended) return;
    const job = this.jobs.shift();
    if (job === undefined) return;
    this.busy = true;
    job();
  }

  private afterJob(done: () => void): void {
    this.busy = false;
    done();
    this.runNext();
  }

  private put(position: number, chunks: readonly Uint8Array[], then: () => void): void {
    this.handle?.write(position, chunks, (error) => {
      if (this.ended) return;
      if (error !== null) return this.fail(error);
      for (const chunk of chunks) this.unsyncedBytes += chunk.length;
      if (this.unsyncedBytes < logLimits.snapshotSyncBytes) then();
      else this.sync(then);
    });
  }

  private sync(then: () => void): void {
    this.unsyncedBytes = 0;
    if (mutant("wal-35-snapshot-not-synced")) return then();
    this.handle?.sync((error) => {
      if (this.ended) return;
      if (error === null) then();
      else this.fail(error);
    });
  }

  private close(bytes: number, done: (meta: SnapshotMeta) => void): void {
    const { group: _group, ...rest } = this.description;
    const meta: SnapshotMeta = { ...rest, bytes };
    this.handle?.close((error) => {
      if (this.ended) return;
      if (error !== null) return this.fail(error);
      this.ended = true;
      this.owner.complete(this.path, meta, () => done(meta));
    });
  }

  private fail(error: IoError | null): void {
    this.ended = true;
    this.owner.fail(error);
  }
}
