import { open, stat, type FileHandle } from "node:fs/promises";
import type { AnchorInLog } from "@trivet/engine";
import { AuditVerification, macIn, type AuditHead } from "./audit-chain.ts";
import { asideFiles, type AsideFile } from "./audit-files.ts";

/** Records whose codes a node remembers: more than it writes between an anchor and the end of a program. */
const keptRecords = 4_096;
/** Checked at a time, between two reads: some hundred lines, a few milliseconds. The loop runs Raft as well. */
const sliceBytes = 64 * 1024;

/** Codes of the newest records, so that a file of 64 MiB is not read again for one that the last program anchored. */
export class NewestRecords {
  private macs: string[];
  private last: number;

  /** `checked`: the lines that end with the record `last`. */
  constructor(last: number, checked: string) {
    this.macs = checked.split("\n").slice(0, -1).slice(-keptRecords).map(macIn);
    this.last = last;
  }

  add({ mac, seq }: AuditHead): void {
    this.macs.push(mac);
    this.last = seq;
    if (this.macs.length >= 2 * keptRecords) this.macs = this.macs.slice(-keptRecords);
  }

  /** Null = it is too old, and the files tell. */
  find({ mac, seq }: AuditHead): AnchorInLog | null {
    if (seq > this.last) return differs(`record ${seq} is not there: the end of the log is missing`);
    const known = this.macs.at(seq - this.last - 1);
    if (known === undefined) return null;
    return known === mac ? there : differs(`record ${seq} has another code: the log was written anew`);
  }
}

/** A file of the log as it is now. What is written later, or where its name goes, does not matter. */
export interface OpenFile {
  readonly handle: FileHandle;
  readonly bytes: number;
}

/**
 * The files from the one with that record on, the last being that at `path`, which begins with the record `first`, and of which `written` bytes are whole
 * lines: behind them may be what a disk took of one before it was full. To be called between two writes: then no file is just being put aside. Who gets them
 * looks into them, which closes them.
 */
export async function openSince(mark: AuditHead, path: string, first: number, written: number): Promise<readonly OpenFile[] | AnchorInLog> {
  const aside = asideFiles(path).filter(({ last }) => last >= mark.seq && last < first);
  const lacking = firstLacking(mark.seq, aside, first);
  if (lacking !== null) return unreadable(`the file with record ${lacking} is not there; put it back beside ${path}`);
  const files: OpenFile[] = [];
  try {
    // A new one may not be there before its first line is.
    for (const file of [...aside.map((one) => one.file), ...(written === 0 ? [] : [path])]) {
      const { size } = await stat(file);
      files.push({ handle: await open(file, "r"), bytes: file === path ? Math.min(size, written) : size });
    }
    return files;
  } catch (error) {
    await closeAll(files);
    return cannotRead(error);
  }
}

/** Whether the log holds the record, and is whole from there on. */
export async function lookUp(key: string, mark: AuditHead, files: readonly OpenFile[]): Promise<AnchorInLog> {
  const verification = new AuditVerification(key);
  verification.want(mark);
  try {
    for (const [index, file] of files.entries()) {
      const fault = await checkFile(verification, index, file);
      if (fault !== null) return differs(fault);
    }
  } catch (error) {
    return cannotRead(error);
  } finally {
    await closeAll(files);
  }
  const verdict = verification.end(0);
  if (!verdict.ok) return differs(verdict.fault ?? "");
  return verdict.first <= mark.seq ? there : unreadable(`the file with record ${mark.seq} is not there; another one has its name`);
}

/** Slice by slice: each read is a turn of the loop. Null = its lines are good. */
async function checkFile(verification: AuditVerification, index: number, { bytes, handle }: OpenFile): Promise<string | null> {
  const decoder = new TextDecoder();
  const slice = new Uint8Array(sliceBytes);
  let number = 0;
  let rest = "";
  for (let at = 0; at < bytes;) {
    const { bytesRead } = await handle.read(slice, 0, Math.min(sliceBytes, bytes - at), at);
    if (bytesRead === 0) throw new Error("it became shorter while it was read");
    at += bytesRead;
    const lines = (rest + decoder.decode(slice.subarray(0, bytesRead), { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      number += 1;
      const wrong = verification.line(index, number, line);
      if (wrong !== null) return wrong.fault;
    }
  }
  return rest === "" ? null : "the last line of a file does not end";
}

/** The first record from `seq` on that is in none of the files. */
function firstLacking(seq: number, aside: readonly AsideFile[], first: number): number | null {
  let next = seq;
  for (const file of aside) {
    if (file.first > next) return next;
    next = file.last + 1;
  }
  return next < first ? next : null;
}

async function closeAll(files: readonly OpenFile[]): Promise<void> {
  for (const { handle } of files) await handle.close();
}

const there: AnchorInLog = { type: "there" };
const differs = (why: string): AnchorInLog => ({ type: "differs", why });
const unreadable = (why: string): AnchorInLog => ({ type: "unreadable", why });
const cannotRead = (error: unknown): AnchorInLog => unreadable(`it cannot be read: ${(error as Error).message}`);
