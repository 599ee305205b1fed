import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** A file that is full is put aside under the numbers of its first and last record. */
export const setAsideName = (path: string, first: number, last: number): string => `${path}.${first}-${last}`;

/** What was put aside of the log at `path`, in the order of the records. */
export function setAside(path: string): readonly string[] {
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
      const first = name.startsWith(prefix) ? /^(\d{1,15})-\d{1,15}$/.exec(name.slice(prefix.length))?.[1] : undefined;
      return first === undefined ? [] : [{ first: Number(first), file: join(dirname(path), name) }];
    })
    .toSorted((a, b) => a.first - b.first)
    .map(({ file }) => file);
}
