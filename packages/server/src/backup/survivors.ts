import { decodeMembershipPayload, type Entry, type GroupId, groupId, type Membership, SnapshotLoader, SystemState } from "@trivet/core";
import {
  type ClusterIdentity,
  foundingMembership,
  identityFile,
  logDirectory,
  openSnapshotStore,
  openWal,
  readDoubt,
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
import { CodecError } from "@trivet/wire";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { LmdbStores } from "../adapters/lmdb-stores.ts";
import { given, offlinePorts, settled } from "../offline/ports.ts";
import { checkCommands, checkLevel } from "./known-commands.ts";
import { RestoreRefused } from "./restore-refused.ts";

/** Where a copy of a group ends: compared as Raft compares logs. */
export interface GroupEnd {
  readonly term: number;
  readonly index: number;
  /** Known to be acknowledged; what follows may have been, or not. */
  readonly commit: number;
  /** Where its state stands, which the log goes on from. */
  readonly state: Place;
}
/** What one directory has of a group. */
export interface Copy {
  readonly survivor: Survivor;
  readonly end: GroupEnd;
  /** The newest that its log or its state tells. */
  readonly membership: Membership;
  /** Nothing is missing of what it acknowledged. */
  readonly isWhole: boolean;
  /** Its node found that its state differs from the others' (rule W7). Its log is as good as any. */
  readonly isInDoubt: boolean;
}
interface Place {
  readonly index: number;
  readonly term: number;
}
interface KnownMembership {
  readonly membership: Membership;
  readonly membershipIndex: number;
}

const ignored = { answer: (): void => undefined, changed: (): void => undefined };
/** The copy cannot be written: nothing can be read then, either. */
function failed(error: Error): void {
  throw error;
}
const entriesPerApply = 512;
const otherVersion = "use the version that the former nodes ran, or a newer one; or leave that directory out";

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

  get node(): string {
    return this.identity.node;
  }

  /** Groups that it has something of. */
  async shards(): Promise<readonly GroupId[]> {
    const reply = await this.ask({ type: "list" });
    if (reply.type !== "groups") throw new Error(`unexpected answer ${reply.type}`);
    return reply.groups.map(groupId);
  }

  async systemCopy(): Promise<Copy> {
    const group = groupId(0);
    const meta = this.snapshots.latest();
    const founding = { membership: foundingMembership(this.identity), membershipIndex: 0 };
    return this.copyOf(group, meta ?? { index: 0, term: 0 }, meta ?? founding);
  }

  /** @param founding The configuration where its log says nothing of one. */
  async shardCopy(group: GroupId, founding: Membership): Promise<Copy> {
    const { mark } = await this.openShard(group);
    const membership = mark.membership === null ? founding : decodeMembershipPayload(mark.membership);
    return this.copyOf(group, mark, { membership, membershipIndex: mark.membershipIndex });
  }

  /** Its log behind a state, be it another copy's; null = it does not go on there. */
  entriesBehind(group: GroupId, { index, term }: Place): readonly Entry[] | null {
    const entries = this.groups.get(group)?.entries ?? [];
    const [first] = entries;
    if (first === undefined || first.index > index + 1) return null;
    if (first.index <= index && entries[index - first.index]?.term !== term) return null;
    return entries.slice(index + 1 - first.index);
  }

  /** Group 0 with all that is in the log: an entry that was not known to be committed here may have been acknowledged elsewhere. */
  async system(log: Survivor): Promise<SystemState> {
    const what = `group 0 in ${log.directory}`;
    const meta = this.snapshots.latest();
    const state = meta === null ? new SystemState() : await this.load(meta);
    checkLevel(state, what);
    const entries = this.following(log, groupId(0), meta ?? { index: 0, term: 0 }, what);
    for (const { index, kind, payload } of entries) if (kind === "command") state.applyEntry(payload, index, ignored);
    checkLevel(state, what);
    return state;
  }

  /** The same of a shard, in chunks. */
  async *shard(group: GroupId, log: Survivor): AsyncGenerator<Uint8Array> {
    const { mark } = await this.openShard(group);
    const entries = this.following(log, group, mark, `shard ${group} in ${log.directory}`);
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

  private async copyOf(group: GroupId, state: Place, known: KnownMembership): Promise<Copy> {
    const recovered = this.groups.get(group);
    const { crypto, files } = offlinePorts(this.copy);
    const isInDoubt = await new Promise<boolean>((resolve, reject) => {
      readDoubt(files, crypto, group, (error, doubt) => (error === null ? resolve(doubt !== null) : reject(error)));
    });
    return {
      survivor: this,
      end: endOf(recovered, state),
      membership: newestMembership(recovered, known),
      isWhole: recovered?.mayVote ?? this.mayVote,
      isInDoubt,
    };
  }

  /** What `log` has behind this copy's state. */
  private following(log: Survivor, group: GroupId, state: Place, what: string): readonly Entry[] {
    const entries = log === this ? following(this.groups.get(group), state.index, what) : (log.entriesBehind(group, state) ?? []);
    checkCommands(entries, what);
    return entries;
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
    } catch (error) {
      if (error instanceof CodecError)
        throw new RestoreRefused(`The snapshot in ${this.directory} cannot be read: ${error.message}.`, otherVersion);
      throw error;
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

function endOf(recovered: RecoveredGroup | undefined, { index, term }: Place): GroupEnd {
  const last = recovered?.entries.at(-1);
  const end = last !== undefined && last.index > index ? last : { index, term };
  const commit = Math.max(index, Math.min(recovered?.commit ?? 0, end.index));
  return { term: end.term, index: end.index, commit, state: { index, term } };
}

/** As Raft goes by it: the newest of which the log tells, committed or not. */
function newestMembership(recovered: RecoveredGroup | undefined, known: KnownMembership): Membership {
  const { entries = [], floor = null } = recovered ?? {};
  const newest = floor !== null && floor.membershipIndex > known.membershipIndex ? floor : known;
  const told = entries.findLast(({ index, kind }) => kind === "config" && index > newest.membershipIndex);
  return told === undefined ? newest.membership : decodeMembershipPayload(told.payload);
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
