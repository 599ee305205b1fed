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
// The chain is the server's; it is loaded only when one of these verbs runs.
const loadServer = () => import("@trivet/server");

export function registerAudit(program: Command, context: Context): void {
  const audit = program
    .command("audit")
    .description("the audit log of a node (AUDIT_LOG): what was administered and what was refused there");

  audit
    .command("verify")
    .argument("[file]", "the log; AUDIT_LOG when not given")
    .option("--anchor <seq:code>", "an anchor that the node printed to its ordinary log (repeatable)", anchorOption, [])
    .description("check that no line was changed, moved or left out; with anchors, that none is missing at the end. Needs AUDIT_KEY")
    .action(async (file: string | undefined, options: { anchor: readonly Anchor[] }, command: Command) => {
      const { output } = toolsOf(context, command);
      const key = context.env["AUDIT_KEY"];
      if (!key) throw missing("AUDIT_KEY is not set.", "The lines are sealed with it.", "AUDIT_KEY=… trivet audit verify FILE");
      const { verifyAudit } = await loadServer();
      const path = pathOf(context, file);
      const verdict = verifyAudit(key, read(path), options.anchor);
      if (!verdict.ok) {
        throw new CliError({
          code: "audit_broken",
          exitCode: exitCodes.conflict,
          what: `${path}, line ${verdict.line}: ${verdict.fault}.`,
          why: `The ${verdict.records} records before it are as they were written.`,
          next: "keep the file; compare it with the anchors in the node's ordinary log (audit.anchor) and with what other nodes say",
          details: { line: verdict.line, records: verdict.records },
        });
      }
      const { records, head } = verdict;
      output.result(
        "audit-verdict",
        { ok: true, records, head },
        () => `${path}: ${records} records, none changed. The last is ${head.seq}:${head.mac}`,
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

function countOption(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 100_000)
    throw new InvalidArgumentError("It must be a whole number from 1 to 100000.");
  return count;
}
