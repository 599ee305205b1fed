import { SystemState } from "@trivet/core";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { backupFormat, type BackupHead, verifyBackup } from "../../src/backup/backup-file.ts";
import { BackupWriter } from "../../src/backup/backup-writer.ts";
import { type GroupHead, GroupRecords } from "../../src/backup/group-stream.ts";
import { BackupDamaged } from "../../src/backup/records.ts";
import { restoreBackup } from "../../src/backup/restore.ts";
import { RestoreRefused } from "../../src/backup/restore-refused.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "trivet-backup-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const created = 1_800_000_000_000;
const head: BackupHead = { format: backupFormat, cluster: "c1", created_ms: created, trivet: "0.1.0", shards: 1, queues: "embedded" };
const groupHead = (group: number, fields: Partial<GroupHead> = {}): GroupHead => ({
  cluster: "c1",
  node: "node1",
  group,
  shards: 1,
  index: 7,
  term: 2,
  group_time_ms: created,
  ...fields,
});
async function* group(of: GroupHead, ...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  const records = new GroupRecords();
  yield records.begin(of);
  for (const chunk of chunks) yield records.chunk(chunk);
  yield records.end();
}
const refuse = (): never => {
  throw new Error("another cluster");
};
const anything = (): void => undefined;
/** Of a fresh group 0. */
function systemChunks(): Uint8Array[] {
  const cursor = new SystemState().beginSnapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(4096); chunk !== null; chunk = cursor.next(4096)) if (chunk.length > 0) chunks.push(chunk.slice());
  return chunks;
}

async function write(name = "a.backup", of: BackupHead = head): Promise<string> {
  const path = join(folder, name);
  const writer = await BackupWriter.create(path, of);
  if (of.shards > 0) await writer.group(group(groupHead(1), Uint8Array.from([1])), anything);
  await writer.group(group(groupHead(0), ...systemChunks()), anything);
  await writer.finish();
  return path;
}

describe("a backup file", () => {
  it("tells what it holds, and no byte of it can be changed, left out or added unseen", async () => {
    const path = await write();
    const report = await verifyBackup(path);
    expect(report).toMatchObject({ head, groups: [{ group: 1, chunks: 1, bytes: 1 }, { group: 0 }] });
    expect(readdirSync(folder)).toEqual(["a.backup"]);
    const good = readFileSync(path);
    const broken = join(folder, "broken");
    for (let at = 0; at < good.length; at += 1) {
      const changed = Buffer.from(good);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      for (const bytes of [changed, good.subarray(0, at)]) {
        writeFileSync(broken, bytes);
        await expect(verifyBackup(broken), `at byte ${at} of ${good.length}`).rejects.toBeInstanceOf(BackupDamaged);
      }
    }
    writeFileSync(broken, Buffer.concat([good, good.subarray(8)]));
    await expect(verifyBackup(broken)).rejects.toThrow(/behind its end/);
  });

  it("goes on with another node where one breaks off, and keeps nothing of what that one sent", async () => {
    const path = join(folder, "b.backup");
    const writer = await BackupWriter.create(path, head);
    async function* broken(): AsyncGenerator<Uint8Array> {
      for await (const record of group(groupHead(1), Uint8Array.from([9, 9, 9]))) {
        yield record;
        throw new Error("the connection was closed");
      }
    }
    await expect(writer.group(broken(), anything)).rejects.toThrow("the connection was closed");
    async function* cut(): AsyncGenerator<Uint8Array> {
      const records = new GroupRecords();
      yield records.begin(groupHead(1));
      yield records.chunk(Uint8Array.from([9]));
    }
    await expect(writer.group(cut(), anything)).rejects.toThrow(/before the group was whole/);
    await expect(writer.group(group(groupHead(1)), refuse)).rejects.toThrow("another cluster");
    await writer.group(group(groupHead(1), Uint8Array.from([1])), anything);
    await writer.group(group(groupHead(0), ...systemChunks()), anything);
    expect((await writer.finish()).groups.map(({ bytes }) => bytes)[0]).toBe(1);
    const other = await BackupWriter.create(join(folder, "c.backup"), head);
    await other.abort();
    expect(readdirSync(folder)).toEqual(["b.backup"]);
  });

  it("is refused with a group of another cluster, out of place, or missing", async () => {
    const cases: readonly (readonly [RegExp, readonly GroupHead[]])[] = [
      [/is of cluster c2/, [groupHead(1, { cluster: "c2" }), groupHead(0)]],
      [/group 0 stands .* where group 1 belongs/, [groupHead(0), groupHead(1)]],
      [/groups are missing/, [groupHead(1)]],
      [/where group 0 belongs/, [groupHead(1), groupHead(2), groupHead(0)]],
    ];
    for (const [why, heads] of cases) {
      const writer = await BackupWriter.create(join(folder, "d.backup"), head);
      for (const one of heads) await writer.group(group(one), anything);
      await expect(writer.finish()).rejects.toThrow(why);
      expect(readdirSync(folder)).not.toContain("d.backup");
    }
  });
});

describe("a restore", () => {
  const members = ["node1", "node2"].map((node) => ({ node, url: `http://${node}:8001`, roles: "lock,queue,cache" }));
  const restore = (file: string, nowMs = created + 1): ReturnType<typeof restoreBackup> =>
    restoreBackup({ file, dataDir: join(folder, "data"), members, nowMs, progress: anything });

  it("is refused by a clock behind the backup, and by a state that cannot be read, and leaves nothing", async () => {
    const plain = { ...head, shards: 0 };
    const file = await write("plain.backup", plain);
    await expect(restore(file, created - 5_000)).rejects.toThrow(RestoreRefused);
    const path = join(folder, "odd.backup");
    const writer = await BackupWriter.create(path, plain);
    await writer.group(group(groupHead(0), Uint8Array.from([1, 2, 3])), anything);
    await writer.finish();
    await expect(restore(path)).rejects.toThrow(/its state cannot be read/);
    expect(readdirSync(folder).sort()).toEqual(["odd.backup", "plain.backup"]);
    const restored = await restore(file);
    expect(readdirSync(join(folder, "data"))).toEqual(["node1", "node2"]);
    // At the clock, to the millisecond; the rest is drawn.
    const atClock = ((created + 1) * 2 ** 20) / 1000;
    expect(restored.lastFence).toBeGreaterThanOrEqual(Math.floor(atClock));
    expect(restored.lastFence).toBeLessThanOrEqual(Math.ceil(atClock + 2 ** 20 / 1000));
    await expect(restore(file)).rejects.toThrow(/is not empty/);
  });

  it("that fails in the middle leaves nothing that looks like a node", async () => {
    // The only chunk of shard 1 is no chunk of a store.
    const file = join(folder, "odd.backup");
    const writer = await BackupWriter.create(file, head);
    await writer.group(group(groupHead(1), Uint8Array.from([99])), anything);
    await writer.group(group(groupHead(0), ...systemChunks()), anything);
    await writer.finish();
    await expect(restore(file)).rejects.toThrow(/its state cannot be read/);
    expect(readdirSync(folder)).toEqual(["odd.backup"]);
  });
});
