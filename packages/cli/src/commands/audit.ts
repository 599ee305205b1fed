import { exitCodes } from "@trivet/contract";
import { type Command, InvalidArgumentError } from "commander";
import { readFileSync } from "node:fs";
import { toolsOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";
import { printable } from "../output/output.ts";

interface Anchor {
  readonly seq: number;
  readonly mac: string;
}
interface VerifyOptions {
  readonly anchor: readonly Anchor[];
  readonly anchorsOf: readonly string[];
}
// The chain is the server's; it is loaded only when one of these verbs runs.
const loadServer = () => import("@trivet/server");

export function registerAudit(program: Command, context: Context): void {
  const audit = program
    .command("audit")
    .description("the audit log of a node (AUDIT_LOG): what was administered and what was refused there");

  audit
    .command("verify")
    .argument(
      "[files...]",
      "the log, or its files in their order; AUDIT_LOG when not given. Of one file, what was put aside of it is checked as well",
    )
    .option("--anchor <seq:code>", "an anchor that the node printed to its ordinary log (repeatable)", anchorOption, [])
    .option("--anchors-of <file>", "an ordinary log of the node; all anchors in it are taken (repeatable)", fileOption, [])
    .description("check that no line was changed, moved or left out; with anchors, that none is missing at the end. Needs AUDIT_KEY")
    .action(async (files: readonly string[], options: VerifyOptions, command: Command) => {
      const { output } = toolsOf(context, command);
      const key = context.env["AUDIT_KEY"];
      if (!key) throw missing("AUDIT_KEY is not set.", "The lines are sealed with it.", "AUDIT_KEY=… trivet audit verify FILE");
      const { verifyAudit, setAside } = await loadServer();
      const anchors = [...options.anchor, ...options.anchorsOf.flatMap((path) => anchorsIn(read(path)))];
      const named = files.length > 0 ? files : [pathOf(context, undefined)];
      const [first = ""] = named;
      const paths = named.length === 1 ? [...setAside(first), first] : named;
      const verdict = verifyAudit(key, paths.map(read), anchors);
      const where = paths.at(verdict.file ?? -1) ?? first;
      if (!verdict.ok) {
        throw new CliError({
          code: "audit_broken",
          exitCode: exitCodes.conflict,
          what: verdict.line === null ? `${where}: ${verdict.fault}.` : `${where}, line ${verdict.line}: ${verdict.fault}.`,
          why: `The ${verdict.records} records before it are as they were written.`,
          next: "keep the files; compare them with the anchors in the node's ordinary log (audit.anchor) and with what other nodes say",
          details: { file: where, line: verdict.line, records: verdict.records },
        });
      }
      const { records, head, first: begins } = verdict;
      output.result("audit-verdict", { ok: true, files: paths, begins_at: begins, records, anchors: anchors.length, head }, () =>
        [
          `${paths.join(", ")}: ${records} records, none changed. The last is ${head.seq}:${head.mac}`,
          ...(begins === 1 ? [] : [`They begin with record ${begins}; what was before is in files that were not given.`]),
          ...(anchors.length === 0 ? ["No anchor was given, so a missing end would not be noticed (--anchors-of LOG)."] : []),
        ].join("\n"),
      );
    });

  audit
    .command("tail")
    .argument("[file]", "the log; AUDIT_LOG when not given")
    .option("-n, --lines <count>", "so many records from the end", countOption, 20)
    .description("the last records, unchecked")
    .action((file: string | undefined, options: { lines: number }, command: Command) => {
      const { output } = toolsOf(context, command);
      const lines = read(pathOf(context, file))
        .split("\n")
        .filter((line) => line !== "")
        .slice(-options.lines);
      output.result("audit", { records: lines.map(recordOf) }, () => lines.map(printable).join("\n"));
    });
}

function pathOf(context: Context, file: string | undefined): string {
  const path = file ?? context.env["AUDIT_LOG"];
  if (!path) throw missing("No audit log is named.", "", "trivet audit verify FILE, or AUDIT_LOG=FILE");
  return path;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw missing(
      `${path} cannot be read.`,
      error instanceof Error ? error.message : String(error),
      "name the file that AUDIT_LOG of the node names",
    );
  }
}

function recordOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return { line };
  }
}

const missing = (what: string, why: string, next: string): CliError =>
  new CliError({ code: "configuration", exitCode: exitCodes.configuration, what, why, next });

function anchorOption(text: string, before: readonly Anchor[]): readonly Anchor[] {
  const match = /^([0-9]{1,15}):([0-9a-f]{64})$/.exec(text);
  if (match === null) throw new InvalidArgumentError("An anchor is NUMBER:CODE, as in the line audit.anchor of the node's log.");
  return [...before, { seq: Number(match[1]), mac: match[2] ?? "" }];
}

/** In the lines of a log, whether for people or JSON. */
const anchorsIn = (text: string): readonly Anchor[] =>
  [...text.matchAll(/audit log anchor ([0-9]{1,15}):([0-9a-f]{64})/g)].map(([, seq, mac = ""]) => ({ seq: Number(seq), mac }));

const fileOption = (text: string, before: readonly string[]): readonly string[] => [...before, text];

function countOption(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 100_000)
    throw new InvalidArgumentError("It must be a whole number from 1 to 100000.");
  return count;
}
