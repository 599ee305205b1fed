import { exitCodes } from "@trivet/contract";
import { chmodSync, chownSync, existsSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { CliError } from "../output/errors.ts";

export interface Replacement {
  /** Of a file that is new; one that is there keeps its own. */
  readonly mode: number;
  /** Whom a file belongs to, if not to whoever runs this; one that is there stays its owner's, unless this says otherwise. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Throws when what was written is not good; the file is then left as it was. */
  readonly check?: (written: string) => void;
}

/**
 * In one step: who looks at this moment sees the old file or the new one. A node reads such files as its own user, often not the one who runs this command,
 * so owner and mode stay as they were; where that cannot be, nothing is changed.
 */
export function replaceFile(path: string, text: string, { mode, owner, check }: Replacement): void {
  // A link stays a link: what it points to is replaced.
  const target = existsSync(path) ? realpathSync(path) : path;
  const before = existsSync(target) ? statSync(target) : null;
  const temporary = `${target}.new`;
  rmSync(temporary, { force: true });
  writeFileSync(temporary, text, { mode, flag: "wx", flush: true });
  try {
    check?.(temporary);
    const wanted = owner ?? before;
    if (wanted !== null) give(temporary, target, wanted);
    if (before !== null) chmodSync(temporary, before.mode & 0o7777);
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** `target` is what it is called to the person. */
export function give(temporary: string, target: string, { uid, gid }: NonNullable<Replacement["owner"]>): void {
  const is = statSync(temporary);
  if (is.uid === uid && is.gid === gid) return;
  try {
    chownSync(temporary, uid, gid);
  } catch (error) {
    throw new CliError({
      code: "configuration",
      exitCode: exitCodes.permission,
      what: `${target} cannot be given to the user it is for (uid ${uid}). Nothing was changed.`,
      why: (error as Error).message,
      next: `run this command as that user, or as root`,
      cause: error,
    });
  }
}
