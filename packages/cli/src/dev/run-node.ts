import { exitCodes, type ExitCode } from "@trivet/contract";
import { CliError } from "../output/errors.ts";

export interface RunNodeOptions {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Names that `.env` may not set here. */
  readonly ignoreInDotenv?: (name: string) => boolean;
}

/** One node in this process: reads the configuration and starts it. The server is loaded here and nowhere else in the CLI. */
export async function startConfiguredNode(options: RunNodeOptions): Promise<{ stop(): Promise<void> }> {
  const { loadConfig, ConfigError, startNode } = await import("@trivet/server");
  try {
    const loaded = loadConfig({
      argv: options.argv,
      env: options.env,
      ...(options.ignoreInDotenv ? { ignoreInDotenv: options.ignoreInDotenv } : {}),
    });
    return await startNode(loaded.config, { warnings: loaded.warnings });
  } catch (error) {
    if (error instanceof ConfigError) throw cannotStart(error.exitCode, error.faults, error.next);
    throw error;
  }
}

const nextAfter: Readonly<Partial<Record<ExitCode, string>>> = {
  [exitCodes.storage]: "look at the directory and its disk (rights, free space), then start the node again",
  [exitCodes.usage]: "trivet serve --help",
  [exitCodes.configuration]: "correct the value, then: trivet config check",
};

function cannotStart(exitCode: ExitCode, faults: readonly string[], next: string | null): CliError {
  const [first = "The node cannot start.", ...others] = faults;
  return new CliError({ code: "cannot_start", exitCode, what: first, why: others.join("\n"), next: next ?? nextAfter[exitCode] ?? "" });
}

function endWithFault(error: unknown): never {
  process.stderr.write(`error: a fault in Trivet: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(exitCodes.internal);
}

/**
 * A task that dies must not leave a half-dead process behind: whoever restarts processes is there for that (T-19). Only for processes
 * that run a node.
 */
export function endOnFaults(): void {
  process.on("uncaughtException", endWithFault);
  process.on("unhandledRejection", endWithFault);
}

/**
 * Runs one node until a signal ends it, then ends the process. The only way to run a node as a process of its own: `trivet serve`, `npm run
 * node`, `npm start` with NODE_ID set, and the container image all come here, so the server package has no program of its own.
 */
export async function runNode(options: RunNodeOptions): Promise<never> {
  endOnFaults();
  const stopRequested = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve());
    // A launcher that forked us with a channel and died must not leave a node behind that keeps its port (recipes §3).
    process.once("disconnect", resolve);
  });
  const node = await startConfiguredNode(options);
  await stopRequested;
  await node.stop();
  process.exit(exitCodes.ok);
}
