import { exitCodes } from "@trivet/contract";
import type { Command } from "commander";
import { toolsOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";
import { printable, table, type Output } from "../output/output.ts";

// The parser of the configuration is the server's; it is loaded only when one of these verbs runs.
const loadServer = () => import("@trivet/server");
type Report = ReturnType<Awaited<ReturnType<typeof loadServer>>["reportConfig"]>;

export function registerConfig(program: Command, context: Context): void {
  const config = program.command("config").description("the configuration that `trivet serve` would use here, with the same flags");

  takesFlags(config.command("print"))
    .option("--all", "also the settings that are at their default")
    .description("every value that is set, with its source (--all: the defaults too); secrets are masked")
    .action(async (flags: readonly string[], options: { all?: boolean }, command: Command) => {
      const { output } = toolsOf(context, command);
      const report = await reportOf(context, flags);
      tell(output, report);
      const rows = report.rows.filter((row) => options.all || output.json || row.source !== "default");
      output.result("config", { ok: report.ok, settings: rows, faults: report.faults, warnings: report.warnings }, () =>
        rows.length === 0 ? "Everything is at its default (--all shows it).\n" : rowsText(output, rows),
      );
      failIfBad(report);
    });

  takesFlags(config.command("check"))
    .description("read the configuration and say what is wrong with it")
    .action(async (flags: readonly string[], _options: unknown, command: Command) => {
      const { output } = toolsOf(context, command);
      const report = await reportOf(context, flags);
      if (!output.json) tell(output, report);
      failIfBad(report);
      output.result("config-check", { ok: true, warnings: report.warnings }, () => "The configuration is valid.");
    });
}

function takesFlags(command: Command): Command {
  return command.argument("[flags...]", "flags of trivet serve, for example --env-file FILE").allowUnknownOption().allowExcessArguments();
}

async function reportOf(context: Context, argv: readonly string[]): Promise<Report> {
  const { reportConfig } = await loadServer();
  return reportConfig({
    argv: argv.filter((word) => word !== "--all" && word !== "--json"),
    env: context.env,
  });
}

function tell(output: Output, report: Report): void {
  for (const warning of report.warnings) output.say(`warning: ${warning}`);
}

function failIfBad(report: Report): void {
  if (report.ok) return;
  const [first = "", ...others] = report.faults;
  throw new CliError({
    code: "configuration",
    exitCode: exitCodes.configuration,
    what: first,
    why: others.join("\n"),
    next: "correct the value, then: trivet config check",
    details: { faults: report.faults },
  });
}

function rowsText(output: Output, rows: Report["rows"]): string {
  const cells = rows.map((row) => [row.name, printable(row.value ?? ""), row.writtenAs ? `${row.source} as ${row.writtenAs}` : row.source]);
  return table(["SETTING", "VALUE", "SOURCE"], cells, output.paint);
}
