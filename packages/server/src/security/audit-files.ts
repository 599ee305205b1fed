import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** A file that is full is put aside under the numbers of its first and last record. */
export const setAsideName = (path: string, first: number, last: number): string => `${path}.${first}-${last}`;

export interface AsideFile {
  readonly file: string;
  /** Numbers of its first and last record, as its name says. */
  readonly first: number;
  readonly last: number;
}

/** What was put aside of the log at `path`, in the order of the records. */
export const setAside = (path: string): readonly string[] => asideFiles(path).map(({ file }) => file);

export function asideFiles(path: string): readonly AsideFile[] {
  const prefix = `${basename(path)}.`;
  let names: readonly string[];
  try {
    names = readdirSync(dirname(path));
  } catch {
    // Without the folder there is nothing; who needs the log itself is told by reading it.
    return [];
  }
  return names
    .flatMap((name) => {
      const [, first, last] = (name.startsWith(prefix) ? /^(\d{1,15})-(\d{1,15})$/.exec(name.slice(prefix.length)) : null) ?? [];
      return first === undefined ? [] : [{ first: Number(first), last: Number(last), file: join(dirname(path), name) }];
    })
    .toSorted((a, b) => a.first - b.first);
}
