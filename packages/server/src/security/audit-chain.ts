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

interface Beginning {
  /** What the first record follows. */
  readonly head: AuditHead;
  /** Null = the log was begun before chains had names. */
  readonly chain: string | null;
}

/** Where a file begins: behind another one when its first record says so. What it says is under its own code, so only the key makes it. */
function beginning(line: string): Beginning {
  let first: Partial<AuditRecord>;
  try {
    first = JSON.parse(line) as Partial<AuditRecord>;
  } catch {
    return { head: emptyHead, chain: null };
  }
  const { seq, event, before } = first;
  const isBehind = event === "continued" && typeof before === "string" && typeof seq === "number";
  return { head: isBehind ? { seq: seq - 1, mac: before } : emptyHead, chain: chainIn(first) };
}

const chainIn = (record: Partial<AuditRecord>): string | null => (typeof record["chain"] === "string" ? record["chain"] : null);

export interface AuditVerdict {
  readonly ok: boolean;
  /** Of the files together. */
  readonly records: number;
  /** Number of the first record: above 1 when what was before is in other files. */
  readonly first: number;
  readonly head: AuditHead;
  /** The log's own name, drawn when it was begun; null where no record tells it: then the cluster cannot know it. */
  readonly chain: string | null;
  /** As the last record says; null without one. */
  readonly node: string | null;
  /** Anchors that were met, all as they should be. */
  readonly met: number;
  /** Which of the files is wrong, counted from 0, and at which line, counted from 1. */
  readonly file: number | null;
  readonly line: number | null;
  readonly fault: string | null;
}

/** Anchors by the chain they are of, as the cluster has them. */
export type AnchorsOfChains = ReadonlyMap<string, readonly AuditHead[]>;

/** The code of a line that was checked. */
export const macIn = (line: string): string => ending.exec(line)?.[1] ?? "";

/** Checks the files of one log, in their order. */
export class AuditVerification {
  private readonly key: string;
  /** Anchors that were not met yet. */
  private readonly wanted: Map<number, string>;
  private readonly ofChains: AnchorsOfChains;
  private head: AuditHead | null = null;
  private chain: string | null = null;
  private node: string | null = null;
  private met = 0;
  private first = 1;
  private file = 0;

  constructor(key: string, ofChains: AnchorsOfChains = new Map()) {
    this.key = key;
    this.wanted = new Map();
    this.ofChains = ofChains;
  }

  /** Another head that there was once. Null = no other is known of that record. */
  want({ seq, mac }: AuditHead): AuditVerdict | null {
    // Both were the head once: what followed between them was cut off and written anew.
    if (this.wanted.has(seq) && this.wanted.get(seq) !== mac)
      return this.bad(null, `there are two anchors of record ${seq}: the end of the log was cut off and written anew`);
    this.wanted.set(seq, mac);
    return null;
  }

  /** Null = this one is good. */
  take(file: number, text: string): AuditVerdict | null {
    const lines = text.split("\n");
    const unfinished = lines.pop() !== "";
    this.file = file;
    // A log begins with its first file, also where nothing is in that.
    if (lines.length === 0) this.head ??= emptyHead;
    for (const [index, line] of lines.entries()) {
      const wrong = this.line(file, index + 1, line);
      if (wrong !== null) return wrong;
    }
    return unfinished
      ? this.bad(lines.length + 1, "the last line does not end: the node was stopped while it wrote it, or the file was cut")
      : null;
  }

  /** The next line, which is this one of its file, counted from 1. Null = it is good. */
  line(file: number, number: number, text: string): AuditVerdict | null {
    this.file = file;
    const before = this.head ?? this.begin(text);
    if ("fault" in before) return before;
    const opened = openLine(this.key, before, text);
    if (typeof opened === "string") return this.bad(number, opened);
    this.head = opened.head;
    return this.look(opened.record, opened.head, number);
  }

  end(lines: number): AuditVerdict {
    const [missing] = this.wanted.keys();
    if (missing !== undefined)
      return this.bad(lines, `record ${missing}, of which there is an anchor, is not there: the end of the log is missing`);
    return { ...this.sofar(), ok: true, file: null, line: null, fault: null };
  }

  private begin(line: string): AuditHead | AuditVerdict {
    const { head, chain } = beginning(line);
    this.first = head.seq + 1;
    const wrong = chain === null ? null : this.belongTo(chain, head.seq);
    if (wrong !== null) return wrong;
    // Anchors of what lies in files that were not given say nothing here; that of the record just before is checked as if it were.
    const before = this.wanted.get(head.seq);
    for (const seq of this.wanted.keys()) if (seq <= head.seq) this.wanted.delete(seq);
    return before === undefined || before === head.mac ? head : { seq: head.seq, mac: before };
  }

  /** From the record `seq` on the cluster may have anchors of it. */
  private belongTo(chain: string, seq: number): AuditVerdict | null {
    this.chain = chain;
    for (const anchor of this.ofChains.get(chain) ?? []) {
      const wrong = anchor.seq < seq ? null : this.want(anchor);
      if (wrong !== null) return wrong;
    }
    return null;
  }

  /** What a line says of the log, and whether it is what was anchored. */
  private look(record: AuditRecord, head: AuditHead, line: number): AuditVerdict | null {
    this.node = record.node;
    const chain = chainIn(record);
    if (chain !== null && this.chain !== null && chain !== this.chain)
      return this.bad(line, "it is of another log: its chain has another name");
    const wrong = chain === null || this.chain !== null ? null : this.belongTo(chain, head.seq);
    if (wrong !== null) return wrong;
    const anchor = this.wanted.get(head.seq);
    if (anchor === undefined) return null;
    if (anchor !== head.mac) return this.bad(line, `the anchor of record ${head.seq} is another one: the log was written anew`);
    this.wanted.delete(head.seq);
    this.met += 1;
    return null;
  }

  private sofar(): Omit<AuditVerdict, "ok" | "file" | "line" | "fault"> {
    const { chain, first, met, node } = this;
    const head = this.head ?? emptyHead;
    return { records: Math.max(0, head.seq - first + 1), first, head, chain, node, met };
  }
  private bad(line: number | null, fault: string): AuditVerdict {
    return { ...this.sofar(), ok: false, file: this.file, line, fault };
  }
}

/**
 * Checks a whole log: one text, or those of its files in their order. The chain alone cannot show that lines are missing at its end, or that somebody
 * with the key wrote it anew: `anchors` can, which were printed to the node's ordinary log when they were the head, and those that the cluster has
 * of the log's chain.
 */
export function verifyAudit(
  key: string,
  texts: string | readonly string[],
  anchors: readonly AuditHead[] = [],
  ofChains: AnchorsOfChains = new Map(),
): AuditVerdict {
  const files = typeof texts === "string" ? [texts] : texts;
  const verification = new AuditVerification(key, ofChains);
  for (const anchor of anchors) {
    const bad = verification.want(anchor);
    if (bad !== null) return { ...bad, file: null };
  }
  for (const [index, text] of files.entries()) {
    const bad = verification.take(index, text);
    if (bad !== null) return bad;
  }
  return verification.end((files.at(-1) ?? "").split("\n").length - 1);
}
