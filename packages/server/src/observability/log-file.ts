import { appendFile, mkdirSync, openSync, closeSync, renameSync, statSync, appendFileSync } from "node:fs";
import { dirname } from "node:path";

/** A log file is moved aside at this size; so many old ones are kept (W-88). */
export const maxLogFileBytes: number = 16 * 1024 * 1024;
export const keptLogFiles = 3;

/**
 * One append-only log file with rotation. Writes are collected per turn and never block the event loop; `flushSync` is for the last
 * words of a process. A failing disk loses log lines, never the node: the first failure is told to `failed`.
 */
export class LogFile {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #failed: (error: Error) => void;
  #size = 0;
  #lines: string[] = [];
  #writing = false;
  #broken = false;
  #idle: (() => void)[] = [];

  /** Throws when the folder or the file cannot be written. */
  constructor(path: string, failed: (error: Error) => void, maxBytes: number = maxLogFileBytes) {
    this.#path = path;
    this.#failed = failed;
    this.#maxBytes = maxBytes;
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
    if (this.#size > 0 && this.#size + bytes > this.#maxBytes) {
      try {
        for (let age = keptLogFiles - 1; age >= 1; age--)
          this.#move(age === 1 ? this.#path : `${this.#path}.${age - 1}`, `${this.#path}.${age}`);
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
