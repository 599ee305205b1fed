import { exitCodes } from "@trivet/contract";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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
}

export function openFolder(path: string): CertFolder {
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
    write: (name, text, access) => {
      try {
        mkdirSync(path, { recursive: true });
        const temporary = `${file(name)}.new`;
        writeFileSync(temporary, text, { mode: access === "secret" ? 0o600 : 0o644, flag: "w" });
        renameSync(temporary, file(name));
      } catch (error) {
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
