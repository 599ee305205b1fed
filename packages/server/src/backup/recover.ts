import { type GroupId, groupId } from "@trivet/core";
import { mkdtemp, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { version } from "../version.ts";
import { backupFormat } from "./backup-file.ts";
import { BackupWriter } from "./backup-writer.ts";
import { GroupRecords } from "./group-stream.ts";
import { type NewMember, type Restored, restoreBackup } from "./restore.ts";
import { RestoreRefused } from "./restore-refused.ts";
import { type GroupEnd, Survivor } from "./survivors.ts";

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
  /** Null = no directory has it. */
  readonly from: string | null;
  readonly end: GroupEnd | null;
  /** Damage was found in the copy that is taken. */
  readonly isDamaged: boolean;
}
export interface RecoveryPlan {
  readonly cluster: string;
  readonly nodes: readonly string[];
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
    const chosen = await choose(survivors, first.identity.shards);
    const plan = planOf(survivors, first, chosen);
    checkNeeded(plan, survivors);
    return await act(plan, () => carryOut(options, plan, chosen, join(work, "recovered.backup")));
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

interface Choice {
  readonly group: GroupId;
  readonly survivor: Survivor | null;
  readonly end: GroupEnd | null;
}

/** Of each group the copy whose log Raft would elect: the last term decides, then the length. */
async function choose(survivors: readonly Survivor[], shards: number): Promise<readonly Choice[]> {
  const choices: Choice[] = [];
  const held = await Promise.all(survivors.map((survivor) => survivor.shards()));
  for (let shard = 1; shard <= shards; shard += 1) {
    const group = groupId(shard);
    const holders = survivors.filter((_survivor, at) => held[at]?.includes(group) === true);
    choices.push(await best(group, holders, (survivor) => survivor.shardEnd(group)));
  }
  choices.push(await best(groupId(0), survivors, (survivor) => Promise.resolve(survivor.systemEnd())));
  return choices;
}

async function best(group: GroupId, holders: readonly Survivor[], endOf: (survivor: Survivor) => Promise<GroupEnd>): Promise<Choice> {
  let choice: Choice = { group, survivor: null, end: null };
  for (const survivor of holders) {
    const end = await endOf(survivor);
    const isLater = choice.end === null || end.term > choice.end.term || (end.term === choice.end.term && end.index > choice.end.index);
    if (isLater) choice = { group, survivor, end };
  }
  return choice;
}

function planOf(survivors: readonly Survivor[], first: Survivor, choices: readonly Choice[]): RecoveryPlan {
  const nodes = survivors.map(({ identity }) => identity.node);
  const system = choices.at(-1)?.survivor ?? first;
  const { voters } = system.membership();
  const groups = choices.map(({ end, group, survivor }) => ({
    group,
    from: survivor?.directory ?? null,
    end,
    isDamaged: survivor !== null && !survivor.isWhole(group),
  }));
  return { cluster: first.identity.cluster, nodes, voters, missing: voters.filter((voter) => !nodes.includes(voter)), groups };
}

/** With a majority that is whole nothing has to be lost: then this is the wrong command. */
function checkNeeded({ missing, nodes, voters }: RecoveryPlan, survivors: readonly Survivor[]): void {
  const whole = survivors.filter((survivor) => voters.includes(survivor.identity.node) && survivor.isWhole(groupId(0)));
  if (whole.length * 2 <= voters.length) return;
  const rest = missing.length === 0 ? "" : `, then: trivet member replace ${missing.join(" ")}`;
  throw new RestoreRefused(
    `${nodes.join(" and ")} are a majority of ${voters.join(", ")}, so the cluster goes on without losing anything.`,
    `start them with their directories${rest}`,
  );
}

async function carryOut(options: RecoverOptions, plan: RecoveryPlan, choices: readonly Choice[], file: string): Promise<Restored> {
  const { progress } = options;
  const shards = choices.length - 1;
  const system = choices.at(-1)?.survivor;
  if (system === undefined || system === null) throw new RestoreRefused("No directory has group 0.", "restore a backup");
  const state = await system.system();
  // Shards that were never placed have no data anywhere; then there is nothing to bring along.
  const placed = state.placement() === null ? 0 : shards;
  const writer = await BackupWriter.create(file, {
    format: backupFormat,
    cluster: plan.cluster,
    created_ms: state.groupTime,
    trivet: version,
    shards: placed,
    queues: "embedded",
  });
  const head = { cluster: plan.cluster, shards, group_time_ms: state.groupTime };
  for (const { end, group, survivor } of choices) {
    if (group > placed) continue;
    progress(group === 0 ? "group 0: applying its log" : `shard ${group} of ${shards}: applying its log`);
    const from = { ...head, group, node: survivor?.identity.node ?? "nobody", index: end?.index ?? 0, term: end?.term ?? 0 };
    const chunks = group === 0 ? systemChunks(state) : (survivor?.shard(group) ?? nothing());
    await writer.group(records(from, chunks), () => undefined);
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

function* systemChunks(state: Awaited<ReturnType<Survivor["system"]>>): Generator<Uint8Array> {
  const cursor = state.beginSnapshot();
  for (let chunk = cursor.next(65_536); chunk !== null; chunk = cursor.next(65_536)) if (chunk.length > 0) yield chunk.slice();
}

function* nothing(): Generator<Uint8Array> {
  // A shard that no directory has begins empty.
}
