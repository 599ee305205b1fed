import { exitCodes, settingOf, type SettingName } from "@trivet/contract";
import type { Command } from "commander";
import { hostname } from "node:os";
import { join } from "node:path";
import { type Api, createApi, defaultUrls } from "../api/http.ts";
import { namedIn, secureFetch, type TlsFiles } from "../api/secure-fetch.ts";
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
another of its names; with other settings of a node but no port: ${String(settingOf("HTTP_PORT").default)}), over HTTPS with the node's own
certificates where it has some (TLS_MODE, CERT_FILE, CERT_PATH). Where nothing is configured: the first that answers on this
machine, as trivet status finds it (ports 8001, 8002, 8003, 8000).`,
    )
    .action(async (options: { live?: boolean }, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const flags = command.optsWithGlobals<{ url?: string } & TlsFiles>();
      const own = ownNode(context.env);
      const urls = flags.url === undefined ? own.urls : api.urls.slice(0, 1);
      // The node's own files do for a check of itself; those that were named go before them.
      const files = flags.url === undefined ? { ...own.files, ...namedIn(flags) } : namedIn(flags);
      const asked = createApi({ urls, timeoutMs: askSeconds * 1_000, fetch: secureFetch(files) ?? context.fetch });
      const { url, answer } = await firstAnswer(asked, options.live ? "/v1/health/live" : "/health");
      const body = answer.body as { readonly status?: string; readonly node_id?: string; readonly leader?: string | null };
      if (answer.status !== 200) throw unwell(url, body.status ?? `HTTP ${answer.status}`);
      const { leader, node_id: node } = body;
      output.result("health", { ok: true, url, node: node ?? null, leader: leader ?? null }, () => `${node ?? url} is well.`);
    });
}

type Answer = Extract<Awaited<ReturnType<Api["ask"]>>, { readonly status: number }>;

async function firstAnswer(api: Api, path: string): Promise<{ readonly url: string; readonly answer: Answer }> {
  const silent: string[] = [];
  for (const url of api.urls) {
    const answer = await api.ask(url, path);
    if (!("problem" in answer)) return { url, answer };
    silent.push(api.urls.length === 1 ? answer.problem : `${url}: ${answer.problem}`);
  }
  if (api.urls.length === 1) throw unwell(api.urls[0] ?? "", silent.join("\n"));
  throw new CliError({
    code: "not_healthy",
    exitCode: exitCodes.unavailable,
    what: "No node answers on this machine.",
    why: silent.join("\n"),
    next: "npm start (a cluster on this machine), or --url http://HOST:PORT to name a node",
  });
}

const ofNode = ["HTTP_PORT", "NODE_ID", "TLS_MODE", "CERT_PATH", "CERT_FILE", "KEY_FILE"] as const;

/** Where the node that shares this environment listens, and with which certificates. Not the server's own reading: loading that takes longer than the check. */
function ownNode(env: NodeJS.ProcessEnv): { readonly urls: readonly string[]; readonly files: TlsFiles } {
  // No node shares it: whatever `trivet status` would find.
  if (ofNode.every((name) => valueOf(env, name) === null)) return { urls: defaultUrls, files: {} };
  const port = valueOf(env, "HTTP_PORT") ?? String(settingOf("HTTP_PORT").default);
  const folder = valueOf(env, "CERT_PATH");
  const certFile = valueOf(env, "CERT_FILE");
  const keyFile = valueOf(env, "KEY_FILE");
  const mode = valueOf(env, "TLS_MODE");
  const isMeant = folder !== null || certFile !== null || keyFile !== null;
  if (mode === "off" || (mode === null && !isMeant)) return { urls: [`http://127.0.0.1:${port}`], files: {} };
  const fileOf = (named: string | null, name: string): string => named ?? join(folder ?? ".", name);
  const node = valueOf(env, "NODE_ID") ?? hostname();
  const files = {
    ca: fileOf(valueOf(env, "CA_FILE"), "ca.crt"),
    // Where clients must show one (TLS_MODE=mutual) a node's does: it is a client of the other nodes.
    clientCert: fileOf(certFile, `${node}.crt`),
    clientKey: fileOf(keyFile, `${node}.key`),
  };
  return { urls: [`https://127.0.0.1:${port}`], files };
}

/** By any of its names; null = not set. */
function valueOf(env: NodeJS.ProcessEnv, name: SettingName): string | null {
  const setting = settingOf(name);
  for (const alias of [{ name }, ...(setting.aliases ?? [])]) {
    const text = env[alias.name];
    if (text === undefined || text === "") continue;
    const meant = "values" in alias ? alias.values?.[text.trim().toLowerCase()] : undefined;
    if (meant !== undefined) return meant;
    return setting.kind === "choice" ? text.trim().toLowerCase() : text;
  }
  return null;
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
