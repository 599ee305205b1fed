import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync } from "node:fs";
import { open, rename, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { exitCodes } from "@trivet/contract";
import type { Anchored, AnchoredLog, AnchorInLog, AuditAnchoring } from "@trivet/engine";
import type { AuditConfig } from "../config/access.ts";
import { ConfigError } from "../config/errors.ts";
import { emptyHead, sealRecord, verifyAudit, type AuditHead, type AuditRecord, type AuditVerdict } from "./audit-chain.ts";
import { type AsideFile, asideFiles, setAsideName } from "./audit-files.ts";
import { lookUp, NewestRecords, openSince } from "./audit-lookup.ts";

/** Of what was refused and how things ended an anchor is printed so soon; of administration before it is done. */
const anchorAfterMs = 1_000;
/** Refusals that are written in one second; more are counted. A flood of them must not fill the disk. */
const refusalsPerSecond = 10;

export interface AuditTools {
  readonly log: (level: "info" | "warn" | "error", event: string, text: string, fields?: Readonly<Record<string, unknown>>) => void;
  readonly count: (name: string, by: number, labels?: Readonly<Record<string, string>>) => void;
  readonly wallNow: () => number;
}
type Fields = Readonly<Record<string, string | number | null>>;

interface Left {
  readonly head: AuditHead;
  /** Null = there was no log, or one from before chains had names. */
  readonly chain: string | null;
  /** Of the file that is written to; its first record. */
  readonly bytes: number;
  readonly first: number;
  readonly cutBytes: number;
  readonly newest: NewestRecords;
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw new ConfigError(exitCodes.configuration, `AUDIT_LOG: ${path} cannot be read: ${(error as Error).message}`);
  }
}

/** Throws ConfigError for a log that was changed, or is another node's. */
function checked(path: string, key: string, node: string, text: string): AuditVerdict {
  const verdict = verifyAudit(key, text);
  if (verdict.ok && (verdict.node === null || verdict.node === node)) return verdict;
  if (verdict.ok)
    throw new ConfigError(
      exitCodes.configuration,
      `AUDIT_LOG: ${path} is the log of node ${verdict.node ?? ""}, and this is node ${node}: each node has a log of its own, under which the cluster knows it`,
      [],
      `name the file of ${node} (AUDIT_LOG); where there is none, as for a directory that was copied or a node under a new NODE_ID, move this one and what was put aside of it away, and keep it as the log of ${verdict.node ?? ""}`,
    );
  throw new ConfigError(
    exitCodes.configuration,
    `AUDIT_LOG: ${path} line ${verdict.line ?? 0}: ${verdict.fault ?? ""}`,
    [],
    "keep the file for whoever looks into it, move it away, and start the node again",
  );
}

/** Where the log was left; a line that was never finished is taken away, as nothing was ever answered on it. */
function leftAt({ path, key }: AuditConfig, node: string): Left {
  const text = textOf(path) ?? "";
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const bytes = Buffer.byteLength(whole);
  const cutBytes = Buffer.byteLength(text) - bytes;
  if (cutBytes > 0) cut(path, bytes);
  if (bytes > 0) {
    const { chain, head, first } = checked(path, key, node, whole);
    const name = chain ?? chainBefore(first, asideFiles(path), key, node);
    return { chain: name, head, first, bytes, cutBytes, newest: new NewestRecords(head.seq, whole) };
  }
  // The one before was put aside, and the node ended before it could begin another: that one goes on where it ends.
  const aside = asideFiles(path);
  const last = aside.at(-1);
  if (last === undefined) return { chain: null, head: emptyHead, first: 1, bytes: 0, cutBytes, newest: new NewestRecords(0, "") };
  const before = textOf(last.file) ?? "";
  const { chain, head, first } = checked(last.file, key, node, before);
  const name = chain ?? chainBefore(first, aside, key, node);
  return { chain: name, head, first: head.seq + 1, bytes: 0, cutBytes, newest: new NewestRecords(head.seq, before) };
}

/**
 * The chain's name as the files before the record `first` say it, the newest that does: a version without names may have gone on with a log that had
 * one, and a second name would make two logs of it. Null = none of those that are here does.
 */
