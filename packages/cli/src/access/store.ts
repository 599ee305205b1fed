import { exitCodes } from "@trivet/contract";
import { existsSync } from "node:fs";
import { replaceFile } from "../files/replace-file.ts";
import { CliError } from "../output/errors.ts";

/** What the file holds, as this command handles it; what is right in it is the server's to say. */
export interface Rule {
  readonly verbs: readonly string[];
  readonly resource: string;
  readonly prefix: string;
}
export interface KeyRecord {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly sha256: string;
  readonly created: string;
  readonly expires: string | null;
  readonly revoked: string | null;
}
export interface AccessFile {
  readonly roles: ReadonlyMap<string, readonly Rule[]>;
  readonly keys: readonly KeyRecord[];
}

// The server's own reading of the file: what it would refuse is refused here, before anything is written.
const loadServer = () => import("@trivet/server");

export interface AccessStore {
  readonly path: string;
  readonly file: AccessFile;
  /** Names of the roles that are always there. */
  readonly builtIn: readonly string[];
  /** In one step: a node that looks at this moment sees the old file or the new one. Throws when a node would refuse it. */
  save(file: AccessFile): void;
}

function refused(path: string, why: string): CliError {
  return new CliError({
    code: "configuration",
    exitCode: exitCodes.configuration,
    what: `${path} cannot be used.`,
    why,
    next: "correct the file, or name another one with --file",
  });
}

/** A file that is not there yet is an empty one. */
export async function openStore(path: string): Promise<AccessStore> {
  const { readAccessFile, builtInRoles } = await loadServer();
  const outcome = existsSync(path)
    ? readAccessFile(path)
    : { type: "good" as const, file: { roles: new Map<string, readonly Rule[]>(), keys: [] } };
  if (outcome.type === "bad") throw refused(path, outcome.fault);
  return {
    path,
    file: outcome.file,
    builtIn: [...builtInRoles.keys()],
    save: ({ roles, keys }) => {
      const text = `${JSON.stringify({ version: 1, roles: Object.fromEntries(roles), keys }, null, 2)}\n`;
      const check = (written: string): void => {
        const checked = readAccessFile(written);
        if (checked.type === "bad") throw refused(path, checked.fault);
      };
      replaceFile(path, text, { mode: 0o600, check });
    },
  };
}
