import { exitCodes } from "@trivet/contract";
import { type Command, InvalidArgumentError, Option } from "commander";
import { resolve } from "node:path";
import { toolsOf, type Context } from "../context.ts";
import { CliError, usageError } from "../output/errors.ts";
import { table, type Output } from "../output/output.ts";
import type { BackupReport } from "./backup-report.ts";
import { saveBackup, size } from "./backup-save.ts";

// Backups are the server's; it is loaded only when one of these verbs runs.
const loadServer = () => import("@trivet/server");

interface Member {
  readonly node: string;
  readonly url: string;
  readonly roles: string;
}

export function registerSnapshot(program: Command, context: Context): void {
  const snapshot = program.command("snapshot").description("backups of a whole cluster: locks, queues, cached values, in one file");

  snapshot
    .command("save")
    .argument("<file>", "where to write it; must not exist")
    .description("save the running cluster, which goes on meanwhile. Needs admin rights where the cluster asks for a key")
    .action(async (file: string, _options: unknown, command: Command) => {
      const { output, api } = toolsOf(context, command);
      const path = resolve(file);
      const report = await reading(path, () => saveBackup(api, output, path, context.signal));
      print(output, "snapshot-saved", path, report);
    });

  for (const [verb, text] of [
    ["inspect", "what a backup holds, and of which cluster"],
    ["verify", "read a backup to its end, check every byte and the state of group 0"],
  ] as const) {
    snapshot
      .command(verb)
      .argument("<file>", "a file of trivet snapshot save")
      .description(text)
      .action(async (file: string, _options: unknown, command: Command) => {
        const { output } = toolsOf(context, command);
        const path = resolve(file);
        const server = await loadServer();
        const report = await reading(path, async () =>
          verb === "verify" ? (await server.checkBackup(path)).report : server.verifyBackup(path),
        );
        print(output, `snapshot-${verb}`, path, report);
      });
  }

  withMembers(snapshot.command("restore"))
    .argument("<file>", "a file of trivet snapshot save")
    .requiredOption("--data-dir <dir>", "gets one data directory per member; must be empty or not exist")
    .description(
      "make the data directories of a NEW cluster from a backup, on this machine, without any node: all leases are over, fences go on above",
    )
    .action(async (file: string, options: MemberOptions & { dataDir: string }, command: Command) => {
      const { output } = toolsOf(context, command);
      const path = resolve(file);
      const { restoreBackup } = await loadServer();
      const members = membersOf(options);
      const dataDir = resolve(options.dataDir);
      const restored = await reading(path, () =>
        restoreBackup({ file: path, dataDir, members, nowMs: Date.now(), progress: (text) => output.say(text) }),
      );
      const { cluster, directories, formerCluster, lastFence } = restored;
      const value = { cluster_id: cluster, former_cluster_id: formerCluster, fences_above: String(lastFence), directories };
      output.result("snapshot-restored", value, () => restoredText(restored, members));
    });
}

export interface MemberOptions {
  readonly members: readonly { readonly node: string; readonly url: string }[];
  readonly roles: string;
}

/** How the members of a cluster that is made are named. */
export function withMembers(command: Command): Command {
  return command
    .addOption(
      new Option("--members <list>", "its nodes: node1=http://HOST:PORT,node2=… (ids as in NODE_ID, addresses as in PEERS)")
        .makeOptionMandatory()
        .argParser(memberList),
    )
    .option("--roles <list>", "services of each node", "lock,queue,cache");
}

export function membersOf({ members, roles }: MemberOptions): readonly Member[] {
  return members.map((member) => ({ ...member, roles }));
}