function chainBefore(first: number, aside: readonly AsideFile[], key: string, node: string): string | null {
  for (const { file } of aside.filter(({ last }) => last < first).toReversed()) {
    const { chain } = checked(file, key, node, textOf(file) ?? "");
    if (chain !== null) return chain;
  }
  return null;
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
export class AuditLog implements AnchoredLog {
  readonly chain: string;
  private readonly path: string;
  private readonly key: string;
  private readonly node: string;
  private readonly tools: AuditTools;
  /** Of the last line that was asked for, and of the last that is on disk. */
  private head: AuditHead;
  private onDisk: AuditHead;
  private printed: AuditHead;
  /** Null until the node is there, and where a log is written without one. */
  private anchoring: AuditAnchoring | null = null;
  private file: FileHandle | null = null;
  /** Lines are written one after the other, in the order of their numbers. */
  private queue: Promise<unknown> = Promise.resolve();
  private failed: Error | null = null;
  private anchorTimer: NodeJS.Timeout | null = null;
  /** Of the current file, with what is still on its way there. */
  private bytes: number;
  private first: number;
  /** Of the file that has this name on the disk: its first record, and how much of it are whole lines. */
  private firstOnDisk: number;
  private bytesOnDisk: number;
  private readonly newest: NewestRecords;
  private readonly maxBytes: number;
  private second = 0;
  private inSecond = 0;
  private leftOut = 0;

  /** Reads what is there. Throws ConfigError when it was changed: an audit log that goes on behind a forged line would vouch for it. */
  constructor(config: AuditConfig, node: string, tools: AuditTools) {
    const { path, key, maxBytes } = config;
    this.path = path;
    this.key = key;
    this.maxBytes = maxBytes;
    this.node = node;
    this.tools = tools;
    const { chain, head, bytes, first, cutBytes, newest } = leftAt(config, node);
    this.chain = chain ?? randomBytes(16).toString("hex");
    this.head = head;
    this.onDisk = head;
    this.printed = head;
    this.bytes = bytes;
    this.first = first;
    this.firstOnDisk = first;
    this.bytesOnDisk = bytes;
    this.newest = newest;
    // A file behind others says so, whether they are there or were taken elsewhere.
    if (bytes === 0 && head.seq > 0) void this.enqueue("continued", this.behind(head), null).catch(() => undefined);
    void this.append("start", { chain: this.chain, cut_bytes: cutBytes }).catch(() => undefined);
  }

  /** From now on its head goes into the cluster's state as well. */
  anchorWith(anchoring: AuditAnchoring): void {
    this.anchoring = anchoring;
    anchoring.moved();
  }

  /** Resolves once what is on disk now is anchored in the cluster, or with why not. */
  inCluster(): Promise<Anchored> {
    const { anchoring } = this;
    return anchoring === null ? Promise.resolve({ type: "below-level" }) : new Promise((resolve) => anchoring.anchor(resolve));
  }

  /** The last record that is on disk. */
  headOnDisk(): AuditHead | null {
    return this.onDisk.seq === 0 ? null : this.onDisk;
  }

  /** Records so far, over all files: what a scrape keeps elsewhere shows that the log was shortened. */
  get records(): number {
    return this.onDisk.seq;
  }

  /**
   * Resolves when the line is on disk. Rejects when it is not: what it is about must then not be done (it fails closed). Of administration the head is printed
   * before that, so whoever cuts off its line leaves that behind.
   */
  append(event: string, fields: Fields): Promise<void> {
    if (this.bytes >= this.maxBytes) this.beginFile();
    const written = this.enqueue(event, fields, null);
    return event === "admin" ? written.then(() => this.print()) : written;
  }

  /** The file is full: the next line is the first of another one, and the chain goes on. */
  private beginFile(): void {
    const aside = setAsideName(this.path, this.first, this.head.seq);
    this.bytes = 0;
    this.first = this.head.seq + 1;
    void this.enqueue("continued", this.behind(this.head), aside).catch(() => undefined);
  }

  /** What the first record of a file says of the one before. */
  private behind({ mac }: AuditHead): Fields {
    return { chain: this.chain, before: mac };
  }

  /** `aside`: the current file is put there before. */
  private enqueue(event: string, fields: Fields, aside: string | null): Promise<void> {
    const record: AuditRecord = {
      seq: this.head.seq + 1,
      time: new Date(this.tools.wallNow()).toISOString(),
      node: this.node,
      event,
      ...fields,
    };
    const { line, head } = sealRecord(this.key, this.head, record);
    this.head = head;
    this.bytes += Buffer.byteLength(line);
    const written = this.queue.then(async () => {
      await this.write(line, record.seq, aside);
      this.onDisk = head;
      this.newest.add(head);
      this.anchorTimer ??= setTimeout(() => this.print(), anchorAfterMs).unref();
      this.anchoring?.moved();
    });
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
  print(): void {
    if (this.anchorTimer !== null) clearTimeout(this.anchorTimer);
    this.anchorTimer = null;
    if (this.printed.seq === this.onDisk.seq) return;
    // What is not on disk may never be, and its anchor would say that the log was cut.
    this.printed = this.onDisk;
    const { seq, mac } = this.onDisk;
    const { chain } = this;
    this.tools.log("info", "audit.anchor", `audit log anchor ${seq}:${mac} of chain ${chain}`, { seq, mac, chain });
  }

  async close(): Promise<void> {
    await this.queue;
    this.print();
    await this.file?.close();
    this.file = null;
  }

  /** The newest records are known; for an older one files are opened between two writes, and read beside the next ones. */
  find(mark: AuditHead, done: (found: AnchorInLog) => void): void {
    const opened = this.queue.then(() => this.newest.find(mark) ?? openSince(mark, this.path, this.firstOnDisk, this.bytesOnDisk));
    this.queue = opened;
    void opened.then((found) => ("type" in found ? found : lookUp(this.key, mark, found))).then(done);
  }

  private async write(line: string, seq: number, aside: string | null): Promise<void> {
    // After a failed sync nobody knows what is on the disk: the chain would be broken in an unknown place.
    if (this.failed !== null) throw this.failed;
    try {
      if (aside !== null) await this.putAside(aside, seq);
      const isNew = this.file === null;
      this.file ??= await open(this.path, "a", 0o600);
      await this.file.appendFile(line);
      await this.file.datasync();
      if (isNew) await syncFolder(dirname(this.path));
      this.bytesOnDisk += Buffer.byteLength(line);
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

  /** `next`: the record that the new file begins with. */
  private async putAside(aside: string, next: number): Promise<void> {
    await this.file?.close();
    this.file = null;
    await rename(this.path, aside);
    this.firstOnDisk = next;
    this.bytesOnDisk = 0;
    this.tools.log("info", "audit.set-aside", `the audit log is full; it goes on in a new file, and the old one is ${aside}`, {
      file: aside,
    });
  }
}

/** A new name is on disk when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  // Windows has no such call, and keeps names by itself.
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
