import { exitCodes } from "@trivet/contract";
import type { Command } from "commander";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { createApi, urlsFrom, type Api } from "./api/http.ts";
import { secureFetch, type TlsFiles } from "./api/secure-fetch.ts";
import { CliError, usageError } from "./output/errors.ts";
import { createOutput, type Output, type Streams } from "./output/output.ts";

/** What every verb gets from outside; tests give their own. */
export interface Context {
  readonly env: NodeJS.ProcessEnv;
  readonly streams: Streams;
  readonly fetch: typeof fetch;
  /** Asks a person; null when nobody is there to answer. */
  readonly prompt: ((question: string) => Promise<string>) | null;
  /** Runs a program with these variables added to the environment, its output where a person reads ours. Gives its exit code, or why it could not be run. */
  readonly run: (command: readonly string[], env: Readonly<Record<string, string>>) => Promise<number | string>;
  /** Aborted by Ctrl-C; verbs that run on (`status --watch`) end then. */
  readonly signal: AbortSignal;
}

interface GlobalOptions extends TlsFiles {
  readonly json?: boolean;
  readonly url?: string;
  readonly timeout?: number;
}

/** Output and API as the global options of this call say. */
export function toolsOf(
  context: Context,
  command: Command,
  /** How long the server itself may take for this verb, when that is longer than the usual time; `--timeout` goes before it. */
  serverSeconds = 0,
): { readonly output: Output; readonly api: Api } {
  const options = command.optsWithGlobals<GlobalOptions>();
  const { timeout = 15 } = options;
  const seconds = command.getOptionValueSourceWithGlobals("timeout") === "default" ? Math.max(timeout, serverSeconds) : timeout;
  return {
    output: createOutput({ json: options.json === true, streams: context.streams, env: context.env }),
    api: createApi({
      urls: urlsFrom(options.url, context.env),
      timeoutMs: seconds * 1_000,
      fetch: secureFetch(options) ?? context.fetch,
      token: () => tokenOf(context.env),
    }),
  };
}

/** Read for each call: a token that was renewed is taken by verbs that run on. Without a file TRIVET_TOKEN counts. */
export function tokenOf(env: NodeJS.ProcessEnv): string | undefined {
  const path = env["TRIVET_TOKEN_FILE"];
  if (!path) return env["TRIVET_TOKEN"];
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new CliError({
      code: "configuration",
      exitCode: exitCodes.configuration,
      what: "The key or token for the cluster cannot be read.",
      why: `TRIVET_TOKEN_FILE: ${(error as Error).message}`,
      next: "name a file that holds it, or set TRIVET_TOKEN",
      cause: error,
    });
  }
}

export function processContext(signal: AbortSignal): Context {
  const { env, stdin, stdout, stderr } = process;
  const prompt = async (question: string): Promise<string> => {
    const lines = createInterface({ input: stdin, output: stderr });
    try {
      return await lines.question(question);
    } finally {
      lines.close();
    }
  };
  return { env, streams: { stdout, stderr }, fetch, prompt: stdin.isTTY ? prompt : null, run: runProgram, signal };
}

function runProgram(command: readonly string[], env: Readonly<Record<string, string>>): Promise<number | string> {
  const [program = "", ...args] = command;
  return new Promise((resolve) => {
    // Narration: our stdout is for data.
    const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", process.stderr, process.stderr] });
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, killedBy) => resolve(code ?? `ended by ${killedBy ?? "a signal"}`));
  });
}

/** Destructive verbs: the person types the name of the thing, or `--yes` was given. */
export async function confirm(context: Context, what: string, name: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!context.prompt) throw usageError(`${what} This needs a confirmation.`, "repeat the command with --yes");
  const answer = await context.prompt(`${what}\nType ${name} to go on: `);
  if (answer.trim() !== name) throw usageError("Not confirmed; nothing was done.", "type the name exactly, or use --yes");
}
