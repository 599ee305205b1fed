import { exitCodes } from "@trivet/contract";
import type { Command } from "commander";
import { resolve } from "node:path";
import { reasonOf } from "../api/http.ts";
import type { TlsFiles } from "../api/secure-fetch.ts";
import { toolsOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";
import { findingsHere } from "./doctor.ts";

export function registerDebug(program: Command, context: Context): void {
  const debug = program.command("debug").description("for whoever helps from afar");
  debug
    .command("bundle")
    .argument("<dir>", "is made; must not exist")
    .description(
      "versions, configuration without its secrets, what doctor finds, state and metrics of the nodes, logs, the state of the log in DATA_DIR. " +
        "Nothing that clients stored",
    )
    .action(async (dir: string, _options: unknown, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const directory = resolve(dir);
      const { writeBundle } = await import("@trivet/server");
      output.say("asking the nodes, and looking at this machine…");
      const ask = (url: string, path: string): Promise<string> =>
        api.text(url, path).catch((error: unknown) => `no answer: ${reasonOf(error)}\n`);
      const findings = await findingsHere(context, [], command.optsWithGlobals<TlsFiles>(), api.urls);
      const files = await writeBundle({ argv: [], env: context.env, directory, findings, urls: api.urls, ask }).catch((error: unknown) => {
        throw diskError(directory, error);
      });
      output.result("debug-bundle", { directory, files }, () =>
        [
          `${directory}: ${files.length} files, secrets taken out. Names of locks, queues and clients are in it: look through it before you give it away.`,
          `tar czf trivet-debug.tar.gz -C ${resolve(directory, "..")} ${directory.slice(directory.lastIndexOf("/") + 1)}`,
        ].join("\n"),
      );
    });
}

function diskError(directory: string, error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error)) return error;
  const exists = error.code === "EEXIST";
  return new CliError({
    code: exists ? "exists" : "storage",
    exitCode: exists ? exitCodes.conflict : exitCodes.storage,
    what: exists ? `${directory} is there already; nothing was written.` : `${directory} cannot be written.`,
    why: exists ? "" : error.message,
    next: "name another directory",
    cause: error,
  });
}
