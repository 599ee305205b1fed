import { headerBytes, LogReading, logDirectory, type ReadBatch, type ReadSegment, type WalFinding } from "@trivet/engine";
import { open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { NodeCrypto } from "../adapters/index.ts";

export interface LogFault {
  readonly severity: "info" | "error";
  readonly file: string;
  readonly offset: number;
  readonly what: string;
  readonly next: string;
}
export interface LogGroup {
  readonly group: number;
  readonly term: number;
  readonly vote: string | null;
  /** The state behind the log holds everything up to here. */
  readonly floor: number;
  readonly first: number | null;
  readonly last: number | null;
  readonly commit: number;
  /** Why it takes part in no election before it was caught up; null = it does. */
  readonly doubt: string | null;
}
export interface LogReport {
  /** Nothing is damaged or missing; an unfinished last write is no damage. */
  readonly ok: boolean;
  readonly directory: string;
  readonly segments: readonly ReadSegment[];
  /** Files beside the log: left by an interrupted write, or behind a place where the log was cut. */
  readonly unused: readonly string[];
  readonly groups: readonly LogGroup[];
  readonly faults: readonly LogFault[];
}

const refetched =
  "start the node: it takes part again once it has fetched what is missing from the others. If it is the only copy, restore a backup (trivet snapshot restore)";

/** Reads the log of a data directory and changes nothing. On the directory of a running node its end may be in motion. */
export function readLog(dataDir: string, visit?: (batch: ReadBatch) => void): Promise<LogReport>;
/** Null = it is larger than `upToBytes`. */
export function readLog(dataDir: string, visit: ((batch: ReadBatch) => void) | undefined, upToBytes: number): Promise<LogReport | null>;
export async function readLog(
  dataDir: string,
  visit: (batch: ReadBatch) => void = () => undefined,
  upToBytes: number = Number.POSITIVE_INFINITY,
): Promise<LogReport | null> {
  const directory = join(dataDir, logDirectory);
  const names = (await readdir(directory)).sort();
  if (upToBytes < Number.POSITIVE_INFINITY) {
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(directory, name))).size));
    if (sizes.reduce((sum, size) => sum + size, 0) > upToBytes) return null;
  }
  const reading = new LogReading(directory, new NodeCrypto());
  const unused: string[] = [];
  for (const name of names) if (!reading.header(name, await beginning(join(directory, name)))) unused.push(name);
  const chain = reading.chain();
  const segments: ReadSegment[] = [];
  for (const link of chain) segments.push(reading.segment(link, await readFile(join(directory, link.name)), visit));
  const used = new Set([...chain.map(({ name }) => name), ...unused]);
  unused.push(...names.filter((name) => !used.has(name)));
  const { doubt, findings, groups } = reading.finish();
  const faults = findings.map(faultOf);
  if (findings.length === 0 && doubt !== null) faults.push(earlierFault(directory, doubt));
  return {
    ok: faults.every(({ severity }) => severity === "info"),
    directory,
    segments,
    unused,
    groups: groups.map(({ doubt: doubted, group, state }) => ({
      group,
      term: state.hardState.term,
      vote: state.hardState.vote,
      floor: state.floor?.index ?? 0,
      first: state.entries[0]?.index ?? null,
      last: state.entries.at(-1)?.index ?? null,
      commit: state.commit,
      doubt: doubted,
    })),
    faults,
  };
}

async function beginning(path: string): Promise<Uint8Array> {
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.alloc(Math.min(size, headerBytes));
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

function faultOf(finding: WalFinding): LogFault {
  const { file, offset } = finding;
  if (finding.type === "corrupt") return { severity: "error", file, offset, what: finding.detail, next: refetched };
  const what = `${finding.bytes} bytes of a last write that did not finish`;
  if (finding.partialRecord)
    return { severity: "info", file, offset, what, next: "nothing: the next start cuts them; they were never acknowledged" };
  const next = "start the node with all other members running: they compare their logs before it votes. Nothing has to be deleted";
  return { severity: "error", file, offset, what: `${what}, and may have been acknowledged`, next };
}

/** The place is not in the files any more; that it was there is. */
function earlierFault(directory: string, doubt: string): LogFault {
  return { severity: "error", file: directory, offset: 0, what: `an earlier start found a loss (${doubt})`, next: refetched };
}
