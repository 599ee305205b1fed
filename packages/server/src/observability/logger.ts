import { join } from "node:path";
import { pino, type Logger as PinoLogger } from "pino";
import type { LogLevel } from "@trivet/engine";
import { LogFile, type LogFileLimits } from "./log-file.ts";

export type Fields = Readonly<Record<string, unknown>>;
export interface LoggerOptions {
  readonly nodeId: string;
  readonly level: LogLevel;
  /** Folder of the files; null writes none. */
  readonly dir: string | null;
  /** When a file is moved aside, and how many are kept; as in the configuration when not given. */
  readonly files?: LogFileLimits;
  /** What stdout shows. */
  readonly format: "text" | "json";
  readonly stdout: (text: string) => void;
  readonly wallNow?: () => Date;
}

const order: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50 };
const secretFields = /key|secret|password|token|authorization/i;
/** Fields that name a thing, not a secret. */
const plainFields: ReadonlySet<string> = new Set(["fencing_token", "cache_key"]);

/** Members of every JSON line; a field of the same name would be a second one, and readers differ in which they take. */
const lineMembers: ReadonlySet<string> = new Set(["level", "time", "node", "event", "message"]);

function shown(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return /[\s"=]/.test(text) ? JSON.stringify(text) : text;
}
const oneLine = (text: string): string => text.replaceAll(/[\r\n]+/g, " ⏎ ");

/** `2026-11-20T19:00:00.000Z INFO  [node1] text key=value`: one event, one line. */
export function textLine(at: Date, level: LogLevel, nodeId: string, event: string, text: string, fields: Fields): string {
  const rest = Object.entries(fields)
    .filter(([key, value]) => value !== undefined && value !== null && key !== "stack")
    .map(([key, value]) => ` ${key}=${shown(value)}`)
    .join("");
  return `${at.toISOString()} ${level.toUpperCase().padEnd(5)} [${nodeId}] ${oneLine(text)} event=${event}${oneLine(rest)}\n`;
}

/**
 * The same events twice (L-12): text for people on stdout and in `<dir>/<node>.log`, JSON lines in `<dir>/<node>_structured.log`.
 * A folder that cannot be written is a warning: a node must not die of its log.
 */
export class Logger {
  readonly #options: LoggerOptions;
  readonly #pino: PinoLogger;
  #text: LogFile | null = null;
  #structured: LogFile | null = null;
  #filesOnly = false;

  constructor(options: LoggerOptions) {
    this.#options = options;
    this.#open();
    this.#pino = pino(
      {
        level: options.level,
        base: { node: options.nodeId },
        timestamp: () => `,"time":"${this.#now().toISOString()}"`,
        formatters: { level: (label) => ({ level: label }) },
        messageKey: "message",
      },
      { write: (line: string) => this.#json(line) },
    );
  }

  get level(): LogLevel {
    return this.#options.level;
  }
  isOn(level: LogLevel): boolean {
    return order[level] >= order[this.#options.level];
  }

  #now(): Date {
    return this.#options.wallNow?.() ?? new Date();
  }

  #open(): void {
    const { dir, files, nodeId } = this.#options;
    if (dir === null) return;
    const failed = (error: Error, next = ""): void => this.log("warn", "log.failed", `log files are off: ${error.message}${next}`);
    try {
      this.#text = new LogFile(join(dir, `${nodeId}.log`), failed, files);
      this.#structured = new LogFile(join(dir, `${nodeId}_structured.log`), failed, files);
    } catch (error) {
      this.#text = null;
      this.#structured = null;
      const next = `; the lines are on stdout only: let the user of this process write to ${dir}, or set LOG_DIR=off`;
      queueMicrotask(() => failed(error instanceof Error ? error : new Error(String(error)), next));
    }
  }

  #json(line: string): void {
    this.#structured?.write(line);
    if (this.#options.format === "json" && !this.#filesOnly) this.#options.stdout(line);
  }

  /** For the files only: what a person is told in another way. */
  note(level: LogLevel, event: string, text: string, fields: Fields = {}): void {
    this.#filesOnly = true;
    this.log(level, event, text, fields);
    this.#filesOnly = false;
  }

  log(level: LogLevel, event: string, text: string, fields: Fields = {}): void {
    if (!this.isOn(level)) return;
    const clean = Object.fromEntries(
      Object.entries(fields)
        .filter(([key, value]) => key !== "node" || value !== this.#options.nodeId)
        .map(([key, value]) => [
          lineMembers.has(key) ? `field_${key}` : key,
          secretFields.test(key) && !plainFields.has(key) ? "****" : value,
        ]),
    );
    this.#pino[level]({ event, ...clean }, text);
    const line = textLine(this.#now(), level, this.#options.nodeId, event, text, clean);
    this.#text?.write(line);
    if (this.#options.format === "text" && !this.#filesOnly) this.#options.stdout(line);
  }

  /** Everything is with the operating system afterwards. */
  async flush(): Promise<void> {
    await Promise.all([this.#text?.flush(), this.#structured?.flush()]);
  }
  flushSync(): void {
    this.#text?.flushSync();
    this.#structured?.flushSync();
  }
}
