import { createHmac, timingSafeEqual } from "node:crypto";

/** One line of the audit log. `mac` covers the rest of the line and the `mac` of the line before: no line can be changed, moved or left out. */
export interface AuditRecord {
  readonly seq: number;
  readonly time: string;
  readonly node: string;
  /** `start`, `admin`, `done`, `refused`, `continued` (the first of a file behind another one). */
  readonly event: string;
  readonly [field: string]: string | number | null;
}
export interface AuditHead {
  readonly seq: number;
  readonly mac: string;
}
export const emptyHead: AuditHead = { seq: 0, mac: "" };

function macOf(key: string, before: string, text: string): string {
  // The length keeps the end of one part from passing for the beginning of the other.
  return createHmac("sha256", key).update(`${before.length}:${before}${text}`).digest("hex");
}

/** The next line, with its newline. */
export function sealRecord(key: string, head: AuditHead, record: AuditRecord): { readonly line: string; readonly head: AuditHead } {
  const text = JSON.stringify(record);
  const mac = macOf(key, head.mac, text);
  return { line: `${text.slice(0, -1)},"mac":"${mac}"}\n`, head: { seq: record.seq, mac } };
}

const ending = /,"mac":"([0-9a-f]{64})"\}$/;

/** What a line says after it was checked against the one before; text = why it does not follow. */
export function openLine(key: string, head: AuditHead, line: string): { readonly record: AuditRecord; readonly head: AuditHead } | string {
  const mac = ending.exec(line)?.[1];
  if (mac === undefined) return "the line has no code";
  const text = `${line.slice(0, line.length - mac.length - ',"mac":""}'.length)}}`;
  const expected = Buffer.from(macOf(key, head.mac, text), "hex");
  if (!timingSafeEqual(expected, Buffer.from(mac, "hex"))) return "its code does not follow from its text, the line before and AUDIT_KEY";
  const record = JSON.parse(text) as AuditRecord;
  return record.seq === head.seq + 1
    ? { record, head: { seq: record.seq, mac } }
    : `its number is ${record.seq} where ${head.seq + 1} is next`;
}

/** Where a file begins: behind another one when its first record says so. What it says of that one is under its own code, so only the key makes it. */
function beginning(line: string | undefined): AuditHead {
  let first: Partial<AuditRecord>;
  try {
    first = JSON.parse(line ?? "") as Partial<AuditRecord>;
  } catch {
    return emptyHead;
  }
  const { seq, event, before } = first;
  return event === "continued" && typeof before === "string" && typeof seq === "number" ? { seq: seq - 1, mac: before } : emptyHead;
}

export interface AuditVerdict {
  readonly ok: boolean;
  /** Of the files together. */
  readonly records: number;
  /** Number of the first record: above 1 when what was before is in other files. */
  readonly first: number;
  readonly head: AuditHead;
  /** Which of the files is wrong, counted from 0, and at which line, counted from 1. */
  readonly file: number | null;
  readonly line: number | null;
  readonly fault: string | null;
}

/** Checks the files of one log, in their order. */
class Verification {
  private readonly key: string;
  /** Anchors that were not met yet. */
  private readonly wanted: Map<number, string>;
  private head: AuditHead | null = null;
  private first = 1;
  private file = 0;

  constructor(key: string, wanted: Map<number, string>) {
    this.key = key;
    this.wanted = wanted;
  }

  /** Null = this one is good. */
  take(file: number, text: string): AuditVerdict | null {
    this.file = file;
    const lines = text.split("\n");
    const unfinished = lines.pop() !== "";
    let head = this.head ?? this.begin(lines[0]);
    for (const [index, line] of lines.entries()) {
      const opened = openLine(this.key, head, line);
      if (typeof opened === "string") return this.bad(index + 1, opened);
      ({ head } = opened);
      this.head = head;
      const anchor = this.wanted.get(head.seq);
      if (anchor !== undefined && anchor !== head.mac)
        return this.bad(index + 1, `the anchor of record ${head.seq} is another one: the log was written anew`);
      this.wanted.delete(head.seq);
    }
    this.head = head;
    return unfinished
      ? this.bad(lines.length + 1, "the last line does not end: the node was stopped while it wrote it, or the file was cut")
      : null;
  }

  end(lines: number): AuditVerdict {
    const [missing] = this.wanted.keys();
    if (missing !== undefined)
      return this.bad(lines, `record ${missing}, of which there is an anchor, is not there: the end of the log is missing`);
    return { ...this.sofar(), ok: true, file: null, line: null, fault: null };
  }

  private begin(line: string | undefined): AuditHead {
    const head = beginning(line);
    this.first = head.seq + 1;
    // Anchors of what lies in files that were not given say nothing here; that of the record just before is checked as if it were.
    const before = this.wanted.get(head.seq);
    for (const seq of this.wanted.keys()) if (seq <= head.seq) this.wanted.delete(seq);
    return before === undefined || before === head.mac ? head : { seq: head.seq, mac: before };
  }

  private sofar(): Pick<AuditVerdict, "records" | "first" | "head"> {
    const head = this.head ?? emptyHead;
    return { records: Math.max(0, head.seq - this.first + 1), first: this.first, head };
  }
  private bad(line: number, fault: string): AuditVerdict {
    return { ...this.sofar(), ok: false, file: this.file, line, fault };
  }
}

/**
 * Checks a whole log: one text, or those of its files in their order. The chain alone cannot show that lines are missing at its end, or that somebody
 * with the key wrote it anew: `anchors`, which were printed to the node's ordinary log when they were the head, can.
 */
export function verifyAudit(key: string, texts: string | readonly string[], anchors: readonly AuditHead[] = []): AuditVerdict {
  const wanted = new Map<number, string>();
  for (const { seq, mac } of anchors) {
    // Both were the head once: what followed between them was cut off and written anew.
    if (wanted.has(seq) && wanted.get(seq) !== mac) {
      const fault = `there are two anchors of record ${seq}: the end of the log was cut off and written anew`;
      return { ok: false, records: 0, first: 1, head: emptyHead, file: null, line: null, fault };
    }
    wanted.set(seq, mac);
  }
  const files = typeof texts === "string" ? [texts] : texts;
  const verification = new Verification(key, wanted);
  for (const [index, text] of files.entries()) {
    const bad = verification.take(index, text);
    if (bad !== null) return bad;
  }
  return verification.end((files.at(-1) ?? "").split("\n").length - 1);
}
