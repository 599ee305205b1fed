import type { Command } from "commander";
import { resolve } from "node:path";
import { toolsOf, type Context } from "../context.ts";
import { usageError } from "../output/errors.ts";
import { table, type Output } from "../output/output.ts";
import { type MemberOptions, membersOf, reading, restoredText, withMembers } from "./snapshot.ts";

const loadServer = () => import("@trivet/server");
type RecoveryPlan = Parameters<Parameters<Awaited<ReturnType<typeof loadServer>>["planRecovery"]>[1]>[0];
type ChosenGroup = RecoveryPlan["groups"][number];

interface RecoverFlags extends MemberOptions {
  readonly from: readonly string[];
  readonly dataDir: string;
  readonly acceptDataLoss?: boolean;
}

export function registerRecover(program: Command, context: Context): void {
  withMembers(program.command("recover"))
    .requiredOption("--from <dir>", "DATA_DIR of a former node that is left (repeatable: the best copy of each part is taken)", collect, [])
    .requiredOption("--data-dir <dir>", "gets one data directory per member; must be empty or not exist")
    .option("--accept-data-loss", "do it; without this only what may be lost is shown")
    .description(
      "make a NEW cluster from what is left when a group (locks, or any shard) has lost its majority, without any node running. Former nodes are refused by the new ones. A backup " +
        "(snapshot restore) or the missing nodes themselves are better where there are any",
    )
    .action(async (flags: RecoverFlags, command: Command) => {
      const { output } = toolsOf(context, command);
      const { planRecovery } = await loadServer();
      const members = membersOf(flags);
      const options = {
        from: flags.from.map((directory) => resolve(directory)),
        dataDir: resolve(flags.dataDir),
        members,
        nowMs: Date.now(),
        progress: (text: string) => output.say(text),
      };
      await reading(options.dataDir, () =>
        planRecovery(options, async (plan, carryOut) => {
          for (const line of losses(plan)) output.say(line);
          if (flags.acceptDataLoss !== true) {
            tellPlan(output, plan);
            throw usageError("Nothing was changed: recovery may lose what was acknowledged.", "repeat the command with --accept-data-loss");
          }
          const restored = await carryOut();
          const { adopted, cluster, directories, formerCluster, lastFence } = restored;
          const value = {
            cluster_id: cluster,
            former_cluster_id: formerCluster,
            fences_above: String(lastFence),
            directories,
            definitions: adopted,
            plan: planJson(plan),
          };
          output.result("recovered", value, () => restoredText(restored, members));
        }),
      );
    });
}

const collect = (directory: string, before: readonly string[]): readonly string[] => [...before, directory];

const nameOf = (group: number): string =>
  group === 0 ? "Group 0 (locks, sessions, definitions)" : `Shard ${group} (messages, cached values)`;

/** What may be lost, in words. */
function losses({ groups, missing, nodes, voters }: RecoveryPlan): readonly string[] {
  const lines = [
    `Of the voters ${voters.join(", ")} ${nodes.join(", ")} ${nodes.length === 1 ? "is" : "are"} here; missing: ${missing.join(", ") || "none"}.`,
  ];
  const alone = groups.filter(({ hasMajority }) => hasMajority).map(({ group }) => (group === 0 ? "group 0" : `shard ${group}`));
  if (alone.length > 0) lines.push(`With a majority of their voters here, and all that was acknowledged: ${alone.join(", ")}.`);
  const gone = missing.length === 0 ? "" : ` What ${missing.join(" and ")} acknowledged beyond the ends below is lost.`;
  const of = alone.length === 0 ? "" : " in the other groups";
  lines.push(`What was acknowledged by others${of} and did not reach these directories is lost.${gone}`);
  return [...lines, ...groups.flatMap(lossesOf)];
}

function lossesOf({ end, from, group, isDamaged, isInDoubt, leftOut, stateFrom, voters }: ChosenGroup): readonly string[] {
  const name = nameOf(group);
  if (from === null || end === null)
    return [
      `${name}: no directory has it (its voters: ${voters.join(", ") || "nobody knows"}); it begins empty, and all of its data is lost.`,
    ];
  const lines: string[] = [];
  if (isDamaged) lines.push(`${name}: the copy in ${from} is damaged; entries that it acknowledged may be lost.`);
  else if (end.index > end.commit)
    lines.push(`${name}: entries ${end.commit + 1} to ${end.index} may never have been acknowledged; they are taken as if they had.`);
  if (isInDoubt)
    lines.push(`${name}: its state in ${from} differed from that of the other nodes, and no directory has another; it may be wrong.`);
  else if (stateFrom !== null && stateFrom !== from)
    lines.push(
      `${name}: its state in ${from} differed from that of the other nodes; that in ${stateFrom} is taken, and the log in ${from}.`,
    );
  if (leftOut !== null)
    lines.push(
      `${name}: the log in ${leftOut.from} reaches to entry ${leftOut.end.index}, but the state there differed from that of the other nodes; it is not taken. ` +
        `To take it nevertheless leave out ${from}.`,
    );
  return lines;
}

const planJson = (plan: RecoveryPlan): Readonly<Record<string, unknown>> => ({
  cluster_id: plan.cluster,
  voters: plan.voters,
  missing: plan.missing,
  groups: plan.groups.map(({ end, from, group, hasMajority, isDamaged, isInDoubt, leftOut, stateFrom, voters, whole }) => ({
    group,
    voters,
    whole,
    has_majority: hasMajority,
    from,
    state_from: stateFrom,
    index: end === null ? null : String(end.index),
    commit: end === null ? null : String(end.commit),
    term: end?.term ?? null,
    damaged: isDamaged,
    in_doubt: isInDoubt,
    left_out: leftOut === null ? null : { from: leftOut.from, index: String(leftOut.end.index) },
  })),
});

function tellPlan(output: Output, plan: RecoveryPlan): void {
  output.result("recovery-plan", planJson(plan), () => {
    const rows = plan.groups.map(({ end, from, group, hasMajority, isDamaged, isInDoubt, voters, whole }) => [
      group === 0 ? "0 (locks)" : `${group}`,
      `${whole.length} of ${voters.length}${hasMajority ? "" : ", no majority"}`,
      from ?? "nowhere",
      end === null ? "" : `${end.index}`,
      end === null ? "" : `${end.commit}`,
      [...(isDamaged ? ["damaged"] : []), ...(isInDoubt ? ["in doubt"] : [])].join(", "),
    ]);
    return table(["GROUP", "VOTERS HERE", "TAKEN FROM", "LAST ENTRY", "KNOWN COMMITTED", ""], rows, output.paint);
  });
}
