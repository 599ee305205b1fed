import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type BackedUpGroup, type BackupHead, backupMagic, type BackupReport, verifyBackup } from "./backup-file.ts";
import { type GroupHead, GroupRecords, groupHead } from "./group-stream.ts";
import { BackupDamaged, encodeJsonRecord, readRecords } from "./records.ts";

const partSuffix = ".part";

/** Writes a backup beside its name, and gives it the name when all of it is on disk and was read again. */
export class BackupWriter {
  readonly path: string;
  private readonly handle: FileHandle;
  private hash: Hash = createHash("sha256");
  private written = 0;
  private groups = 0;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.handle = handle;
  }

  static async create(path: string, head: BackupHead): Promise<BackupWriter> {
    await rm(path + partSuffix, { force: true });
    const writer = new BackupWriter(path, await open(path + partSuffix, "wx", 0o600));
    await writer.write(backupMagic);
    await writer.write(encodeJsonRecord("fileBegin", head));
    return writer;
  }

  /**
   * One whole group, as a node gives it; checked on the way. When that fails the file is as it was before, so that another node can be asked.
   *
   * @param accept Throws when this is not the group that was asked for.
   * @param told Bytes of it so far.
   */
  async group(
    pieces: AsyncIterable<Uint8Array>,
    accept: (head: GroupHead) => void,
    told: (bytes: number) => void = () => undefined,
  ): Promise<BackedUpGroup> {
    const [written, hash] = [this.written, this.hash.copy()];
    try {
      const group = await this.append(pieces, accept, told);
      this.groups += 1;
      return group;
    } catch (error) {
      [this.written, this.hash] = [written, hash];
      await this.handle.truncate(written);
      throw error;
    }
  }

  async finish(): Promise<BackupReport> {
    await this.write(encodeJsonRecord("fileEnd", { groups: this.groups, sha256: this.hash.copy().digest("hex") }));
    await this.handle.sync();
    await this.handle.close();
    // What the disk has is what counts, not what was meant.
    const report = await verifyBackup(this.path + partSuffix);
    await rename(this.path + partSuffix, this.path);
    await syncDirectory(dirname(this.path));
    return report;
  }

  async abort(): Promise<void> {
    await this.handle.close();
    await rm(this.path + partSuffix, { force: true });
  }

  private async append(
    pieces: AsyncIterable<Uint8Array>,
    accept: (head: GroupHead) => void,
    told: (bytes: number) => void,
  ): Promise<BackedUpGroup> {
    const start = this.written;
    const counted = new GroupRecords();
    let head: GroupHead | null = null;
    let group: BackedUpGroup | null = null;
    for await (const record of readRecords(pieces)) {
      if (head === null && record.type === "groupBegin") {
        head = groupHead(record);
        accept(head);
      } else if (head !== null && group === null && record.type === "chunk") counted.count(record.payload);
      else if (head !== null && group === null && record.type === "groupEnd") group = { ...head, ...counted.checkEnd(record) };
      else throw new BackupDamaged(`the node sent a record out of place (${record.type})`);
      await this.write(record.bytes);
      told(this.written - start);
    }
    if (group === null) throw new BackupDamaged("the node stopped before the group was whole");
    return group;
  }

  private async write(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const { bytesWritten } = await this.handle.write(bytes, done, bytes.length - done, this.written + done);
      done += bytesWritten;
    }
    this.hash.update(bytes);
    this.written += bytes.length;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
