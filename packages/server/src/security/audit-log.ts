import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { exitCodes } from "@trivet/contract";
import { ConfigError } from "../config/errors.ts";
import { emptyHead, sealRecord, verifyAudit, type AuditHead, type AuditRecord } from "./audit-chain.ts";

/** An anchor is printed when there is something new, at most this often. */
const anchorEveryMs = 60_000;
/** Refusals that are written in one second; more are counted. A flood of them must not fill the disk. */
const refusalsPerSecond = 10;

export interface AuditTools {
  readonly log: (level: "info" | "warn" | "error", event: string, text: string, fields?: Readonly<Record<string, unknown>>) => void;
  readonly count: (name: string, by: number, labels?: Readonly<Record<string, string>>) => void;
  readonly wallNow: () => number;
}
type Fields = Readonly<Record<string, string | number | null>>;

/** Where the log was left; a line that was never finished is taken away, as nothing was ever answered on it. */
function leftAt(path: string, key: string): { readonly head: AuditHead; readonly cutBytes: number } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { head: emptyHead, cutBytes: 0 };
    throw new ConfigError(exitCodes.configuration, `AUDIT_LOG: ${path} cannot be read: ${(error as Error).message}`);
  }
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const verdict = verifyAudit(key, whole);
  if (!verdict.ok) {
    const fault = `AUDIT_LOG: ${path} line ${verdict.line ?? 0}: ${verdict.fault ?? ""}`;
    throw new ConfigError(
      exitCodes.configuration,
      fault,
      [],
      "keep the file for whoever looks into it, move it away, and start the node again",
    );
  }
  const cutBytes = Buffer.byteLength(text) - Buffer.byteLength(whole);
  if (cutBytes > 0) cut(path, Buffer.byteLength(whole));
  return { head: verdict.head, cutBytes };
}

function cut(path: string, length: number): void {
  const file = openSync(path, "r+");
  try {
    if (fstatSync(file).size > length) ftruncateSync(file, length);
  } finally {
    closeSync(file);
  }
}

/** The tamper-evident log of what was administered and what was refused at this node. */
export class AuditLog {
  private readonly path: string;
  private readonly key: string;
  private readonly node: string;
  private readonly tools: AuditTools;
  private head: AuditHead;
  private anchored: AuditHead;
  private file: FileHandle | null = null;
  /** Lines are written one after the other, in the order of their numbers. */
  private queue: Promise<unknown> = Promise.resolve();
  private failed: Error | null = null;
  private timer: NodeJS.Timeout | null = null;
  private second = 0;
  private inSecond = 0;
  private leftOut = 0;

  /** Reads what is there. Throws ConfigError when it was changed: an audit log that goes on behind a forged line would vouch for it. */
  constructor(path: string, key: string, node: string, tools: AuditTools) {
    this.path = path;
    this.key = key;
    this.node = node;
    this.tools = tools;
    const { head, cutBytes } = leftAt(path, key);
    this.head = head;
    this.anchored = head;
    void this.append("start", { cut_bytes: cutBytes }).catch(() => undefined);
    this.timer = setInterval(() => this.anchor(), anchorEveryMs);
    this.timer.unref();
  }

  /** Resolves when the line is on disk. Rejects when it is not: what it is about must then not be done (it fails closed). */
  append(event: string, fields: Fields): Promise<void> {
    const record: AuditRecord = {
      seq: this.head.seq + 1,
      time: new Date(this.tools.wallNow()).toISOString(),
      node: this.node,
      event,
      ...fields,
    };
    const { line, head } = sealRecord(this.key, this.head, record);
    this.head = head;
    const written = this.queue.then(() => this.write(line));
    this.queue = written.catch(() => undefined);
    return written;
  }

  /** A call that was refused. At most so many a second; the number of the others is told with the next one. */
  refused(fields: Fields): void {
    const second = Math.floor(this.tools.wallNow() / 1_000);
    if (second !== this.second) [this.second, this.inSecond] = [second, 0];
    this.inSecond += 1;
    if (this.inSecond > refusalsPerSecond) {
      this.leftOut += 1;
      return;
    }
    const { leftOut } = this;
    this.leftOut = 0;
    void this.append("refused", { ...fields, ...(leftOut === 0 ? {} : { left_out: leftOut }) }).catch(() => undefined);
  }

  /** Prints the head to the ordinary log, which is kept elsewhere: whoever shortens this file cannot shorten that one. */
  anchor(): void {
    if (this.anchored.seq === this.head.seq) return;
    this.anchored = this.head;
    const { seq, mac } = this.head;
    this.tools.log("info", "audit.anchor", `audit log anchor ${seq}:${mac}`, { seq, mac });
  }

  async close(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    await this.queue;
    this.anchor();
    await this.file?.close();
    this.file = null;
  }

  private async write(line: string): Promise<void> {
    // After a failed sync nobody knows what is on the disk: the chain would be broken in an unknown place.
    if (this.failed !== null) throw this.failed;
    try {
      this.file ??= await open(this.path, "a", 0o600);
      await this.file.appendFile(line);
      await this.file.datasync();
    } catch (error) {
      this.failed = error as Error;
      this.tools.count("audit_failures_total", 1);
      this.tools.log(
        "error",
        "audit.failed",
        `AUDIT_LOG: ${this.path} cannot be written: ${this.failed.message}; administration is refused until the node is started again`,
      );
      throw this.failed;
    }
  }
}
