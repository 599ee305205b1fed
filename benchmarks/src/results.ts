import { readFileSync, writeFileSync } from "node:fs";
import type { Machine } from "./measure/machine.ts";
import type { SubjectName } from "./subjects/subject.ts";

/**
 * One line of a result file. Keys are those of the published JSON format; null = not measured or not offered by the subject. Figures
 * are medians over `rounds`; `samples` holds the rounds' own values, or every event where events are counted one by one.
 */
export interface Result {
  /** Identifies the invocation: only figures of one run are compared. */
  readonly run: string;
  readonly workload: string;
  readonly subject: SubjectName;
  /** `stream`, `http`, `grpc`, `resp`, `ws`. */
  readonly transport: string;
  readonly durability: string;
  readonly clients: number;
  readonly rounds: number;
  readonly quick: boolean;
  /** Acquire and release are two operations. */
  readonly ops_per_s: number | null;
  /** What the three percentiles below measure. */
  readonly latency: string;
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
  readonly p999_ms: number | null;
  readonly errors: number;
  readonly first_error?: string;
  readonly cpu_s_per_op: number | null;
  readonly cpu_s_per_op_by_role: Readonly<Record<string, number>>;
  readonly written_bytes_per_op: number | null;
  readonly fsyncs_per_op: number | null;
  /** Of the largest server process. */
  readonly rss_bytes: number | null;
  readonly rss_anon_bytes: number | null;
  /** Share of the machine used by processes outside the measurement. */
  readonly foreign_cpu: number | null;
  /** Share of the machine that its hypervisor gave to others meanwhile. */
  readonly stolen_cpu: number | null;
  /** Figures of one workload only, by name. */
  readonly more: Readonly<Record<string, number | null>>;
  readonly samples: Readonly<Record<string, readonly number[]>>;
}

/** A subject that was asked for and could not be measured, with the reason people get to read. */
export interface Missing {
  readonly run: string;
  readonly workload: string;
  readonly subject: SubjectName;
  readonly missing: string;
}

export interface ResultFile {
  readonly machine: Machine;
  /** By service, in a file that was put together of several runs: what was measured elsewhere. */
  readonly machines?: Readonly<Record<string, Machine>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly results: readonly (Result | Missing)[];
}

export function isMissing(result: Result | Missing): result is Missing {
  return "missing" in result;
}

/** Five significant digits keep the files readable and lose nothing a benchmark can know. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
}

export function writeResults(path: string, file: ResultFile): void {
  writeFileSync(path, `${JSON.stringify(file, rounded, 1)}\n`);
}

function fail(path: string, what: string): never {
  throw new Error(`${path} is not a result file of this harness: ${what}`);
}

/** Reads a result file; names what is wrong with one that is none. */
export function readResults(path: string): ResultFile {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    fail(path, error instanceof Error ? error.message : String(error));
  }
  if (typeof value !== "object" || value === null) fail(path, "no object");
  const file = value as Partial<ResultFile>;
  if (typeof file.machine?.cpu !== "string" || typeof file.machine.cores !== "number") fail(path, "no machine");
  if (!Array.isArray(file.results)) fail(path, "no results");
  for (const [index, result] of file.results.entries()) {
    const entry = result as Partial<Result & Missing>;
    if (typeof entry.workload !== "string" || typeof entry.subject !== "string" || typeof entry.run !== "string") {
      fail(path, `results[${index}] lacks workload, subject or run`);
    }
    if (entry.missing === undefined && typeof entry.clients !== "number") fail(path, `results[${index}] lacks clients`);
  }
  const machines = file.machines === undefined ? undefined : { machines: file.machines };
  return { machine: file.machine, ...machines, versions: file.versions ?? {}, results: file.results };
}
