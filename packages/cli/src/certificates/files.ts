import { exitCodes } from "@trivet/contract";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { give, replaceFile, type Replacement } from "../files/replace-file.ts";
import { CliError } from "../output/errors.ts";

/** The folder of certificates, with S2's names: ca.key, ca.crt, and NAME.key, NAME.csr, NAME.crt. */
export interface CertFolder {
  readonly path: string;
  file(name: string): string;
  has(name: string): boolean;
  /** Names that have a certificate here, without the authority. */
  names(): readonly string[];
  /** "" when there is none. */
  read(name: string): string;
  /** In one step, so that a node that looks at this moment sees the old file or the new one. */
  write(name: string, text: string, access: "secret" | "public"): void;
  /** A secret that is there gets the owner that this folder was opened for, if any. */
  give(name: string): void;
}

/** `owner`: whom secrets belong to, if not to whoever runs this. */
export function openFolder(path: string, owner?: Replacement["owner"]): CertFolder {
  const file = (name: string): string => join(path, name);
  return {
    path,
    file,
    has: (name) => existsSync(file(name)),
    names: () => {
      const files = existsSync(path) ? readdirSync(path) : [];
      return files.filter((name) => name.endsWith(".crt") && name !== "ca.crt").map((name) => name.slice(0, -".crt".length));
    },
    read: (name) => (existsSync(file(name)) ? readFileSync(file(name), "utf8") : ""),
    give: (name) => {
      if (owner !== undefined) give(file(name), file(name), owner);
    },
    write: (name, text, access) => {
      try {
        mkdirSync(path, { recursive: true });
        const mode = access === "secret" ? 0o600 : 0o644;
        replaceFile(file(name), text, { mode, ...(access === "secret" && owner !== undefined ? { owner } : {}) });
      } catch (error) {
        if (error instanceof CliError) throw error;
        throw new CliError({
          code: "storage",
          exitCode: exitCodes.storage,
          what: `${file(name)} cannot be written.`,
          why: error instanceof Error ? error.message : String(error),
          next: "choose another folder with --dir, or give yourself rights to this one",
          cause: error,
        });
      }
    },
  };
}

export const pemBlocks = (text: string): readonly string[] =>
  [...text.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)].map(([block]) => `${block}\n`);
