import { errorCatalogue, exitCodes, type ErrorCode, type ExitCode } from "@trivet/contract";

/** A failure told to a person: what happened, why, and the next command. Carries the exit code. */
export class CliError extends Error {
  /** Code of the error catalogue, or a word of the CLI's own. */
  readonly code: string;
  readonly exitCode: ExitCode;
  readonly why: string;
  readonly next: string;
  /** What the server sent beside its text: holders, cycle, leader. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(fields: {
    readonly code: string;
    readonly exitCode: ExitCode;
    readonly what: string;
    readonly why?: string;
    readonly next?: string;
    readonly details?: Readonly<Record<string, unknown>>;
    readonly cause?: unknown;
  }) {
    super(fields.what, { cause: fields.cause });
    this.name = "CliError";
    this.code = fields.code;
    this.exitCode = fields.exitCode;
    this.why = fields.why ?? "";
    this.next = fields.next ?? "";
    this.details = fields.details ?? {};
  }
}

/** A command that a verb ran has ended, or a signal has ended the verb: nothing is to be told, the process ends with this code. */
export class Ended extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`ends with exit code ${exitCode}`);
    this.name = "Ended";
    this.exitCode = exitCode;
  }
}

/** Wrong use of a verb: exit 64. */
export function usageError(what: string, next: string): CliError {
  return new CliError({ code: "usage", exitCode: exitCodes.usage, what, next });
}

interface ProblemBody {
  readonly code?: unknown;
  readonly title?: unknown;
  readonly detail?: unknown;
  readonly next?: unknown;
  readonly [key: string]: unknown;
}

const ownMembers = new Set(["type", "title", "status", "detail", "code", "error", "next", "success"]);

/** Turns an error answer of a node into what the CLI prints and how it exits. */
export function errorFromAnswer(status: number, body: unknown, call: string): CliError {
  const problem: ProblemBody = typeof body === "object" && body !== null ? (body as ProblemBody) : {};
  const code = typeof problem.code === "string" ? problem.code : `http_${status}`;
  const entry = Object.hasOwn(errorCatalogue, code) ? errorCatalogue[code as ErrorCode] : undefined;
  const details = Object.fromEntries(Object.entries(problem).filter(([key]) => !ownMembers.has(key)));
  return new CliError({
    code,
    exitCode: entry?.exitCode ?? exitCodes.failure,
    what: text(problem.title) || entry?.title || `${call} answered ${status}.`,
    why: text(problem.detail),
    next: text(problem.next) || (entry?.next ?? ""),
    details,
  });
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
