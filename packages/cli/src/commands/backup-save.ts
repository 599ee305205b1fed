import { exitCodes } from "@trivet/contract";
import { access } from "node:fs/promises";
import type { MemberAnswer, MembersAnswer, RaftStatusAnswer } from "../api/answers.ts";
import { download } from "../api/download.ts";
import type { Api } from "../api/http.ts";
import { CliError } from "../output/errors.ts";
import { printable, type Output } from "../output/output.ts";
import { progressLine } from "../output/progress.ts";
import { version } from "../version.ts";
import type { BackupReport } from "./backup-report.ts";

interface RingAnswer {
  readonly backend: "embedded" | "redis";
  readonly shards: readonly { readonly shard: number; readonly replicas: readonly string[] }[];
}

/** Writes one file with the state of the whole cluster, which goes on meanwhile: shards first, group 0 last (rule W9). */
export async function saveBackup(api: Api, output: Output, path: string, signal: AbortSignal): Promise<BackupReport> {
  await refuseExisting(path);
  const status = (await api.call("GET", "/v1/raft/status")) as RaftStatusAnswer;
  const { members } = (await api.call("GET", "/v1/raft/members")) as MembersAnswer;
  const ring = (await api.call("GET", "/v1/ring")) as RingAnswer;
  const cluster = status.cluster_id;
  if (cluster === null) throw failed("The node belongs to no cluster yet.", status.phase_detail, "trivet status");
  const shards = ring.shards.length;
  // The format of backups is the server's.
  const { BackupWriter, backupFormat } = await import("@trivet/server");
  const writer = await BackupWriter.create(path, {
    format: backupFormat,
    cluster,
    created_ms: Date.now(),
    trivet: version,
    shards,
    queues: ring.backend,
  });
  const line = progressLine(output);
  try {
    for (const group of [...ring.shards.map(({ shard }) => shard), 0]) {
      const holders = group === 0 ? members.map(({ node }) => node) : (ring.shards[group - 1]?.replicas ?? []);
      const label = group === 0 ? "group 0" : `shard ${group} of ${shards}`;
      await saveGroup(group, urlsOf(members, holders, api.urls), async (url) => {
        const pieces = download((silence) => api.open(url, `/v1/backup/groups/${group}`, silence), signal);
        await writer.group(pieces, only(cluster, group), (bytes) => line.tell(`${label}: ${size(bytes)} from ${printable(url)}`));
      });
    }
    line.tell("reading it again");
    return await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  } finally {
    line.end();
  }
}

/** Not that of another group, or of another cluster whose node has the address now. */
const only =
  (cluster: string, group: number) =>
  (head: { readonly cluster: string; readonly group: number }): void => {
    if (head.cluster !== cluster || head.group !== group) throw new Error(`it gave group ${head.group} of cluster ${head.cluster}`);
  };

async function refuseExisting(path: string): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (!exists) return;
  throw new CliError({
    code: "exists",
    exitCode: exitCodes.conflict,
    what: `${path} is there already; nothing was written.`,
    next: "name another file, or move that one away",
  });
}

/** Followers of the group first, so that leaders have the least of it; then whoever else there is. */
function urlsOf(members: readonly MemberAnswer[], holders: readonly string[], given: readonly string[]): readonly string[] {
  const [leader, ...others] = holders;
  const order = holders.length > 1 && leader !== undefined ? [...others, leader] : holders;
  const rest = members.map(({ node }) => node).filter((node) => !holders.includes(node));
  const known = [...order, ...rest].flatMap((node) => members.find((member) => member.node === node)?.url ?? []);
  return [...new Set([...known, ...given])];
}

/** One node after another, until one gives all of it. */
async function saveGroup(group: number, urls: readonly string[], save: (url: string) => Promise<void>): Promise<void> {
  const reasons: string[] = [];
  for (const url of urls) {
    try {
      return await save(url);
    } catch (error) {
      if (error instanceof CliError && ownRefusals.has(error.code)) throw error;
      if (isDisk(error)) throw error;
      reasons.push(
        `${url}: ${error instanceof CliError ? error.why || error.message : error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
  const what = group === 0 ? "Group 0 could not be saved; nothing was written." : `Shard ${group} could not be saved; nothing was written.`;
  throw failed(what, reasons.join("\n"), "trivet status, then repeat the command; --url may name further nodes");
}

/** The same at every node. */
const ownRefusals: ReadonlySet<string> = new Set(["unauthorized", "forbidden"]);

/** Of this machine, whichever node is asked. */
function isDisk(error: unknown): boolean {
  return (
    error instanceof Error && "syscall" in error && "code" in error && ["ENOSPC", "EDQUOT", "EIO", "EROFS"].includes(String(error.code))
  );
}

function failed(what: string, why: string, next: string): CliError {
  return new CliError({ code: "backup_failed", exitCode: exitCodes.unavailable, what, why, next });
}

export function size(bytes: number): string {
  if (bytes < 10_000) return `${bytes} bytes`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes / 1024, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value.toFixed(1)} ${units[unit] ?? ""}`;
}
