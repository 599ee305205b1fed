/**
 * Files, as the log and the snapshots need them. Callback style: hot paths allocate no promises (style, D2), and the simulator
 * stays synchronous. Every callback is called exactly once, never synchronously, and for one handle in the order of the calls.
 */
export type IoErrorCode = "not-found" | "exists" | "no-space" | "io" | "denied" | "locked" | "not-empty" | "too-many-open";
export class IoError extends Error {
  readonly code: IoErrorCode;
  readonly path: string;
  readonly operation: string;
  constructor(code: IoErrorCode, operation: string, path: string, cause?: unknown) {
    super(`${operation} ${path}: ${code}${cause instanceof Error ? ` (${cause.message})` : ""}`, { cause });
    this.name = "IoError";
    this.code = code;
    this.path = path;
    this.operation = operation;
  }
}

export type Done = (error: IoError | null) => void;
export type DoneWith<T> = (error: IoError | null, value: T | undefined) => void;

export interface FileHandle {
  readonly path: string;
  /** Writes all chunks at `position`, in order, as one write. Not durable until `sync`. */
  write(position: number, chunks: readonly Uint8Array[], done: Done): void;
  /** Like `write`, and durable (data and size) when `done` is called. One operation, because a second trip costs as much as the disk. */
  writeDurable(position: number, chunks: readonly Uint8Array[], done: Done): void;
  /** Reads up to `length` bytes; fewer at the end of the file. */
  read(position: number, length: number, done: DoneWith<Uint8Array>): void;
  /** fdatasync. After an error the file must never be trusted or synced again (rule: never retry fsync). */
  sync(done: Done): void;
  truncate(length: number, done: Done): void;
  size(done: DoneWith<number>): void;
  close(done: Done): void;
}

/** Paths are relative to the data directory and use "/". */
export interface FileStore {
  /** `create` fails when the file exists; `write` opens an existing file for reading and writing. */
  open(path: string, mode: "read" | "write" | "create", done: DoneWith<FileHandle>): void;
  list(directory: string, done: DoneWith<readonly string[]>): void;
  makeDirectory(path: string, done: Done): void;
  /** Atomic within the directory; durable after `syncDirectory`. */
  rename(from: string, to: string, done: Done): void;
  remove(path: string, done: Done): void;
  removeTree(path: string, done: Done): void;
  syncDirectory(path: string, done: Done): void;
  /** Takes the exclusive lock of the data directory; `locked` when another process has it. Released at process end. */
  lock(path: string, done: Done): void;
  /** Free bytes on the file system of the data directory. */
  freeBytes(done: DoneWith<number>): void;
}
