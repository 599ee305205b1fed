import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AnchorInLog } from "@trivet/engine";
import { afterEach, beforeEach, expect } from "vitest";
import { type AuditHead, sealRecord } from "../../src/security/audit-chain.ts";
import { setAsideName } from "../../src/security/audit-files.ts";
import { AuditLog } from "../../src/security/audit-log.ts";
import { type Said, toolsFor } from "./certs.ts";

export const key = "0123456789abcdef-audit";
export let folder: string;
export let path: string;
export let said: Said;
/** Each test of the file that calls it has a folder of its own. */
export function useFolder(): void {
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "trivet-anchors-"));
    path = join(folder, "audit.log");
    said = { lines: [], counted: [] };
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
}

export const open = (maxBytes = 67_108_864): AuditLog => new AuditLog({ path, key, maxBytes }, "node1", toolsFor(said));
export async function written(count: number, maxBytes?: number): Promise<AuditLog> {
  const log = open(maxBytes);
  for (let n = 1; n <= count; n += 1) await log.append("admin", { call: `DELETE /v1/raft/members/n${n}` });
  return log;
}
export const linesOf = (file = path): string[] => readFileSync(file, "utf8").trimEnd().split("\n");
export const write = (lines: readonly string[]): void => writeFileSync(path, lines.map((line) => `${line}\n`).join(""));
/** Number and code of each record. */
export const marksIn = (lines: readonly string[]): AuditHead[] =>
  lines.map((line) => {
    const { seq, mac } = JSON.parse(line) as AuditHead;
    return { seq, mac };
  });
/** By somebody who has the key: the records from `from` on, written anew. */
export function rewritten(lines: readonly string[], from: number): string[] {
  let head = marksIn(lines)[from - 2] ?? { seq: 0, mac: "" };
  return lines.map((line, at) => {
    if (at < from - 1) return line;
    const { mac: _, ...record } = JSON.parse(line) as Parameters<typeof sealRecord>[2];
    const sealed = sealRecord(key, head, { ...record, call: "GET /nothing" });
    ({ head } = sealed);
    return sealed.line.trimEnd();
  });
}
export const find = (log: AuditLog, mark: AuditHead): Promise<AnchorInLog> => new Promise((resolve) => log.find(mark, resolve));
export const there = { type: "there" };
export const differs = (why: RegExp): unknown => ({ type: "differs", why: expect.stringMatching(why) });
export const unreadable = (why: RegExp): unknown => ({ type: "unreadable", why: expect.stringMatching(why) });
/** As a node would have written it, in files of so many records: more than a node remembers. */
export function writtenLong(records: number, perFile = records): AuditHead[] {
  const heads: AuditHead[] = [];
  let head: AuditHead = { seq: 0, mac: "" };
  let lines: string[] = [];
  for (let seq = 1; seq <= records; seq += 1) {
    const first = seq === 1 ? { event: "start" } : { event: "continued", before: head.mac };
    const fields = lines.length === 0 ? { ...first, chain: "c0" } : { event: "admin", call: `DELETE /v1/raft/members/n${seq}` };
    const sealed = sealRecord(key, head, { seq, time: "2026-01-01T00:00:00.000Z", node: "node1", ...fields });
    ({ head } = sealed);
    heads.push(head);
    lines.push(sealed.line);
    const isFull = lines.length === perFile && seq < records;
    if (!isFull && seq < records) continue;
    writeFileSync(isFull ? setAsideName(path, seq - perFile + 1, seq) : path, lines.join(""));
    lines = [];
  }
  return heads;
}
