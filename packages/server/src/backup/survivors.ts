import { type Entry, type GroupId, groupId, type Membership, SnapshotLoader, SystemState } from "@trivet/core";
import {
  type ClusterIdentity,
  foundingMembership,
  identityFile,
  logDirectory,
  openSnapshotStore,
  openWal,
  readJsonFile,
  type RecoveredGroup,
  ShardWorker,
  type SnapshotReader,
  type SnapshotStoreApi,
  type WalFinding,
  type WalOpened,
  type WorkerReply,
  type WorkerRequest,
} from "@trivet/engine";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { LmdbStores } from "../adapters/lmdb-stores.ts";
import { given, offlinePorts, settled } from "../offline/ports.ts";
import { RestoreRefused } from "./restore-refused.ts";

/** Where a copy of a group ends: compared as Raft compares logs. */
export interface GroupEnd {
  readonly term: number;
  readonly index: number;
  /** Known to be acknowledged; what follows may have been, or not. */
  readonly commit: number;
}

const ignored = { answer: (): void => undefined, changed: (): void => undefined };
/** The copy cannot be written: nothing can be read then, either. */
function failed(error: Error): void {
  throw error;
}
const entriesPerApply = 512;

/**
 * The data directory of a node that is gone, as recovery reads it: a copy, for opening a log or a store may write. The directory itself is
 * locked for as long, and left as it is.
 */
export class Survivor {
  readonly directory: string;
  readonly identity: ClusterIdentity;
  readonly findings: readonly WalFinding[];
  private readonly copy: string;
  private readonly groups: ReadonlyMap<GroupId, RecoveredGroup>;
  private readonly mayVote: boolean;
  private readonly snapshots: SnapshotStoreApi;
  private readonly worker: ShardWorker;
  private readonly unlock: () => void;

  private constructor(fields: {
    readonly directory: string;
    readonly copy: string;
    readonly identity: ClusterIdentity;
    readonly opened: WalOpened;
    readonly snapshots: SnapshotStoreApi;
    readonly unlock: () => void;
  }) {
    this.directory = fields.directory;
    this.copy = fields.copy;
    this.identity = fields.identity;
    this.groups = fields.opened.groups;
    this.mayVote = fields.opened.mayVote;
    this.findings = fields.opened.findings;
    this.snapshots = fields.snapshots;
    this.unlock = fields.unlock;
    this.worker = new ShardWorker(new LmdbStores(join(this.copy, "shards")));
  }

  /** Throws RestoreRefused where there is no such directory, or a process uses it. */
  static async open(directory: string, copy: string): Promise<Survivor> {
    const original = offlinePorts(directory);
    const identity = await new Promise<unknown>((resolve, reject) => {
      readJsonFile(original.files, original.crypto, identityFile, (error, value) => (error === null ? resolve(value) : reject(error)));
    });
    if (identity === undefined)
      throw new RestoreRefused(
        `${directory} is the data directory of no node: it has no ${identityFile}.`,
        "name the DATA_DIR of a former node",
      );
    await settled((done) => original.files.lock("lock", done)).catch((error: unknown) => {
      const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
      throw new RestoreRefused(`${directory} is in use: ${why}.`, "stop that node first");
    });
    try {
      await cp(directory, copy, { recursive: true, filter: (from) => from !== join(directory, "lock") });
      const ports = offlinePorts(copy);
      const opened = await given<WalOpened>((done) => openWal(ports, { directory: logDirectory, mustExist: true }, failed, done));
      await new Promise<void>((closed) => opened.wal.close(closed));
      const group = groupId(0);
      const snapshots = await given<SnapshotStoreApi>((done) =>
        openSnapshotStore(ports, { directory: "snapshots/0", group }, failed, done),
      );
      return new Survivor({
        directory,
        copy,
        identity: identity as ClusterIdentity,
        opened,
        snapshots,
        unlock: () => original.files.unlock(),
      });
    } catch (error) {
      original.files.unlock();
      throw error;
    }
  }

  async close(): Promise<void> {
    await new Promise<void>((stopped) => this.worker.stop(stopped));
    this.unlock();
  }

  /** Nothing of what it acknowledged in that group is missing here. */
  isWhole(group: GroupId): boolean {
    return this.groups.get(group)?.mayVote ?? this.mayVote;
  }

  /** Who voted in group 0, as far as this directory knows. */
  membership(): Membership {
    return this.groups.get(groupId(0))?.floor?.membership ?? this.snapshots.latest()?.membership ?? foundingMembership(this.identity);
  }

