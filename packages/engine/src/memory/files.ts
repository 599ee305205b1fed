import type { Prng } from "@trivet/core";
import type { Clock } from "../ports/clock.ts";
import { IoError } from "../ports/file.ts";
import type { Done, DoneWith, FileHandle, FileStore } from "../ports/file.ts";
import { Directory } from "./directory.ts";
import { FileContent } from "./file-content.ts";
import { MemoryHandle, hugeDisk } from "./file-handle.ts";
import type { FileFault, FileOperation, HandleDisk, Lane } from "./file-handle.ts";
import type { CrashOptions } from "./file-content.ts";

export interface MemoryFilesOptions {
  /** Virtual milliseconds an operation takes; 0 = it is done at the end of the turn. */
  readonly latencyMs?: (operation: FileOperation) => number;
  /** Called before every operation. */
  readonly fault?: (operation: FileOperation) => FileFault | null;
  /** Size of the disk. */
  readonly quotaBytes?: number;
}

/**
 * A disk in memory that forgets like a real one: see `crash`. Deterministic: all delays come from the clock, all chance from the
 * generator given to `crash`.
 */
export class MemoryFiles implements FileStore, HandleDisk {
  /** May be replaced between two lives of a node. */
  clock: Clock;
  options: MemoryFilesOptions;
  private root = new Directory();
  private readonly locks = new Set<string>();
  private readonly names: Lane = { timed: 0, readyAt: 0 };
  /** Counts crashes: nothing asked for before one is answered after it. */
  private life = 0;

  constructor(clock: Clock, options: MemoryFilesOptions = {}) {
    this.clock = clock;
    this.options = options;
  }

  // ── For tests ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Power loss: open handles are dead, callbacks under way never come, and of what was not synced a random part survives. */
  crash(prng: Prng, options: CrashOptions = {}): void {
    this.endProcess();
    this.root.crash(prng, options);
  }

  /** kill -9: handles are dead and locks free, but the system keeps all that was written. */
  endProcess(): void {
    this.life++;
    this.locks.clear();
    this.names.timed = 0;
    this.names.readyAt = 0;
  }

  /** An independent disk with the same content, in memory and on the platter. */
  copy(clock: Clock = this.clock): MemoryFiles {
    const copy = new MemoryFiles(clock, this.options);
    copy.root = this.root.copy();
    return copy;
  }

  /** What a program would read; undefined = no such file. */
  contents(path: string): Uint8Array | undefined {
    const file = this.find(path);
    return file instanceof FileContent ? file.read(0, file.length) : undefined;
  }

  /** Paths of all files, in order. */
  paths(): string[] {
    const paths: string[] = [];
    const walk = (directory: Directory, prefix: string): void => {
      for (const name of directory.names()) {
        const node = directory.get(name);
        if (node instanceof Directory) walk(node, `${prefix}${name}/`);
        else paths.push(prefix + name);
      }
    };
    walk(this.root, "");
    return paths;
  }

  /** Bit rot. */
  flipBit(path: string, offset: number, bit: number): void {
    const file = this.find(path);
    if (file instanceof FileContent) file.flip(offset, bit);
  }

  /** Damage from outside: other bytes, or with null, no file. */
  tamper(path: string, change: (bytes: Uint8Array) => Uint8Array | null): void {
    const [directory, name] = this.locate(path, "tamper");
    const file = directory.get(name);
    if (!(file instanceof FileContent)) throw new IoError("not-found", "tamper", path);
    const bytes = change(file.read(0, file.length));
    if (bytes === null) directory.lose(name);
    else file.overwrite(bytes);
  }

  /** A lost disk. */
  erase(): void {
    this.endProcess();
    this.root = new Directory();
  }

  usedBytes(): number {
    return bytesIn(this.root);
  }

  // ── The port ──────────────────────────────────────────────────────────────────────────────────────────────────────

  open(path: string, mode: "read" | "write" | "create", done: DoneWith<FileHandle>): void {
    this.run({ type: "open", path, bytes: 0 }, this.names, done, () => {
      const [directory, name] = this.locate(path, "open");
      const found = directory.get(name);
      if (found instanceof Directory) throw new IoError("io", "open", path);
      if (mode !== "create") {
        if (found === undefined) throw new IoError("not-found", "open", path);
        return new MemoryHandle(this, path, found, this.life);
      }
      if (found !== undefined) throw new IoError("exists", "open", path);
      const file = new FileContent();
      directory.change({ type: "set", name, node: file });
      return new MemoryHandle(this, path, file, this.life);
    });
  }

  list(directory: string, done: DoneWith<readonly string[]>): void {
    this.run({ type: "list", path: directory, bytes: 0 }, this.names, done, () => this.directory(directory, "list").names());
  }

