import { createHmac, timingSafeEqual } from "node:crypto";

/** One line of the audit log. `mac` covers the rest of the line and the `mac` of the line before: no line can be changed, moved or left out. */
export interface AuditRecord {
  readonly seq: number;
  readonly time: string;
  readonly node: string;
  /** `start`, `admin`, `done`, `refused`, `policy`. */
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

export interface AuditVerdict {
  readonly ok: boolean;
  readonly records: number;
  readonly head: AuditHead;
  /** Of the first line that is wrong, counted from 1. */
  readonly line: number | null;
  readonly fault: string | null;
}

/**
 * Checks a whole log. The chain alone cannot show that lines are missing at its end, or that somebody with the key wrote it anew: `anchors`, which were
 * printed to the node's ordinary log when they were the head, can.
 */
export function verifyAudit(key: string, text: string, anchors: readonly AuditHead[] = []): AuditVerdict {
  const lines = text.split("\n");
  const unfinished = lines.pop() !== "";
  let head = emptyHead;
  const wanted = new Map<number, string>();
  for (const { seq, mac } of anchors) {
    // Both were the head once: what followed between them was cut off and written anew.
    if (wanted.has(seq) && wanted.get(seq) !== mac)
      return {
        ok: false,
        records: 0,
        head,
        line: null,
        fault: `there are two anchors of record ${seq}: the end of the log was cut off and written anew`,
      };
    wanted.set(seq, mac);
  }
  const bad = (line: number, fault: string): AuditVerdict => ({ ok: false, records: head.seq, head, line, fault });
  for (const [index, line] of lines.entries()) {
    const opened = openLine(key, head, line);
    if (typeof opened === "string") return bad(index + 1, opened);
    ({ head } = opened);
    const anchor = wanted.get(head.seq);
    if (anchor !== undefined && anchor !== head.mac)
      return bad(index + 1, `the anchor of record ${head.seq} is another one: the log was written anew`);
    wanted.delete(head.seq);
  }
  if (unfinished) return bad(lines.length + 1, "the last line does not end: the node was stopped while it wrote it, or the file was cut");
  const [missing] = wanted.keys();
  if (missing !== undefined)
    return bad(lines.length, `record ${missing}, of which there is an anchor, is not there: the end of the log is missing`);
  return { ok: true, records: head.seq, head, line: null, fault: null };
}
