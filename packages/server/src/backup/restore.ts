import {
  adoptDefinitions,
  logIndex,
  type Membership,
  nodeId,
  type NodeView,
  place,
  type PlacementView,
  renewSystem,
  type ShardDefinitions,
  SnapshotLoader,
  type SystemState,
  type Takeover,
  type Term,
  term,
  termBase,
} from "@trivet/core";
import { type ClusterIdentity, foundingMembership, replication } from "@trivet/engine";
import { CodecError } from "@trivet/wire";
import { randomBytes, randomInt } from "node:crypto";
import { mkdir, readdir, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { type BackupReport, readBackup } from "./backup-file.ts";
import type { GroupHead } from "./group-stream.ts";
import { checkLevel } from "./known-commands.ts";
import { type GroupStart, writeNode } from "./new-node.ts";
import { BackupDamaged } from "./records.ts";
import { RestoreRefused } from "./restore-refused.ts";
import { ShardStores } from "./shard-stores.ts";

/** A node of the cluster that is made. */
export interface NewMember {
  readonly node: string;
  readonly url: string;
  readonly roles: string;
}

export interface RestoreOptions {
  readonly file: string;
  /** Gets a directory for each member. It must be empty, or not exist. */
  readonly dataDir: string;
  readonly members: readonly NewMember[];
  readonly nowMs: number;
  readonly progress: (text: string) => void;
}

export interface Restored {
  readonly cluster: string;
  readonly formerCluster: string;
  readonly backup: BackupReport;
  /** The first fence that it grants is above this. */
  readonly lastFence: number;
  /** Definitions that shards knew better than group 0, for people. */
  readonly adopted: readonly string[];
  readonly directories: readonly string[];
}

/** Everything is made in here and put in place at the end, so that a restore that fails leaves nothing that looks like a node. */
const workName = ".restoring";
/** Of one millisecond. */
const microseconds = 1000;

/**
 * Makes the data directories of a new cluster from a backup (rule W9). The backup is read twice: first to its end, so that nothing is
 * begun with one that is damaged.
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { dataDir, members, nowMs, progress } = options;
  const existed = await checkEmpty(dataDir);
  progress("checking the backup");
  const { report, system: former } = await checkBackup(options.file);
  checkClock(report, former, nowMs);
  checkLevel(former, "The backup");
  const plan = planOf(report, former, members, nowMs);
  const work = join(dataDir, workName);
  await mkdir(work, { recursive: true, mode: 0o700 });
  try {
    const { definitions, starts } = await fillShards(options, plan, work);
    const adopted = adoptDefinitions(plan.system, former, definitions);
    for (const text of adopted) progress(text);
    await writeNodes(plan, starts, work, progress);
    const directories: string[] = [];
    for (const { node } of members) {
      const directory = join(dataDir, node);
      await rename(join(work, node), directory);
      directories.push(directory);
    }
    await rmdir(work);
    const { cluster, system } = plan;
    return { cluster, formerCluster: report.head.cluster, backup: report, lastFence: system.lastFence, adopted, directories };
  } catch (error) {
    for (const { node } of members) await rm(join(dataDir, node), { recursive: true, force: true });
    await rm(existed ? work : dataDir, { recursive: true, force: true });
    throw error;
  }
}

/** False = it does not exist. */
async function checkEmpty(dataDir: string): Promise<boolean> {
  try {
    const names = await readdir(dataDir);
    if (names.length === 0) return true;
    const left = names.includes(workName) ? "What an interrupted restore left there may be deleted: it is no node's." : "";
    throw new RestoreRefused(
      `${dataDir} is not empty: it holds ${names.slice(0, 3).join(", ")}.`,
      `name another --data-dir. ${left}`.trim(),
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

/** Reads all of it, and builds the state of group 0 that it holds. */
export async function checkBackup(file: string): Promise<{ readonly report: BackupReport; readonly system: SystemState }> {
  const loader = new SnapshotLoader();
  let group = -1;
  for await (const event of readBackup(file)) {
    if (event.type === "group") ({ group } = event.head);
    else if (event.type === "chunk" && group === 0) understood(() => loader.push(event.chunk));
    else if (event.type === "end") return { report: event.report, system: understood(() => loader.finish()) };
  }
  throw new BackupDamaged("it has no end");
}

/** The bytes are those that were written, but not by a version whose state this one reads. */
function understood<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    return unreadable(error);
  }
}

function unreadable(error: unknown): never {
  if (error instanceof CodecError) throw new BackupDamaged(`its state cannot be read: ${error.message}`);
  throw error;
}

function checkClock({ head }: BackupReport, { groupTime }: SystemState, nowMs: number): void {
  const newest = Math.max(head.created_ms, groupTime);
  if (nowMs >= newest) return;
  const behind = Math.ceil((newest - nowMs) / 1000);
  throw new RestoreRefused(
    `The clock of this machine is ${behind} s behind the backup, so the new cluster could count what the former one has counted.`,
    "set the clock, then repeat the command",
  );
}

interface Plan {
  readonly cluster: string;
  readonly identities: readonly ClusterIdentity[];
  readonly system: SystemState;
  readonly placement: PlacementView | null;
  readonly times: Takeover;
  readonly systemTerm: Term;
}

function planOf(report: BackupReport, former: SystemState, members: readonly NewMember[], nowMs: number): Plan {
  const cluster = randomBytes(8).toString("hex");
  const founders = members
    .map((member) => ({ ...member, storage: randomBytes(8).toString("hex") }))
    .sort((a, b) => (a.node < b.node ? -1 : 1));
  const nodes = founders.map((founder): NodeView => ({ ...founder, voter: true, replaceable: false, draining: false }));
  const shards = report.head.shards === 0 ? (report.groups.at(-1)?.shards ?? 0) : report.head.shards;
  const placement = report.head.shards === 0 ? null : placementOf(nodes, report.head.shards, former.placement());
  // Two restores of one moment are two clusters, too: what lies within the millisecond is drawn.
  const times = { savedMs: Math.max(report.head.created_ms, former.groupTime), nowMs: nowMs + randomInt(microseconds) / microseconds };
  const system = renewSystem(former, { nodes, placement, ...times });
  const identities = founders.map(({ node, storage }): ClusterIdentity => ({ format: 1, cluster, node, storage, shards, founders }));
  return {
    cluster,
    identities,
    system,
    placement,
    times,
    systemTerm: term(termBase(report.groups.at(-1)?.term ?? 0, times)),
  };
}

/** As the leader would place them among these nodes. */
function placementOf(nodes: readonly NodeView[], shards: number, former: PlacementView | null): PlacementView {
  const able = nodes.filter(({ roles }) => roles.split(",").some((role) => role === "queue" || role === "cache"));
  if (able.length === 0)
    throw new RestoreRefused("No member has the role queue or cache, and the backup has shards.", "give one of them such a role");
  const map = place(
    able.map(({ node }) => nodeId(node)),
    shards,
    replication,
    null,
  );
  const storageOf = new Map(nodes.map(({ node, storage }) => [node, storage]));
  const founders = map.map((replicas) => replicas.map((node) => ({ node, storage: storageOf.get(node) ?? "" })));
  return { epoch: (former?.epoch ?? 0) + 1, replication, founders, shards: map };
}

interface FilledShards {
  readonly starts: ReadonlyMap<number, GroupStart>;
  readonly definitions: readonly ShardDefinitions[];
}

async function fillShards({ file, progress }: RestoreOptions, plan: Plan, work: string): Promise<FilledShards> {
  const starts = new Map<number, GroupStart>();
  const definitions: ShardDefinitions[] = [];
  let open: ShardStores | null = null;
  let head: GroupHead | null = null;
  try {
    for await (const event of readBackup(file)) {
      if (event.type === "group") {
        ({ head } = event);
        if (head.group === 0) continue;
        const holders = plan.placement?.shards[head.group - 1] ?? [];
        open = await ShardStores.create(
          head.group,
          head.index,
          holders.map((node) => join(work, node)),
        );
      } else if (event.type === "chunk" && open !== null) {
        const stores: ShardStores = open;
        await stores.push(event.chunk).catch(unreadable);
      } else if (event.type === "group-end" && open !== null && head !== null) {
        definitions.push(open.definitions());
        starts.set(head.group, await finishShard(open, head, plan));
        await open.close();
        open = null;
        progress(`shard ${head.group} of ${event.group.shards} is in place`);
      }
    }
  } finally {
    await open?.close();
  }
  return { starts, definitions };
}

async function finishShard(stores: ShardStores, head: GroupHead, plan: Plan): Promise<GroupStart> {
  const voters = (plan.placement?.shards[head.group - 1] ?? []).map(nodeId);
  const membership: Membership = { voters, outgoing: [], learners: [], learnersNext: [], autoLeave: false };
  const options = { fenceFloor: plan.system.lastFence, index: head.index, ...plan.times };
  const at = term(termBase(head.term, plan.times));
  return { group: head.group, index: logIndex(await stores.renew(options, at, membership)), term: at, membership };
}

async function writeNodes(plan: Plan, shards: FilledShards["starts"], work: string, progress: (text: string) => void): Promise<void> {
  for (const identity of plan.identities) {
    const membership = foundingMembership(identity);
    const system: GroupStart = { group: 0, index: logIndex(plan.system.appliedIndex), term: plan.systemTerm, membership };
    const held = [...shards.values()].filter(({ membership: { voters } }) => voters.includes(nodeId(identity.node)));
    await writeNode(join(work, identity.node), identity, plan.system, [system, ...held]);
    progress(`the data directory of ${identity.node} is written`);
  }
}
