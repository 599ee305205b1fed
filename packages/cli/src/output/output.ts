import Table from "cli-table3";
import colors from "picocolors";
import type { CliError } from "./errors.ts";

/** Version of every `--json` document. Raised only when a field changes its meaning or goes away. */
export const jsonVersion = 1;

/** Where text goes; the tests give their own. */
export interface Streams {
  readonly stdout: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
}

export type Paint = Pick<ReturnType<typeof colors.createColors>, "bold" | "dim" | "red" | "green" | "yellow" | "cyan">;

/** Data on stdout, narration on stderr; JSON when asked; colour only for people. */
export interface Output {
  readonly json: boolean;
  /** True when a person looks at stdout. */
  readonly interactive: boolean;
  readonly paint: Paint;
  /** The answer of the verb. Text is built only when it is wanted. */
  result(kind: string, value: Readonly<Record<string, unknown>>, asText: () => string): void;
  /** Narration: progress, hints, warnings. */
  say(text: string): void;
  /** Narration of a verb whose stdout is another program's: JSON on stderr when asked, else text. */
  tell(kind: string, value: Readonly<Record<string, unknown>>, text: string): void;
  fail(error: CliError): void;
}

export function createOutput(options: { readonly json: boolean; readonly streams: Streams; readonly env: NodeJS.ProcessEnv }): Output {
  const { json, streams, env } = options;
  const interactive = streams.stdout.isTTY === true && env["TERM"] !== "dumb";
  const paint = colors.createColors(interactive && !env["NO_COLOR"]);
  const errorPaint = colors.createColors(streams.stderr.isTTY === true && env["TERM"] !== "dumb" && !env["NO_COLOR"]);
  return {
    json,
    interactive,
    paint,
    result: (kind, value, asText) => {
      streams.stdout.write(json ? `${JSON.stringify({ version: jsonVersion, kind, ...value })}\n` : withNewline(asText()));
    },
    say: (text) => void streams.stderr.write(`${text}\n`),
    tell: (kind, value, text) => void streams.stderr.write(`${json ? JSON.stringify({ version: jsonVersion, kind, ...value }) : text}\n`),
    fail: (error) => void streams.stderr.write(json ? `${errorAsJson(error)}\n` : errorAsText(error, errorPaint)),
  };
}

function withNewline(text: string): string {
  return text.endsWith("\n") || text === "" ? text : `${text}\n`;
}

function errorAsJson(error: CliError): string {
  const { code, exitCode, message, why, next, details } = error;
  return JSON.stringify({ version: jsonVersion, kind: "error", error: { code, exit_code: exitCode, what: message, why, next, details } });
}

function errorAsText(error: CliError, paint: Paint): string {
  const lines = [`${paint.red("error:")} ${error.message}`];
  if (error.why) lines.push(`${paint.dim("why:")}   ${error.why.split("\n").join("\n       ")}`);
  if (error.next) lines.push(`${paint.dim("next:")}  ${error.next.split("\n").join("\n       ")}`);
  return `${lines.join("\n")}\n`;
}

/** A plain table: aligned columns, no lines, so that `cut` and `awk` work on it. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], paint: Paint): string {
  const nothing = {
    top: "",
    "top-mid": "",
    "top-left": "",
    "top-right": "",
    bottom: "",
    "bottom-mid": "",
    "bottom-left": "",
    "bottom-right": "",
  };
  const inner = { left: "", "left-mid": "", mid: "", "mid-mid": "", right: "", "right-mid": "", middle: "  " };
  const drawn = new Table({ chars: { ...nothing, ...inner }, style: { "padding-left": 0, "padding-right": 0, head: [], border: [] } });
  drawn.push(
    head.map((cell) => paint.bold(cell)),
    ...rows.map((row) => [...row]),
  );
  return drawn
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** Control characters of names and owners must not reach a terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`);
}

export function milliseconds(value: number | null): string {
  if (value === null) return "";
  if (value < 1_000) return `${Math.round(value)} ms`;
  if (value < 120_000) return `${(value / 1_000).toFixed(1)} s`;
  return `${Math.round(value / 60_000)} min`;
}
