import { type EntryKind, groupId, type LogIndex, logIndex, QueueShard, type SystemState, SystemState as State, term } from "@trivet/core";
import {
  logDirectory,
  openWal,
  type OrderedStore,
  parseStoreName,
  type RecoveredGroup,
  ShardLoader,
  storeName,
  type WalOpened,
  writeJsonFile,
} from "@trivet/engine";
import { type Command, encodeEntryPayload, encodeSingleCommandFrame, type QueueDefinition, type ShardCommand } from "@trivet/wire";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { backupFormat } from "../../src/backup/backup-file.ts";
import { BackupWriter } from "../../src/backup/backup-writer.ts";
import { type GroupHead, GroupRecords } from "../../src/backup/group-stream.ts";
import { planRecovery, type RecoveryPlan } from "../../src/backup/recover.ts";
import { restoreBackup, type Restored } from "../../src/backup/restore.ts";
import { Survivor } from "../../src/backup/survivors.ts";
import { LmdbStores } from "../../src/adapters/lmdb-stores.ts";
import { given, offlinePorts, settled } from "../../src/offline/ports.ts";

export const t0 = 1_700_000_000_000;
const noLeases = { leased: (): void => undefined, ended: (): void => undefined };
const member = (node: string) => ({ node, url: `http://${node}:8001`, roles: "lock,queue,cache" });

export const definition: QueueDefinition = {
  name: "orders",
  version: 1,
  partitions: 1,
  visibilityMs: 30_000,
  maxDeliveries: 0,
  maxAcquired: 0,
  backoffMs: 0,
  maxMessages: 0,
  maxBytes: 0,
  ttlMs: 0,
  dedupeWindowMs: 60_000,
  maxLeased: 0,
  ratePerSecond: 0,
  paused: false,
};

async function* records(head: GroupHead, chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  const group = new GroupRecords();
  yield group.begin(head);
  for (const chunk of chunks) yield group.chunk(chunk);
  yield group.end();
}

export function chunksOf(state: SystemState): Uint8Array[] {
  const cursor = state.beginSnapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(4096); chunk !== null; chunk = cursor.next(4096)) if (chunk.length > 0) chunks.push(chunk.slice());
  return chunks;
}

/** A backup of a cluster with nothing in its shards. */
export async function emptyBackup(file: string, shards: number, state: SystemState = new State()): Promise<string> {
  const head = { format: backupFormat, cluster: "former", created_ms: t0, trivet: "0.1.0", shards, queues: "embedded" as const };
  const writer = await BackupWriter.create(file, head);
  for (const group of [...Array.from({ length: shards }, (_, at) => at + 1), 0]) {
    const of = { cluster: "former", node: "a", group, shards, index: 7, term: 2, group_time_ms: t0 };
    await writer.group(records(of, group === 0 ? chunksOf(state) : [Uint8Array.from([1])]), () => undefined);
  }
  await writer.finish();
  return file;
}

/** Data directories of nodes that are gone: as a restore makes them, and what a test appends to them. */
export class FormerCluster {
  readonly folder: string;
  readonly directories: ReadonlyMap<string, string>;

  private constructor(folder: string, directories: ReadonlyMap<string, string>) {
    this.folder = folder;
    this.directories = directories;
  }

  static async make(folder: string, nodes: readonly string[], shards: number, state?: SystemState): Promise<FormerCluster> {
    const file = await emptyBackup(join(folder, "former.backup"), shards, state);
    const dataDir = join(folder, "data");
    await restoreBackup({ file, dataDir, members: nodes.map(member), nowMs: t0, progress: () => undefined });
    return new FormerCluster(folder, new Map(nodes.map((node) => [node, join(dataDir, node)])));
  }

  directory(node: string): string {
    return this.directories.get(node) ?? "";
  }

  /** Nodes that hold the shard. */
  holders(shard: number): string[] {
    const holds = (node: string): boolean => {
      const stores = join(this.directory(node), "shards");
      return existsSync(stores) && readdirSync(stores).some((name) => parseStoreName(name)?.group === shard);
    };
    return [...this.directories.keys()].filter(holds);
  }