  makeDirectory(path: string, done: Done): void {
    this.run({ type: "make-directory", path, bytes: 0 }, this.names, done, () => {
      const [directory, name] = this.locate(path, "make-directory");
      if (name === "" || directory.get(name) !== undefined) throw new IoError("exists", "make-directory", path);
      directory.change({ type: "set", name, node: new Directory() });
    });
  }

  rename(from: string, to: string, done: Done): void {
    this.run({ type: "rename", path: from, bytes: 0 }, this.names, done, () => {
      const [source, oldName] = this.locate(from, "rename");
      const [target, newName] = this.locate(to, "rename");
      const node = source.get(oldName);
      if (node === undefined) throw new IoError("not-found", "rename", from);
      if (source === target) return source.change({ type: "rename", from: oldName, to: newName, node });
      target.change({ type: "set", name: newName, node });
      source.change({ type: "delete", name: oldName });
    });
  }

  remove(path: string, done: Done): void {
    this.run({ type: "remove", path, bytes: 0 }, this.names, done, () => {
      const [directory, name] = this.locate(path, "remove");
      const node = directory.get(name);
      if (node === undefined) throw new IoError("not-found", "remove", path);
      if (node instanceof Directory) throw new IoError("io", "remove", path);
      directory.change({ type: "delete", name });
    });
  }

  removeTree(path: string, done: Done): void {
    this.run({ type: "remove-tree", path, bytes: 0 }, this.names, done, () => {
      const [directory, name] = this.locate(path, "remove-tree");
      if (directory.get(name) !== undefined) directory.change({ type: "delete", name });
    });
  }

  syncDirectory(path: string, done: Done): void {
    this.run({ type: "sync-directory", path, bytes: 0 }, this.names, done, (fault) => {
      if (fault?.type !== "lie") this.directory(path, "sync-directory").sync();
    });
  }

  lock(path: string, done: Done): void {
    this.run({ type: "lock", path, bytes: 0 }, this.names, done, () => {
      if (this.locks.has(path)) throw new IoError("locked", "lock", path);
      this.locks.add(path);
    });
  }

  freeBytes(done: DoneWith<number>): void {
    this.run({ type: "free-bytes", path: "", bytes: 0 }, this.names, done, () => Math.max(0, this.quota() - this.usedBytes()));
  }

  // ── For the handles ───────────────────────────────────────────────────────────────────────────────────────────────

  /** False for what belongs to a process that ended. */
  isCurrent(life: number): boolean {
    return life === this.life;
  }

  quota(): number {
    return this.options.quotaBytes ?? hugeDisk;
  }

  /** Performs `effect` when the operation's time has come, and reports. `failed` is called before an injected error is reported. */
  run<T>(
    operation: FileOperation,
    lane: Lane,
    done: (error: IoError | null, value: T | undefined) => void,
    effect: (fault: FileFault | null) => T,
    failed: () => void = () => {},
  ): void {
    const { life } = this;
    const fault = this.options.fault?.(operation) ?? null;
    if (fault?.type === "stall") return;
    const delayMs = (this.options.latencyMs?.(operation) ?? 0) + (fault?.type === "delay" ? fault.ms : 0);
    const timed = delayMs > 0 || lane.timed > 0;
    const complete = (): void => {
      if (life !== this.life) return;
      if (timed) lane.timed--;
      if (fault?.type === "error") {
        failed();
        return done(new IoError(fault.code, operation.type, operation.path), undefined);
      }
      let value: T;
      try {
        value = effect(fault);
      } catch (error) {
        if (error instanceof IoError) return done(error, undefined);
        throw error;
      }
      done(null, value);
    };
    if (!timed) return this.clock.defer(complete);
    const now = this.clock.now();
    lane.timed++;
    lane.readyAt = Math.max(lane.readyAt, now + delayMs);
    this.clock.schedule(lane.readyAt - now, complete);
  }

  private find(path: string): FileContent | Directory | undefined {
    let node: FileContent | Directory | undefined = this.root;
    for (const name of path.split("/")) {
      if (name === "") continue;
      if (!(node instanceof Directory)) return undefined;
      node = node.get(name);
    }
    return node;
  }

  private directory(path: string, operation: string): Directory {
    const node = this.find(path);
    if (node instanceof Directory) return node;
    throw new IoError("not-found", operation, path);
  }

  private locate(path: string, operation: string): [directory: Directory, name: string] {
    const at = path.lastIndexOf("/");
    return [this.directory(at < 0 ? "" : path.slice(0, at), operation), path.slice(at + 1)];
  }
}

function bytesIn(directory: Directory): number {
  let bytes = 0;
  for (const node of directory.nodes()) bytes += node instanceof Directory ? bytesIn(node) : node.length;
  return bytes;
}
