import { CommanderError } from "commander";
import { exitCodes } from "@trivet/contract";
import { processContext } from "./context.ts";
import { CliError, Ended } from "./output/errors.ts";
import { createOutput } from "./output/output.ts";
import { buildProgram } from "./program.ts";

// A reader that goes away (`trivet lock ls | head`) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCodes.ok);
  throw error;
});
// Nor is one of what is told beside: `trivet lock NAME -- COMMAND` must see its command to the end.
process.stderr.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

const interrupt = new AbortController();
const context = processContext(interrupt.signal);
const program = buildProgram(context, () => process.once("SIGINT", () => interrupt.abort()));

try {
  await program.parseAsync(process.argv);
} catch (error) {
  // Ends at once: a node that could not start may have left timers and sockets behind, which would keep the process alive.
  process.exit(report(error));
}

function report(error: unknown): number {
  // Commander has printed its own text (help, version, wrong usage) already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof Ended) return error.exitCode;
  // What stands behind dashes is another command's.
  const dashes = process.argv.indexOf("--");
  const own = dashes < 0 ? process.argv : process.argv.slice(0, dashes);
  const output = createOutput({ json: own.includes("--json"), streams: context.streams, env: context.env });
  output.fail(error instanceof CliError ? error : unexpected(error));
  return error instanceof CliError ? error.exitCode : exitCodes.internal;
}

function unexpected(error: unknown): CliError {
  return new CliError({
    code: "internal",
    exitCode: exitCodes.internal,
    what: "A fault in Trivet.",
    why: error instanceof Error ? (error.stack ?? error.message) : String(error),
    next: "report it with the lines above",
    cause: error,
  });
}
