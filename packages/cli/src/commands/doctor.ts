import { exitCodes } from "@trivet/contract";
import type { Command } from "commander";
import { namedIn, secureFetch, type TlsFiles } from "../api/secure-fetch.ts";
import { tokenOf, toolsOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";
import { printable, type Output } from "../output/output.ts";

/** One thing that was looked at. */
interface Finding {
  readonly check: string;
  readonly severity: "ok" | "warning" | "error";
  readonly what: string;
  readonly next: string | null;
}

export function registerDoctor(program: Command, context: Context): void {
  program
    .command("doctor")
    .argument("[flags...]", "flags of trivet serve, for example --env-file FILE")
    .allowUnknownOption()
    .allowExcessArguments()
    .description(
      "look at everything the node configured here needs: settings, data, disk, ports, peers, clocks; each finding says what to do",
    )
    .addHelpText(
      "after",
      "\nWhere no PEERS are named, it also says what answers at --url or TRIVET_URL, else at ports 8001, 8002, 8003 and 8000 of this machine.\nExit codes: 0 nothing is wrong (warnings may be), 1 something is. Nothing is changed.",
    )
    .action(async (flags: readonly string[], _options: unknown, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const findings = await findingsHere(context, flags, command.optsWithGlobals<TlsFiles>(), api.urls);
      output.result("doctor", { ok: findings.every(({ severity }) => severity !== "error"), findings }, () =>
        findingsText(output, findings),
      );
      const errors = findings.filter(({ severity }) => severity === "error");
      const [first] = errors;
      if (first === undefined) return;
      throw new CliError({
        code: "unhealthy",
        exitCode: exitCodes.failure,
        what: errors.length === 1 ? first.what : `${errors.length} things are wrong; the first: ${first.what}`,
        next: first.next ?? "",
      });
    });
}

export async function findingsHere(
  context: Context,
  flags: readonly string[],
  named: TlsFiles,
  clusterUrls: readonly string[],
): Promise<readonly Finding[]> {
  const { diagnose } = await import("@trivet/server");
  return diagnose({
    argv: flags.filter((word) => word !== "--json"),
    env: context.env,
    cwd: process.cwd(),
    // A node's own certificate does for a look at it and at its peers, whose client it is; what was named goes before it.
    fetchWith: (tls) => {
      const own = tls === null ? {} : { ca: tls.caFile, clientCert: tls.certFile, clientKey: tls.keyFile };
      return secureFetch({ ...own, ...namedIn(named) }) ?? context.fetch;
    },
    token: tokenOf(context.env),
    clusterUrls,
    nowMs: () => Date.now(),
  });
}

function findingsText({ paint }: Output, findings: readonly Finding[]): string {
  const paints = { ok: paint.green, warning: paint.yellow, error: paint.red } as const;
  const lines = findings.map(({ check, next, severity, what }) => {
    const advice = next === null ? "" : `\n         next: ${printable(next)}`;
    return `${paints[severity](severity.padEnd(8))} ${check}: ${printable(what)}${advice}`;
  });
  return lines.join("\n");
}