  /** Appends entries to a group's log at one node, in the term that is there. */
  append(node: string, group: number, payloads: readonly Uint8Array[], kind: EntryKind = "command"): Promise<void> {
    return this.onLog(node, ({ groups, wal }, done) => {
      const { at, commit } = endOf(groups.get(groupId(group)));
      const append = payloads.map((payload, n) => ({ index: logIndex(at.index + 1 + n), term: term(at.term), kind, payload }));
      wal.write({ group: groupId(group), hardState: null, truncateFrom: logIndex(0), append, commit }, done);
    });
  }

  /** Forgets the log up to its end, as behind a snapshot that was installed. */
  trim(node: string, group: number): Promise<void> {
    return this.onLog(node, ({ groups, wal }, done) => {
      const known = groups.get(groupId(group));
      const { index, term: inTerm } = endOf(known).at;
      const { floor } = known ?? {};
      if (floor === null || floor === undefined) throw new Error(`no group ${group} at ${node}`);
      wal.installed({ ...floor, index: logIndex(index), term: term(inTerm), keepFrom: logIndex(index + 1) }, false, done);
    });
  }

  private async onLog(node: string, change: (opened: WalOpened, done: () => void) => void): Promise<void> {
    const ports = offlinePorts(this.directory(node));
    const opened = await given<WalOpened>((done) => openWal(ports, { directory: logDirectory, mustExist: true }, raise, done));
    await new Promise<void>((durable) => change(opened, durable));
    await new Promise<void>((closed) => opened.wal.close(closed));
  }

  /** What its node writes down when its state of a group differs from the others'. */
  async doubt(node: string, group: number): Promise<void> {
    const { crypto, files } = offlinePorts(this.directory(node));
    const path = group === 0 ? "state-in-doubt.json" : `state-in-doubt-${group}.json`;
    await settled((done) => writeJsonFile(files, crypto, path, { detail: "it differs" }, done));
  }

  plan(from: readonly string[], members: readonly string[] = ["a"]): Promise<RecoveryPlan> {
    return this.recovery(from, members, (plan) => Promise.resolve(plan));
  }

  /** Into `recovered`. */
  carryOut(from: readonly string[], told: string[] = []): Promise<Restored> {
    return this.recovery(from, ["a"], (_plan, carryOut) => carryOut(), told);
  }

  /** What the one node of the recovered cluster has. */
  async recovered(shard: number, queue: number): Promise<{ readonly system: SystemState; readonly messages: number }> {
    const survivor = await Survivor.open(join(this.folder, "recovered", "a"), join(this.folder, "looked-at"));
    try {
      const system = await survivor.system(survivor);
      const store = await given<OrderedStore>((done) =>
        new LmdbStores(join(this.folder, "looked-at-apart")).open(storeName(shard, 0), done),
      );
      const loader = new ShardLoader(store);
      for await (const chunk of survivor.shard(groupId(shard), survivor)) loader.push(chunk);
      const { messages } = store.read((view) => new QueueShard(view, noLeases, { ready: () => undefined }).stats(queue, 0));
      await settled((done) => store.close(done));
      return { system, messages };
    } finally {
      await survivor.close();
    }
  }

  private recovery<T>(
    from: readonly string[],
    members: readonly string[],
    act: (plan: RecoveryPlan, carryOut: () => Promise<Restored>) => Promise<T>,
    told: string[] = [],
  ): Promise<T> {
    const directories = from.map((node) => this.directory(node));
    const options = { from: directories, dataDir: join(this.folder, "recovered"), members: members.map(member), nowMs: t0 + 60_000 };
    return planRecovery({ ...options, progress: (text) => void told.push(text) }, act);
  }
}

function endOf(recovered: RecoveredGroup | undefined): {
  readonly at: { readonly index: number; readonly term: number };
  readonly commit: LogIndex;
} {
  const last = recovered?.entries.at(-1) ?? recovered?.floor;
  return { at: { index: last?.index ?? 0, term: last?.term ?? 0 }, commit: logIndex(recovered?.commit ?? 0) };
}

function raise(error: Error): void {
  throw error;
}

/** An entry with a command of a leader's own. */
export function own(command: Command | ShardCommand, groupTime = t0): Uint8Array {
  return encodeEntryPayload(groupTime, [encodeSingleCommandFrame("", "", 0, command)]);
}

export function called(command: Command | ShardCommand, sequence: number, groupTime = t0): Uint8Array {
  return encodeEntryPayload(groupTime, [encodeSingleCommandFrame(`caller-${sequence}`, "", t0 + 60_000, command)]);
}
