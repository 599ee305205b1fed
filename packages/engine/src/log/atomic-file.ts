import { mutant } from "@trivet/core/mutation";
import type { FileStore, IoError } from "../ports/file.ts";

/** Files with this ending are unfinished: whoever owns the directory removes them at the next start. */
export const temporarySuffix = ".new";

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** Creates a directory that is still there after a power loss; fine when it exists. */
export function makeDirectoryDurably(files: FileStore, path: string, done: (error: IoError | null) => void): void {
  files.makeDirectory(path, (error) => {
    // Also when it exists: the run that created it may have died before it was durable.
    if (error === null || error.code === "exists") files.syncDirectory(parentOf(path), done);
    else done(error);
  });
}

/**
 * Writes a small file so that a crash leaves either the old state or the whole new file: temporary name, write, sync, rename, sync of
 * the directory. A leftover of an earlier try is replaced.
 */
export function writeFileAtomically(
  files: FileStore,
  path: string,
  chunks: readonly Uint8Array[],
  done: (error: IoError | null) => void,
): void {
  const temporary = path + temporarySuffix;
  files.open(temporary, "create", (error, handle) => {
    if (error?.code === "exists") {
      files.remove(temporary, (error) => (error === null ? writeFileAtomically(files, path, chunks, done) : done(error)));
      return;
    }
    if (handle === undefined) return done(error);
    const written = (writeError: IoError | null): void =>
      handle.close((closeError) => {
        const failure = writeError ?? closeError;
        if (failure !== null) return done(failure);
        files.rename(temporary, path, (error) => {
          if (error !== null) return done(error);
          if (mutant("wal-directory-not-synced")) done(null);
          else files.syncDirectory(parentOf(path), done);
        });
      });
    if (mutant("wal-header-not-synced")) handle.write(0, chunks, written);
    else handle.writeDurable(0, chunks, written);
  });
}
