import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** `blocks` of a file's status are of 512 bytes, whatever those of the file system are. */
const blockBytes = 512;

function isGone(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Bytes that the files below a folder take on the disk: holes take none. What a server removes meanwhile does not count. */
export function bytesOnDisk(folder: string): number {
  try {
    return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
      const path = join(folder, entry.name);
      return sum + (entry.isDirectory() ? bytesOnDisk(path) : lstatSync(path).blocks * blockBytes);
    }, 0);
  } catch (error) {
    if (isGone(error)) return 0;
    throw error;
  }
}
