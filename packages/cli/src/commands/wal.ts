import { exitCodes } from "@trivet/contract";
import { type Command, InvalidArgumentError } from "commander";
import { resolve } from "node:path";
import { toolsOf, type Context } from "../context.ts";
import { CliError, usageError } from "../output/errors.ts";
import { table, type Output } from "../output/output.ts";
import { size } from "./backup-save.ts";

const loadServer = () => import("@trivet/server");
type Server = Awaited<ReturnType<typeof loadServer>>;
type LogReport = NonNullable<Awaited<ReturnType<Server["readLog"]>>>;
type ReadBatch = Parameters<NonNullable<Parameters<Server["readLog"]>[1]>>[0];
type LogRecord = ReadBatch["records"][number];

export function registerWal(program: Command, context: Context): void {
  const wal = program.command("wal").description("the write-ahead log in a data directory, read and never changed; best of a stopped node");

  wal
    .command("verify")
    .argument("<data-dir>", "DATA_DIR of a node")
    .description("check every byte of the log: which segment is damaged where, and what to do")
    .action(async (directory: string, _options: unknown, command: Command) => {
      const { output } = toolsOf(context, command);
      const report = await reportOf(directory);
      output.result("wal-report", { ...report }, () => reportText(output, report));
      const fault = report.faults.find(({ severity }) => severity === "error");
      if (fault === undefined) return;
      throw new CliError({
        code: "log_damaged",
        exitCode: exitCodes.storage,
        what: `${fault.file} is damaged at offset ${fault.offset}.`,
        why: `${fault.what}.`,
        next: fault.next,
        details: { faults: report.faults },
      });
    });

  wal
    .command("dump")
    .argument("<data-dir>", "DATA_DIR of a node")
    .option("--group <number>", "only of this group (0 = locks, 1… = shards)", groupOption)
    .description("what the log says, a line per record, with segment and offset. Contents of commands are not shown")
    .action(async (directory: string, options: { group?: number }, command: Command) => {
      const { output } = toolsOf(context, command);
      const report = await reportOf(directory, (batch) => {
        for (const record of batch.records) {
          if (options.group !== undefined && groupOf(record) !== options.group) continue;
          const told = { file: batch.file, offset: batch.offset, batch: batch.number, ...describe(record) };
          output.result("wal-record", told, () => lineOf(told));
        }
      });
      for (const { file, offset, what } of report.faults) output.say(`${file} at ${offset}: ${what}`);
    });
}

async function reportOf(directory: string, visit?: (batch: ReadBatch) => void): Promise<LogReport> {
  const path = resolve(directory);
  const { readLog } = await loadServer();
  try {
    return await readLog(path, visit);
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error)) throw error;
    if (error.code === "ENOENT" || error.code === "ENOTDIR")
      throw usageError(`${path} is no data directory: there is no log in it.`, "name the DATA_DIR of a node, for example data/node1");
    throw new CliError({
      code: "storage",
      exitCode: exitCodes.storage,
      what: `The log in ${path} cannot be read.`,
      why: error.message,
      next: "look at the rights of the directory; run it as the user of the node",
      cause: error,
    });
  }
}

function reportText(output: Output, { directory, faults, groups, ok, segments, unused }: LogReport): string {
  const records = segments.reduce((sum, segment) => sum + segment.records, 0);
  const bytes = segments.reduce((sum, segment) => sum + segment.end, 0);
  const rows = groups.map(({ commit, doubt, first, floor, group, last, term, vote }) => [
    group === 0 ? "0 (locks)" : `${group}`,
    `${term}`,
    vote ?? "",
    `${floor}`,
    first === null ? "none" : `${first} to ${last ?? first}`,
    `${commit}`,
    doubt ?? "",
  ]);
  return [
    `${directory}: ${segments.length} segments, ${records} records, ${size(bytes)}: ${ok ? "whole" : "DAMAGED"}.`,
    table(["GROUP", "TERM", "VOTE", "STATE TO", "ENTRIES", "COMMITTED", "IN DOUBT"], rows, output.paint),
    ...(unused.length === 0 ? [] : [`not part of the log: ${unused.join(", ")}`]),
    ...faults.map(({ file, next, offset, severity, what }) => `${severity}: ${file} at offset ${offset}: ${what}\n  next: ${next}`),
  ].join("\n");
}

function groupOf(record: LogRecord): number | null {
  if (record.type === "floor" || record.type === "installed") return record.floor.group;
  return record.group;
}

/** Without payloads: they hold what callers stored. */
function describe(record: LogRecord): Readonly<Record<string, unknown>> & { readonly record: string; readonly group: number | null } {
  const base = { record: record.type, group: groupOf(record) };
  switch (record.type) {
    case "hard-state":
      return { ...base, term: record.hardState.term, vote: record.hardState.vote };
    case "truncate":
      return { ...base, from: record.from };
    case "entries":
      return { ...base, entries: record.entries.map(({ index, kind, payload, term }) => ({ index, term, kind, bytes: payload.length })) };
    case "commit":
      return { ...base, commit: record.commit };
    case "floor":
    case "installed": {
      const { index, keepFrom, membership, term } = record.floor;
      return { ...base, index, term, keep_from: keepFrom, voters: membership.voters, learners: membership.learners };
    }
    case "trust":
      return base;
    case "distrust":
      return { ...base, detail: record.detail };
  }
}

function lineOf(told: Readonly<Record<string, unknown>> & { readonly group: number | null }): string {
  const { file, offset, batch, record, group, entries, ...rest } = told;
  const words = Object.entries(rest).map(([name, value]) => `${name}=${Array.isArray(value) ? value.join(",") : String(value)}`);
  if (Array.isArray(entries)) {
    const list = entries as readonly { readonly index: number; readonly term: number; readonly kind: string; readonly bytes: number }[];
    words.push(...list.map(({ bytes, index, kind, term }) => `${index}:${term}:${kind}:${bytes}B`));
  }
  const name = typeof file === "string" ? file.slice(file.lastIndexOf("/") + 1) : "";
  return `${name} ${String(offset)} #${String(batch)} group=${group === null ? "all" : String(group)} ${String(record)} ${words.join(" ")}`.trimEnd();
}

function groupOption(text: string): number {
  if (!/^\d{1,3}$/.test(text)) throw new InvalidArgumentError("It must be the number of a group: 0, or that of a shard.");
  return Number(text);
}
