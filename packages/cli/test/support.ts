import { buildProgram, CliError, type Context } from "@trivet/cli";

interface Reply {
  readonly status?: number;
  readonly body?: unknown;
  /** The connection fails with this code. */
  readonly fails?: string;
}
export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly error: unknown;
  /** `METHOD url body` of every call made. */
  readonly calls: readonly string[];
}

/** Runs one command line of the CLI against made-up nodes. */
export async function runCli(
  args: readonly string[],
  answer: (method: string, url: string, body: unknown) => Reply,
  options: {
    readonly headers?: (headers: Headers) => void;
    readonly prompt?: (question: string) => Promise<string>;
    readonly env?: NodeJS.ProcessEnv;
    readonly run?: Context["run"];
  } = {},
): Promise<Ran> {
  let stdout = "";
  let stderr = "";
  const calls: string[] = [];
  const context: Context = {
    env: options.env ?? {},
    streams: { stdout: { write: (text) => (stdout += text) }, stderr: { write: (text) => (stderr += text) } },
    prompt: options.prompt ?? null,
    run: options.run ?? (async () => "no program is run here"),
    signal: new AbortController().signal,
    fetch: async (input, init) => {
      options.headers?.(new Headers(init?.headers));
      const url = input instanceof Request ? input.url : String(input);
      const text = typeof init?.body === "string" ? init.body : "";
      calls.push([init?.method, url, text].filter(Boolean).join(" "));
      const reply = answer(init?.method ?? "GET", url, text === "" ? undefined : JSON.parse(text));
      if (reply.fails) throw new TypeError("fetch failed", { cause: Object.assign(new Error(reply.fails), { code: reply.fails }) });
      return new Response(JSON.stringify(reply.body ?? {}), { status: reply.status ?? 200 });
    },
  };
  let error: unknown = null;
  try {
    await buildProgram(context).parseAsync(["node", "trivet", ...args]);
  } catch (thrown) {
    error = thrown;
  }
  return { stdout, stderr, error, calls };
}

/** The error of a run, which must be the CLI's own kind. */
export function cliError(ran: Ran): CliError {
  if (ran.error instanceof CliError) return ran.error;
  throw new Error(`expected a CliError, got ${String(ran.error)}`, { cause: ran.error });
}
