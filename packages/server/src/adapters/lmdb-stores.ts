import {
  fsync,
  existsSync,
  mkdirSync,
  open,
  close,
  readFileSync,
  readdir,
  renameSync,
  rm,
  rmSync,
  writeFileSync,
  openSync,
  fsyncSync,
  closeSync,
} from "node:fs";
import path from "node:path";
import { IoError, checkStoreName, isStoreName } from "@trivet/engine";
import type { Done, DoneWith, OrderedStore, OrderedStores } from "@trivet/engine";
import { FlushedPoint } from "./lmdb-flushed.ts";
import { LmdbStore, storeError } from "./lmdb-store.ts";

/** What is being removed; no name of a store. */
const goneSuffix = ".gone";

/**
 * LMDB environments below one directory, one per store. LMDB itself would let a second process in; the lock of the data directory, which a node takes before
 * anything else, keeps it out. A store opened twice here is refused with `locked`. Opening blocks until what is there is on disk: it belongs, like everything
 * of a store, to the apply worker.
 */
export class LmdbStores implements OrderedStores {
  private readonly root: string;
  private readonly boot: string;
  private readonly opened = new Set<string>();

  /** `boot` changes with every start of the system, as then the cache is lost. */
  constructor(root: string, boot: string = bootId()) {
    this.root = path.resolve(root);
    this.boot = boot;
  }

  open(name: string, done: DoneWith<OrderedStore>): void {
    checkStoreName(name);
    const directory = path.join(this.root, name);
    let answer: () => void;
    try {
      const store = this.openNow(name, directory);
      answer = () => done(null, store);
    } catch (error) {
      const known = storeError("open", directory, error);
      const reported = known instanceof IoError ? known : new IoError("io", "open", directory, known);
      answer = () => done(reported, undefined);
    }
    setImmediate(answer);
  }

  list(done: DoneWith<readonly string[]>): void {
    readdir(this.root, (error, names) => {
      if (error !== null && error.code !== "ENOENT") return done(new IoError("io", "list", this.root, error), undefined);
      const found = error === null ? names : [];
      // Removals that were cut off.
      this.clear(
        found.filter((name) => name.endsWith(goneSuffix)),
        (error) => {
          if (error === null) done(null, found.filter(isStoreName).toSorted());
          else done(error, undefined);
        },
      );
    });
  }

  remove(name: string, done: Done): void {
    checkStoreName(name);
    const directory = path.join(this.root, name);
    const refuse = (code: IoError["code"]): void => void setImmediate(() => done(new IoError(code, "remove", directory)));
    if (this.opened.has(name)) return refuse("locked");
    if (!existsSync(directory)) return refuse("not-found");
    const gone = directory + goneSuffix;
    const report = (error: Error | null): void => done(error === null ? null : new IoError("io", "remove", directory, error));
    // First out of the list, for good; then its files, however long that takes and whatever comes between.
    rm(gone, { recursive: true, force: true }, (error) => {
      if (error !== null) return report(error);
      try {
        renameSync(directory, gone);
      } catch (error) {
        return report(error instanceof Error ? error : new Error(String(error)));
      }
      syncDirectory(this.root, (error) => {
        if (error !== null) return report(error);
        rm(gone, { recursive: true, force: true }, report);
      });
    });
  }

  private clear(leftovers: readonly string[], done: Done): void {
    const [first, ...rest] = leftovers;
    if (first === undefined) return done(null);
    const where = path.join(this.root, first);
    rm(where, { recursive: true, force: true }, (error) => {
      if (error === null) this.clear(rest, done);
      else done(new IoError("io", "remove", where, error));
    });
  }

  private openNow(name: string, directory: string): LmdbStore {
    if (this.opened.has(name)) throw new IoError("locked", "open", directory);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    // What was never flushed was never handed out: its creation was cut off.
    const known = FlushedPoint.restore(directory, this.boot);
    if (!known) for (const file of ["data.mdb", "lock.mdb", "flushed"]) rmSync(path.join(directory, file), { force: true });
    allocateLockFile(path.join(directory, "lock.mdb"));
    const store = new LmdbStore(directory, this.boot, () => this.opened.delete(name));
    if (!known) {
      for (const place of [directory, this.root, path.dirname(this.root)]) syncDirectoryNow(place);
    }
    this.opened.add(name);
    return store;
  }
}

/**
 * LMDB maps its lock file into memory, with holes: on a full disk the first touch of one would end the process (SIGBUS). Written in full beforehand, a disk
 * without room is an error like any other. Larger than it asks for with 126 readers.
 */
function allocateLockFile(file: string): void {
  if (!existsSync(file)) writeFileSync(file, new Uint8Array(16 * 1024));
}

/** Empty where the system does not tell. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

function syncDirectory(where: string, done: (error: Error | null) => void): void {
  open(where, "r", (error, descriptor) => {
    if (error !== null) return done(error);
    fsync(descriptor, (error) => close(descriptor, (closeError) => done(error ?? closeError ?? null)));
  });
}

function syncDirectoryNow(where: string): void {
  const descriptor = openSync(where, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
