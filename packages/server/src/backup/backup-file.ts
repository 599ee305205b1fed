import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type GroupHead, GroupRecords, groupHead, type GroupTotals } from "./group-stream.ts";
import { BackupDamaged, type BackupRecord, jsonOf, readRecords } from "./records.ts";

export const backupFormat = 1;
export const backupMagic: Buffer = Buffer.from("TRIVETBK");
const readBytes = 1024 * 1024;

/** What the first record of a backup says. */
export interface BackupHead {
  readonly format: number;
  readonly cluster: string;
  readonly created_ms: number;
  /** Version of the program that wrote it. */
  readonly trivet: string;
  readonly shards: number;
  /** Where the queues' messages are; with `redis` they are not in the backup. */
  readonly queues: "embedded" | "redis";
}
export interface BackedUpGroup extends GroupHead, GroupTotals {}
/** A backup that was read to its end and found whole. */
export interface BackupReport {
  readonly head: BackupHead;
  readonly groups: readonly BackedUpGroup[];
  readonly bytes: number;
  readonly sha256: string;
}

/** What a reader is told, in the order of the file: for each group its head, its chunks, its end. */
export type BackupEvent =
  | { readonly type: "head"; readonly head: BackupHead }
  | { readonly type: "group"; readonly head: GroupHead }
  | { readonly type: "chunk"; readonly chunk: Uint8Array; readonly offset: number }
  | { readonly type: "group-end"; readonly group: BackedUpGroup }
  | { readonly type: "end"; readonly report: BackupReport };

/** Reads a backup from its beginning to its end and checks every byte. Throws BackupDamaged; what came before may have been used already. */
export async function* readBackup(path: string): AsyncGenerator<BackupEvent> {
  await checkMagic(path);
  const reading = new Reading();
  const pieces = createReadStream(path, { start: backupMagic.length, highWaterMark: readBytes });
  let end: BackupEvent | null = null;
  for await (const record of readRecords(pieces, backupMagic.length)) {
    const event = reading.take(record);
    // Told when nothing stands behind it.
    if (event.type === "end") end = event;
    else yield event;
  }
  if (end === null) throw new BackupDamaged("it ends before its last group: it was cut off");
  yield end;
}

/** Reads all of it. */
export async function verifyBackup(path: string, told: (event: BackupEvent) => void = () => undefined): Promise<BackupReport> {
  for await (const event of readBackup(path)) {
    told(event);
    if (event.type === "end") return event.report;
  }
  throw new BackupDamaged("it has no end");
}

async function checkMagic(path: string): Promise<void> {
  const handle: FileHandle = await open(path, "r");
  try {
    const found = Buffer.alloc(backupMagic.length);
    const { bytesRead } = await handle.read(found, 0, found.length, 0);
    if (bytesRead < found.length || !found.equals(backupMagic)) throw new BackupDamaged("it is no backup of Trivet: it begins otherwise");
  } finally {
    await handle.close();
  }
}

class Reading {
  private readonly hash: Hash = createHash("sha256").update(backupMagic);
  private head: BackupHead | null = null;
  private group: { readonly head: GroupHead; readonly records: GroupRecords } | null = null;
  private readonly groups: BackedUpGroup[] = [];
  private isOver = false;

  take(record: BackupRecord): BackupEvent {
    if (this.isOver) throw new BackupDamaged(`it goes on behind its end, at byte ${record.offset}`);
    if ((this.head === null) !== (record.type === "fileBegin")) throw misplaced(record);
    if (record.type === "fileEnd") return this.end(record);
    this.hash.update(record.bytes);
    switch (record.type) {
      case "fileBegin":
        this.head = backupHead(record);
        return { type: "head", head: this.head };
      case "groupBegin": {
        if (this.group !== null) throw misplaced(record);
        const head = groupHead(record);
        this.checkPlace(head, record);
        this.group = { head, records: new GroupRecords() };
        return { type: "group", head };
      }
      case "chunk":
        if (this.group === null) throw misplaced(record);
        this.group.records.count(record.payload);
        return { type: "chunk", chunk: record.payload, offset: record.offset };
      case "groupEnd": {
        if (this.group === null) throw misplaced(record);
        const group = { ...this.group.head, ...this.group.records.checkEnd(record) };
        this.group = null;
        this.groups.push(group);
        return { type: "group-end", group };
      }
    }
  }

  /** Shards in their order, group 0 last (rule W9), all of one cluster. */
  private checkPlace({ cluster, group, shards }: GroupHead, record: BackupRecord): void {
    const { head, groups } = this;
    if (head === null) throw misplaced(record);
    const wanted = groups.length < head.shards ? groups.length + 1 : 0;
    if (cluster !== head.cluster || shards !== (head.shards === 0 ? shards : head.shards))
      throw new BackupDamaged(`the group at byte ${record.offset} is of cluster ${cluster}, the backup of ${head.cluster}`);
    if (group !== wanted || groups.length > head.shards)
      throw new BackupDamaged(`group ${group} stands at byte ${record.offset}, where group ${wanted} belongs`);
  }

  private end(record: BackupRecord): BackupEvent {
    const { group, groups, head } = this;
    const { groups: count, sha256 } = jsonOf(record);
    if (group !== null || head === null) throw misplaced(record);
    if (count !== groups.length || groups.length !== head.shards + 1) throw new BackupDamaged("groups are missing at its end");
    if (sha256 !== this.hash.digest("hex")) throw new BackupDamaged("its contents differ from the checksum at its end");
    this.isOver = true;
    return { type: "end", report: { head, groups, bytes: record.offset + record.bytes.length, sha256 } };
  }
}

function misplaced(record: BackupRecord): BackupDamaged {
  return new BackupDamaged(`the record at byte ${record.offset} (${record.type}) does not belong there`);
}

function backupHead(record: BackupRecord): BackupHead {
  const { cluster, created_ms: created, format, queues, shards, trivet } = jsonOf(record);
  if (format !== backupFormat)
    throw new BackupDamaged(`it has format ${JSON.stringify(format)}; this version reads ${backupFormat}: use the version that wrote it`);
  const isWhole =
    typeof cluster === "string" && typeof trivet === "string" && Number.isSafeInteger(created) && Number.isSafeInteger(shards);
  if (!isWhole || (queues !== "embedded" && queues !== "redis")) throw new BackupDamaged("its head does not say what it is");
  return { format, cluster, created_ms: created as number, trivet, shards: shards as number, queues };
}
