import { identityFile, readJsonFile } from "@trivet/engine";
import { constants } from "node:fs";
import { access, lstat, readlink, stat, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { NodeConfig } from "../config/index.ts";
import { error, type Finding, ok, warning } from "./doctor-findings.ts";
import { offlinePorts } from "./ports.ts";
import { readLog } from "./wal.ts";

const gibibyte = 2 ** 30;
/** The log of one node, a snapshot of it, and room to breathe. */
const leastFreeBytes: number = 2 * gibibyte;
/** A larger log is left to `wal verify`: reading it would disturb a node that runs. */
const readLogUpToBytes: number = 512 * 2 ** 20;

/** Whose the directory is, and whether its log is whole. */
export async function checkDataDir({ nodeId, storage: { dataDir } }: NodeConfig): Promise<readonly Finding[]> {
  const path = resolve(dataDir);
  if (!(await exists(path))) {
    const parent = await firstThere(path);
    return (await isWritable(parent))
      ? [ok("data", `${path} does not exist yet; the first start makes it`)]
      : [error("data", `${path} does not exist, and ${parent} is not writable.`, `make it for this user, or set DATA_DIR`)];
  }
  if (!(await isWritable(path)))
    return [error("data", `${path} is not writable for this user.`, `chown it to the user of the node, or set DATA_DIR`)];
  return [...(await checkIdentity(path, nodeId)), ...(await checkLog(path))];
}

async function checkIdentity(path: string, nodeId: string): Promise<readonly Finding[]> {
  const { crypto, files } = offlinePorts(path);
  const found = await new Promise<unknown>((done) => readJsonFile(files, crypto, identityFile, (damage, value) => done(damage ?? value)));
  if (found === undefined) return [ok("data", `${path} belongs to no cluster yet`)];
  if (found instanceof Error)
    return [error("data", `${join(path, identityFile)} cannot be read: ${found.message}.`, "bring it back from a copy of the directory")];
  const { cluster, node } = found as { readonly cluster: string; readonly node: string };
  if (node === nodeId) return [ok("data", `${path} belongs to ${node} of cluster ${cluster}`)];
  return [error("data", `${path} belongs to ${node}, but NODE_ID is ${nodeId}.`, `set NODE_ID=${node}, or another DATA_DIR`)];
}

async function checkLog(path: string): Promise<readonly Finding[]> {
  if (!(await exists(join(path, "wal")))) return [];
  const report = await readLog(path, undefined, readLogUpToBytes);
  if (report === null) return [ok("data", "the log is large; trivet wal verify reads all of it")];
  const faults = report.faults.filter(({ severity }) => severity === "error");
  if (faults.length === 0) return [ok("data", `the log is whole: ${report.segments.length} segments`)];
  return faults.map(({ file, next, offset, what }) => error("data", `${file} at offset ${offset}: ${what}.`, next));
}

export async function checkDisk({ storage: { dataDir } }: NodeConfig): Promise<Finding> {
  const where = await firstThere(resolve(dataDir));
  const { bavail, blocks, bsize } = await statfs(where);
  const [free, all] = [bavail * bsize, blocks * bsize];
  const text = `${(free / gibibyte).toFixed(1)} of ${(all / gibibyte).toFixed(1)} GiB are free at ${where}`;
  if (free < leastFreeBytes / 8)
    return error("disk", `Only ${text}: writes are refused soon (507).`, "make room, or move DATA_DIR to a larger disk");
  return free < leastFreeBytes
    ? warning("disk", `Only ${text}.`, "make room: a log, its snapshots and a backup want more")
    : ok("disk", text);
}

export async function checkLogDir({ log: { dir } }: NodeConfig): Promise<readonly Finding[]> {
  if (dir === null) return [ok("logs", "logs go to standard output only")];
  const path = await firstThere(resolve(dir));
  if (await isWritable(path)) return [ok("logs", `logs go to ${resolve(dir)}`)];
  return [
    warning(
      "logs",
      `${path} is not writable, so logs go to standard output only.`,
      `make ${resolve(dir)} writable for this user, or set LOG_DIR`,
    ),
  ];
}

/** docker-compose 1.29 reads `.env` beside its file only, so the one of the repository has to be linked there. */
export async function checkComposeLink(cwd: string): Promise<readonly Finding[]> {
  if (!(await exists(join(cwd, "docker", "docker-compose.yml"))) || !(await exists(join(cwd, ".env")))) return [];
  const link = join(cwd, "docker", ".env");
  const next = "ln -s ../.env docker/.env";
  const found = await lstat(link).catch(() => null);
  if (found === null) return [warning("compose", "docker/.env is missing, so Compose does not read .env.", next)];
  if (!found.isSymbolicLink())
    return [warning("compose", "docker/.env is a file of its own: Compose reads it, and not .env.", `remove it, then: ${next}`)];
  const target = resolve(dirname(link), await readlink(link));
  if (target !== resolve(cwd, ".env"))
    return [warning("compose", `docker/.env leads to ${target}, not to .env.`, `rm docker/.env; ${next}`)];
  return [ok("compose", "docker/.env leads to .env")];
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function isWritable(path: string): Promise<boolean> {
  return access(path, constants.W_OK).then(
    () => true,
    () => false,
  );
}

/** The path itself, or the nearest folder above it that is there. */
async function firstThere(path: string): Promise<string> {
  let at = path;
  while (!(await exists(at)) && dirname(at) !== at) at = dirname(at);
  return at;
}
