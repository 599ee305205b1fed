import { exitCodes, settingOf } from "@trivet/contract";
import type { Command } from "commander";
import { createApi } from "../api/http.ts";
import { toolsOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";

/** A health check that takes longer has failed already: who runs it has a limit of its own. */
const askSeconds = 4;

export function registerHealth(program: Command, context: Context): void {
  program
    .command("health")
    .option("--live", "only whether the process answers, not whether the cluster has a leader")
    .description("whether the node of this machine is well, for health checks: exit code 0 or 69")
    .addHelpText(
      "after",
      `
Asks one node: that of --url or TRIVET_URL, else the one on 127.0.0.1 at the port that the environment gives (HTTP_PORT or
another of its names), else at port ${String(settingOf("HTTP_PORT").default)}.`,
    )
    .action(async (options: { live?: boolean }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const named = command.optsWithGlobals<{ url?: string }>().url !== undefined;
      const url = named ? (api.urls[0] ?? ownUrl(context.env)) : ownUrl(context.env);
      const asked = createApi({ urls: [url], timeoutMs: askSeconds * 1_000, fetch: context.fetch });
      const answer = await asked.ask(url, options.live ? "/v1/health/live" : "/health");
      if ("problem" in answer) throw unwell(url, answer.problem);
      const body = answer.body as { readonly status?: string; readonly node_id?: string; readonly leader?: string | null };
      if (answer.status !== 200) throw unwell(url, body.status ?? `HTTP ${answer.status}`);
      const { leader, node_id: node } = body;
      output.result("health", { ok: true, url, node: node ?? null, leader: leader ?? null }, () => `${node ?? url} is well.`);
    });
}

/** Where the node that shares this environment listens. */
function ownUrl(env: NodeJS.ProcessEnv): string {
  const setting = settingOf("HTTP_PORT");
  const names = ["HTTP_PORT", ...(setting.aliases ?? []).map(({ name }) => name)];
  const port = names.map((name) => env[name]).find((value) => value !== undefined && value !== "");
  return `http://127.0.0.1:${port ?? String(setting.default)}`;
}

function unwell(url: string, why: string): CliError {
  return new CliError({
    code: "not_healthy",
    exitCode: exitCodes.unavailable,
    what: `${url} is not well.`,
    why,
    next: "the log of the node, or trivet status, says more",
  });
}
