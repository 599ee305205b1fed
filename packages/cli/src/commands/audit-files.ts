import { CliError } from "../output/errors.ts";

/** What a log is read by. */
export interface LogReader {
  /** The files of the log as they are named now, in their order. */
  readonly list: () => readonly string[];
  readonly read: (path: string) => string;
  readonly wait: (ms: number) => Promise<void>;
}
export interface ReadLog {
  readonly paths: readonly string[];
  readonly texts: readonly string[];
}

/** Files are put aside once in many thousand records: so often while one log is read they never are. */
const maxReads = 5;
/** A line is written in one go; longer than this no node takes for it. */
const lineMs = 100;

/**
 * A node may write the log meanwhile: a file that is put aside between listing and reading would be missing among those that were read, and a line that is just
 * being written has no end. Both would look as if somebody had changed the log.
 */
export async function readLog({ list, read, wait }: LogReader): Promise<ReadLog> {
  for (let left = maxReads - 1; ; left -= 1) {
    const paths = list();
    const texts = await readAll(paths, read, wait);
    const now = list();
    const isLast = left === 0 || paths.join("\n") === now.join("\n");
    if (isLast && texts instanceof CliError) throw texts;
    if (isLast && !(texts instanceof CliError)) return { paths, texts };
  }
}

/** An error where a file cannot be read: its name may have gone elsewhere just now. */
async function readAll(paths: readonly string[], read: LogReader["read"], wait: LogReader["wait"]): Promise<readonly string[] | CliError> {
  try {
    const texts = paths.map(read);
    const [last = ""] = paths.slice(-1);
    if (isWhole(texts.at(-1) ?? "")) return texts;
    await wait(lineMs);
    return [...texts.slice(0, -1), read(last)];
  } catch (error) {
    if (error instanceof CliError) return error;
    throw error;
  }
}

const isWhole = (text: string): boolean => text === "" || text.endsWith("\n");
