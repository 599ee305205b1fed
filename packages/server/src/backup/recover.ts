import { groupId, type Membership, nodeId, type PlacementView, type SystemState } from "@trivet/core";
import { mkdtemp, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { version } from "../version.ts";
import { backupFormat } from "./backup-file.ts";
import { BackupWriter } from "./backup-writer.ts";
import { GroupRecords } from "./group-stream.ts";
import { type NewMember, type Restored, restoreBackup } from "./restore.ts";
import { type Choice, chooseCopies } from "./recovery-choice.ts";
import { RestoreRefused } from "./restore-refused.ts";
import { type Copy, type GroupEnd, Survivor } from "./survivors.ts";

export interface RecoverOptions {
  /** Data directories of former nodes. They are read, and left as they are. */
  readonly from: readonly string[];
  readonly dataDir: string;
  readonly members: readonly NewMember[];
  readonly nowMs: number;
  readonly progress: (text: string) => void;
}

/** Which copy of a group is taken, and what may be missing of it. */
export interface ChosenGroup {
  readonly group: number;
  /** Whose log; null = no directory has it. */
  readonly from: string | null;
  /** Whose state that log goes on from: another one's where that of `from` is in doubt (rule W7). */
  readonly stateFrom: string | null;
  readonly end: GroupEnd | null;
  /** Damage was found in the log that is taken. */
  readonly isDamaged: boolean;
  /** No directory has a sound state of it. */
  readonly isInDoubt: boolean;
  /** A log that goes further and is not taken: its state is in doubt, and it goes on from no sound one. */
  readonly leftOut: { readonly from: string; readonly end: GroupEnd } | null;
  /** Who votes in this group, and whose copies are here and whole. */
  readonly voters: readonly string[];
  readonly whole: readonly string[];
  /** The group goes on by itself, and loses nothing. */
  readonly hasMajority: boolean;
}
export interface RecoveryPlan {
  readonly cluster: string;
  readonly nodes: readonly string[];
  /** Of any group. */
  readonly voters: readonly string[];
  /** Voters whose directories are not here. */
  readonly missing: readonly string[];
  readonly groups: readonly ChosenGroup[];
}

/**
 * What a recovery from these directories would take, and what may be lost by it. `act` is called with a way to carry it out, as long as the
 * directories are open; they are copied beside `dataDir` for that, because opening a log or a store may write.
 */
export async function planRecovery<T>(
  options: RecoverOptions,
  act: (plan: RecoveryPlan, carryOut: () => Promise<Restored>) => Promise<T>,
): Promise<T> {
  const work = await mkdtemp(join(dirname(options.dataDir), `.${basename(options.dataDir)}-recovery-`));
  const survivors: Survivor[] = [];
  try {
    for (const [at, directory] of options.from.entries()) {
      options.progress(`reading ${directory}`);
      survivors.push(await Survivor.open(directory, join(work, `from-${at}`)));
    }
    const [first] = survivors;
    if (first === undefined)
      throw new RestoreRefused("No directory to recover from is named.", "name the DATA_DIR of each former node that is left");
    checkTogether(survivors, first);
    const found = await find(survivors, first.identity.shards);
    const plan = planOf(survivors, first, found.choices);
    checkNeeded(plan);
    return await act(plan, () => carryOut(options, plan, found, join(work, "recovered.backup")));
  } finally {
    for (const survivor of survivors) await survivor.close();
    await rm(work, { recursive: true, force: true });
  }
}

function checkTogether(survivors: readonly Survivor[], first: Survivor): void {
  const stranger = survivors.find(({ identity }) => identity.cluster !== first.identity.cluster);
  if (stranger !== undefined) {
    throw new RestoreRefused(
      `${stranger.directory} belongs to cluster ${stranger.identity.cluster}, ${first.directory} to ${first.identity.cluster}.`,
      "name directories of one cluster",
    );
  }
  const names = survivors.map(({ identity }) => identity.node);
  const twice = names.find((node, at) => names.indexOf(node) !== at);
  if (twice !== undefined) throw new RestoreRefused(`Two of the directories belong to ${twice}.`, "name each former node once");
}

interface Found {
  readonly state: SystemState;
  /** Of the cluster, also while they are not placed. */
  readonly shards: number;
  /** Shards in their order, group 0 last. */
  readonly choices: readonly Choice[];
}

/** What is taken of each group. Shards that were never placed have no data anywhere: then there is nothing to bring along. */
async function find(survivors: readonly Survivor[], shards: number): Promise<Found> {
  const systemCopies = await Promise.all(survivors.map((survivor) => survivor.systemCopy()));
  const system = chooseCopies(groupId(0), systemCopies, null);
  if (system.log === null || system.state === null) throw new RestoreRefused("No directory has group 0.", "restore a backup");
  const state = await system.state.survivor.system(system.log.survivor);
  const placement = state.placement();
  const choices: Choice[] = [];
  const held = await Promise.all(survivors.map((survivor) => survivor.shards()));
  // Group 0's copy may be behind the placement.
  const placed = placement === null && held.every((groups) => groups.length === 0) ? 0 : shards;
  for (let shard = 1; shard <= placed; shard += 1) {
    const group = groupId(shard);
    const founding = foundersOf(placement, shard);
    const copies: Copy[] = [];
    for (const [at, survivor] of survivors.entries()) {
      if (held[at]?.includes(group) === true) copies.push(await survivor.shardCopy(group, founding));
    }
    choices.push(chooseCopies(group, copies, placement));
  }
  return { state, shards, choices: [...choices, system] };
}

function foundersOf(placement: PlacementView | null, shard: number): Membership {
  const voters = (placement?.founders[shard - 1] ?? []).map(({ node }) => nodeId(node));
  return { voters, outgoing: [], learners: [], learnersNext: [], autoLeave: false };
}

function planOf(survivors: readonly Survivor[], first: Survivor, choices: readonly Choice[]): RecoveryPlan {
  const nodes = survivors.map(({ node }) => node);
  const voters = [...new Set(choices.flatMap((choice) => choice.voters))].sort();
  const groups = choices.map(({ group, hasMajority, leftOut, log, state, ...rest }): ChosenGroup => {
    const taken = { from: log?.survivor.directory ?? null, stateFrom: state?.survivor.directory ?? null, end: log?.end ?? null };
    return {
      group,
      ...taken,
      isDamaged: log?.isWhole === false,
      isInDoubt: state?.isInDoubt === true,
      leftOut: leftOut === null ? null : { from: leftOut.survivor.directory, end: leftOut.end },
      voters: rest.voters,
      whole: rest.whole,
      hasMajority,
    };
  });
  return { cluster: first.identity.cluster, nodes, voters, missing: voters.filter((voter) => !nodes.includes(voter)), groups };
}

/** Where every group has a majority that is whole nothing has to be lost: then this is the wrong command. */
function checkNeeded({ groups, missing, nodes, voters }: RecoveryPlan): void {
  if (groups.some(({ hasMajority }) => !hasMajority)) return;
  const rest = missing.length === 0 ? "" : `, then: trivet member replace ${missing.join(" ")}`;
  throw new RestoreRefused(
    `${nodes.join(" and ")} are a majority of ${voters.join(", ")} in every group, so the cluster goes on without losing anything.`,
    `start them with their directories${rest}`,
  );
}

async function carryOut(
  options: RecoverOptions,
  plan: RecoveryPlan,
  { choices, shards: declared, state }: Found,
  file: string,
): Promise<Restored> {
  const { progress } = options;
  const shards = choices.length - 1;
  const writer = await BackupWriter.create(file, {
    format: backupFormat,
    cluster: plan.cluster,
    created_ms: state.groupTime,
    trivet: version,
    shards,
    queues: "embedded",
  });
  const head = { cluster: plan.cluster, shards: declared, group_time_ms: state.groupTime };
  for (const { group, log, state: from } of choices) {
    progress(group === 0 ? "group 0" : `shard ${group} of ${shards}: applying its log`);
    const of = { ...head, group, node: log?.survivor.node ?? "nobody", index: log?.end.index ?? 0, term: log?.end.term ?? 0 };
    const shard = log === null || from === null ? nothing() : from.survivor.shard(group, log.survivor);
    await writer.group(records(of, group === 0 ? systemChunks(state) : shard), () => undefined);
  }
  await writer.finish();
  return restoreBackup({ ...options, file });
}

async function* records(
  head: Parameters<GroupRecords["begin"]>[0],
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const group = new GroupRecords();
  yield group.begin(head);
  for await (const chunk of chunks) yield group.chunk(chunk);
  yield group.end();
}

function* systemChunks(state: SystemState): Generator<Uint8Array> {
  const cursor = state.beginSnapshot();
  for (let chunk = cursor.next(65_536); chunk !== null; chunk = cursor.next(65_536)) if (chunk.length > 0) yield chunk.slice();
}

function* nothing(): Generator<Uint8Array> {
  // A shard that no directory has begins empty.
}
