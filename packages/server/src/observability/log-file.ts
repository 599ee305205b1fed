import { appendFile, appendFileSync, closeSync, mkdirSync, openSync, renameSync, statSync, truncateSync } from "node:fs";
import { dirname } from "node:path";

/** A log file is moved aside at this size; so many moved ones are kept beside it (W-88). */
export interface LogFileLimits {
  readonly maxBytes: number;
  readonly keep: number;
}
export const defaultLogFileLimits: LogFileLimits = { maxBytes: 16 * 1024 * 1024, keep: 2 };

/**
 * One append-only log file with rotation. Writes are collected per turn and never block the event loop; `flushSync` is for the last
 * words of a process. A failing disk loses log lines, never the node: the first failure is told to `failed`.
 */
export class LogFile {
  readonly #path: string;
  readonly #limits: LogFileLimits;
  readonly #failed: (error: Error) => void;
  #size = 0;
  #lines: string[] = [];
  #writing = false;
  #broken = false;
  #idle: (() => void)[] = [];

  /** Throws when the folder or the file cannot be written. */
  constructor(path: string, failed: (error: Error) => void, limits: LogFileLimits = defaultLogFileLimits) {
    this.#path = path;
    this.#failed = failed;
    this.#limits = limits;
    mkdirSync(dirname(path), { recursive: true });
    closeSync(openSync(path, "a"));
    this.#size = statSync(path).size;
  }

  write(line: string): void {
    if (this.#broken) return;
    this.#lines.push(line);
    this.#pump();
  }

  #pump(): void {
    if (this.#writing || this.#lines.length === 0) {
      if (!this.#writing) for (const done of this.#idle.splice(0)) done();
      return;
    }
    this.#writing = true;
    const text = this.#lines.join("");
    this.#lines = [];
    this.#rotate(text);
    appendFile(this.#path, text, (error) => {
      this.#writing = false;
      if (error !== null) this.#fail(error);
      this.#pump();
    });
  }

  #rotate(text: string): void {
    const bytes = Buffer.byteLength(text);
    const { keep, maxBytes } = this.#limits;
    if (this.#size > 0 && this.#size + bytes > maxBytes) {
      try {
        for (let age = keep; age >= 1; age--) this.#move(age === 1 ? this.#path : `${this.#path}.${age - 1}`, `${this.#path}.${age}`);
        if (keep === 0) truncateSync(this.#path);
        this.#size = 0;
      } catch (error) {
        this.#fail(error instanceof Error ? error : new Error(String(error)));
      }
    }
    this.#size += bytes;
  }

  #move(from: string, to: string): void {
    try {
      renameSync(from, to);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }

  #fail(error: Error): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#lines = [];
    this.#failed(error);
  }

  /** Resolves when everything written so far is with the operating system. */
  flush(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#pump();
    });
  }

  /** For a process that is about to end. Lines that a pending write holds may come out of order, but none is missing. */
  flushSync(): void {
    if (this.#broken || this.#lines.length === 0) return;
    const text = this.#lines.join("");
    this.#lines = [];
    appendFileSync(this.#path, text);
  }
}