function memberList(text: string): readonly { readonly node: string; readonly url: string }[] {
  const members = text.split(",").map((entry) => {
    const match = /^([A-Za-z0-9][A-Za-z0-9._-]{0,63})=(https?:\/\/[^/?#@\s]+)\/?$/.exec(entry.trim());
    if (match === null || !URL.canParse(match[2] ?? "")) {
      throw new InvalidArgumentError(`"${entry}" is not ID=http://HOST:PORT, for example node1=http://10.0.0.1:8001.`);
    }
    return { node: match[1] ?? "", url: match[2] ?? "" };
  });
  if (new Set(members.map(({ node }) => node)).size !== members.length) throw new InvalidArgumentError("A node is named twice.");
  return members;
}

/** What a person can mend about a backup, told as such. */
export async function reading<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw await asCliError(path, error);
  }
}

async function asCliError(path: string, error: unknown): Promise<unknown> {
  const { BackupDamaged, RestoreRefused } = await loadServer();
  if (error instanceof BackupDamaged) {
    return new CliError({
      code: "backup_damaged",
      exitCode: exitCodes.storage,
      what: `${path} cannot be used; nothing was changed.`,
      why: `${error.message}.`,
      next: "use another backup; keep several, and check each with: trivet snapshot verify FILE",
      cause: error,
    });
  }
  if (error instanceof RestoreRefused)
    return new CliError({
      code: "refused",
      exitCode: exitCodes.conflict,
      what: `${error.message} Nothing was changed.`,
      next: error.next,
      cause: error,
    });
  if (!(error instanceof Error) || error instanceof CliError || !("code" in error)) return error;
  if (error.code === "ENOENT") return usageError(`${path} does not exist.`, "name a file of trivet snapshot save, in a folder that exists");
  const { path: where } = error as { readonly path?: string };
  return new CliError({
    code: "storage",
    exitCode: exitCodes.storage,
    what: `${where ?? path} cannot be read or written.`,
    why: error.message,
    next: "look at the rights and the free space there, then repeat the command",
    cause: error,
  });
}

function print(output: Output, kind: string, path: string, report: BackupReport): void {
  const { bytes, groups, head, sha256 } = report;
  const value = {
    file: path,
    cluster_id: head.cluster,
    created_at: new Date(head.created_ms).toISOString(),
    trivet: head.trivet,
    queues: head.queues,
    bytes,
    sha256,
    groups: groups.map(({ group, index, node, term, bytes: of }) => ({ group, node, index: String(index), term, bytes: of })),
  };
  output.result(kind, value, () => {
    const rows = groups.map(({ group, index, node, term, bytes: of }) => [
      group === 0 ? "0 (locks)" : `${group}`,
      node,
      `${index}`,
      `${term}`,
      size(of),
    ]);
    const lines = [
      `${path}: ${size(bytes)}, whole.`,
      `Cluster ${head.cluster}, saved ${value.created_at} by Trivet ${head.trivet}.`,
      ...(head.queues === "redis" ? ["The messages of its queues are in Redis, and not in this file (scripts/backup.sh)."] : []),
      table(["GROUP", "FROM", "INDEX", "TERM", "SIZE"], rows, output.paint),
      `sha256 of its contents: ${sha256}`,
    ];
    return lines.join("\n");
  });
}

export function restoredText(
  {
    cluster,
    directories,
    formerCluster,
    lastFence,
  }: { cluster: string; directories: readonly string[]; formerCluster: string; lastFence: number },
  members: readonly Member[],
): string {
  const peers = members.map(({ node, url }) => `${node}=${url}`).join(",");
  return [
    `Cluster ${cluster} is made from what cluster ${formerCluster} had. Locks are free, sessions over, leased messages are to be handed out again;`,
    `its fences begin above ${lastFence}.`,
    "",
    "Bring each directory to its machine, then start all nodes:",
    ...members.map(({ node }, at) => `  NODE_ID=${node} DATA_DIR=${directories[at] ?? ""} PEERS=${peers} trivet serve`),
    "",
    "Nodes of the former cluster must stay stopped: they would go on by themselves, and clients could reach them.",
  ].join("\n");
}
