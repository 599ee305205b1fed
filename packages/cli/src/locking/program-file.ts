import { exitCodes } from "@trivet/contract";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { CliError } from "../output/errors.ts";
import { printable } from "../output/output.ts";

/** Where the system looks when nobody says. */
const usualPath = "/usr/local/bin:/usr/bin:/bin";

/**
 * Throws what starting the program would, before anybody waits for a lock: 127 where it is not there, 126 where it cannot be run. Between this and its start it may
 * come or go, so the start is judged again (`startFailure`).
 */
export function checkProgram(program: string, env: NodeJS.ProcessEnv): void {
  const places = program.includes("/")
    ? [program]
    : (env["PATH"] ?? usualPath).split(delimiter).map((folder) => join(folder || ".", program));
  let found: string | null = null;
  for (const path of places) {
    const kind = kindOf(path);
    if (kind === "program") return;
    if (kind === "other") found ??= path;
  }
  throw found === null ? notFound(program) : notExecutable(program, `${found} is not a program that may be executed.`);
}

/** The error of a start that failed. */
export function startFailure(program: string, error: NodeJS.ErrnoException): CliError {
  return error.code === "ENOENT" ? notFound(program) : notExecutable(program, error.message);
}

function kindOf(path: string): "program" | "other" | null {
  try {
    if (!statSync(path).isFile()) return "other";
  } catch (error) {
    // A folder on the way that may not be looked into hides what is there.
    return (error as NodeJS.ErrnoException).code === "EACCES" ? "other" : null;
  }
  try {
    accessSync(path, constants.X_OK);
    return "program";
  } catch {
    // The system's answer to the question, whatever its reason.
    return "other";
  }
}

function notFound(program: string): CliError {
  return new CliError({
    code: "command_not_found",
    exitCode: exitCodes.commandNotFound,
    what: `There is no command ${printable(program)}.`,
    why: program.includes("/")
      ? "The file does not exist."
      : "No folder of PATH has it. No shell looks at it: aliases and functions are not found.",
    next: "write the path of the program, or: sh -c '…'",
  });
}

function notExecutable(program: string, why: string): CliError {
  return new CliError({
    code: "command_not_executable",
    exitCode: exitCodes.commandNotExecutable,
    what: `${printable(program)} cannot be run.`,
    why,
    next: "chmod +x, or name the program that runs it: sh FILE",
  });
}