  /** Groups that it has something of. */
  async shards(): Promise<readonly GroupId[]> {
    const reply = await this.ask({ type: "list" });
    if (reply.type !== "groups") throw new Error(`unexpected answer ${reply.type}`);
    return reply.groups.map(groupId);
  }

  systemEnd(): GroupEnd {
    const recovered = this.groups.get(groupId(0));
    const meta = this.snapshots.latest();
    return endOf(recovered, { index: meta?.index ?? 0, term: meta?.term ?? 0 });
  }

  async shardEnd(group: GroupId): Promise<GroupEnd> {
    const { mark } = await this.openShard(group);
    return endOf(this.groups.get(group), mark);
  }

  /** Group 0 with all that is in the log: an entry that was not known to be committed here may have been acknowledged elsewhere. */
  async system(): Promise<SystemState> {
    const meta = this.snapshots.latest();
    const state = meta === null ? new SystemState() : await this.load(meta);
    for (const { index, kind, payload } of following(this.groups.get(groupId(0)), meta?.index ?? 0, `group 0 in ${this.directory}`)) {
      if (kind === "command") state.applyEntry(payload, index, ignored);
    }
    return state;
  }

  /** The same of a shard, in chunks. */
  async *shard(group: GroupId): AsyncGenerator<Uint8Array> {
    const { mark } = await this.openShard(group);
    const entries = following(this.groups.get(group), mark.index, `shard ${group} in ${this.directory}`);
    for (let at = 0; at < entries.length; at += entriesPerApply) {
      const some = entries.slice(at, at + entriesPerApply);
      await this.ask({ type: "apply", group, entries: some, attended: 0, routed: [], unrouted: [] });
    }
    await this.ask({ type: "cut", group, cut: 1, index: entries.at(-1)?.index ?? mark.index });
    for (;;) {
      const reply = await this.ask({ type: "cut-next", group, cut: 1, maxBytes: 256 * 1024 });
      if (reply.type !== "chunk" || reply.chunk === null) break;
      yield reply.chunk;
    }
    await this.ask({ type: "cut-end", group, cut: 1 });
  }

  private async load(meta: NonNullable<ReturnType<SnapshotStoreApi["latest"]>>): Promise<SystemState> {
    const reader = await given<SnapshotReader>((done) => this.snapshots.open(meta, done));
    const loader = new SnapshotLoader();
    try {
      for (;;) {
        const chunk = await new Promise<Uint8Array | null>((resolve, reject) => {
          reader.next((error, read) => (error === null ? resolve(read) : reject(error)));
        });
        if (chunk === null) return loader.finish();
        loader.push(chunk);
      }
    } finally {
      reader.close();
    }
  }

  private opened: { readonly group: GroupId; readonly reply: Extract<WorkerReply, { readonly type: "opened" }> }[] = [];

  private async openShard(group: GroupId): Promise<Extract<WorkerReply, { readonly type: "opened" }>> {
    const known = this.opened.find((one) => one.group === group);
    if (known !== undefined) return known.reply;
    const reply = await this.ask({ type: "open", group });
    if (reply.type !== "opened") throw new Error(`unexpected answer ${reply.type}`);
    this.opened.push({ group, reply });
    return reply;
  }

  private ask(request: WorkerRequest): Promise<WorkerReply> {
    return new Promise((resolve, reject) => {
      this.worker.handle(request, (reply) => {
        if (reply.type === "failed") reject(new Error(`${this.directory}: ${reply.detail}`));
        else resolve(reply);
      });
    });
  }
}

function endOf(recovered: RecoveredGroup | undefined, state: { readonly index: number; readonly term: number }): GroupEnd {
  const last = recovered?.entries.at(-1);
  const end = last !== undefined && last.index > state.index ? last : state;
  return { term: end.term, index: end.index, commit: Math.max(state.index, Math.min(recovered?.commit ?? 0, end.index)) };
}

/** Entries behind `index`. Throws where some are missing between. */
function following(recovered: RecoveredGroup | undefined, index: number, what: string): readonly Entry[] {
  const entries = (recovered?.entries ?? []).filter((entry) => entry.index > index);
  const [first] = entries;
  if (first !== undefined && first.index !== index + 1)
    throw new RestoreRefused(
      `${what} has a hole: its state ends at ${index}, its log goes on at ${first.index}.`,
      "leave that directory out, or restore a backup",
    );
  return entries;
}
