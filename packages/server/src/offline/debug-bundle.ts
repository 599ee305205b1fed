import { open, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { arch, cpus, freemem, loadavg, platform, release, totalmem, uptime } from "node:os";
import { join, resolve } from "node:path";
import { type ConfigurationGiven, loadConfig, type NodeConfig, reportConfig } from "../config/index.ts";
import { version } from "../version.ts";
import { type Redact, redaction } from "./redaction.ts";
import { readLog } from "./wal.ts";

/** Of each log file, from its end. */
const logTailBytes: number = 2 * 2 ** 20;
const logFiles = 12;
const readLogUpToBytes: number = 512 * 2 ** 20;

/** What is asked of each node. */
export const askedPaths: readonly (readonly [file: string, path: string])[] = [
  ["status.json", "/v1/raft/status"],
  ["members.json", "/v1/raft/members"],
  ["cluster.json", "/v1/cluster"],
  ["ring.json", "/v1/ring"],
  ["ready.json", "/v1/health/ready"],
  ["lock-graph.json", "/v1/lock-graph"],
  ["metrics.txt", "/v1/metrics"],
];

export interface BundleOptions extends ConfigurationGiven {
  /** Made by this; must not exist. */
  readonly directory: string;
  readonly findings: readonly object[];
  /** Nodes to ask. */
  readonly urls: readonly string[];
  readonly ask: (url: string, path: string) => Promise<string>;
}

/** Writes what somebody who helps from afar wants to see. No contents of locks, queues or cache, and no secret (redaction.ts). */
export async function writeBundle(options: BundleOptions): Promise<readonly string[]> {
  const bundle = new Bundle(options.directory, redaction(options));
  await bundle.begin();
  await bundle.json("versions.json", versions());
  await bundle.json("config.json", reportConfig(options));
  await bundle.json("doctor.json", options.findings);
  for (const [at, url] of options.urls.entries()) {
    const folder = `node-${at + 1}`;
    await bundle.text(`${folder}/address.txt`, `${url}\n`);
    for (const [file, path] of askedPaths) await bundle.text(`${folder}/${file}`, await options.ask(url, path));
  }
  const config = configOf(options);
  if (config !== null) {
    await addLogs(bundle, config);
    await addData(bundle, config);
  }
  return bundle.files;
}

class Bundle {
  readonly files: string[] = [];
  private readonly directory: string;
  private readonly redact: Redact;

  constructor(directory: string, redact: Redact) {
    this.directory = directory;
    this.redact = redact;
  }

  begin(): Promise<unknown> {
    return mkdir(this.directory, { mode: 0o700 });
  }

  json(name: string, value: unknown): Promise<void> {
    return this.text(name, `${JSON.stringify(value, null, 2)}\n`);
  }

  /** The only way into the bundle. */
  async text(name: string, text: string): Promise<void> {
    const path = join(this.directory, name);
    await mkdir(join(path, ".."), { recursive: true, mode: 0o700 });
    await writeFile(path, this.redact(text), { mode: 0o600, flag: "wx" });
    this.files.push(name);
  }
}

function versions(): Readonly<Record<string, unknown>> {
  const machine = { platform: platform(), release: release(), arch: arch(), cpus: cpus().length, memory: totalmem(), free: freemem() };
  return {
    trivet: version,
    made_at: new Date().toISOString(),
    versions: process.versions,
    machine,
    load: loadavg(),
    up_seconds: Math.round(uptime()),
  };
}

function configOf(given: ConfigurationGiven): NodeConfig | null {
  try {
    return loadConfig(given).config;
  } catch {
    // config.json has its faults.
    return null;
  }
}

async function addLogs(bundle: Bundle, { log: { dir } }: NodeConfig): Promise<void> {
  if (dir === null) return;
  const names = await readdir(dir).catch(() => []);
  const logs = names.filter((name) => /\.log(?:\.\d+)?$/.test(name)).sort();
  for (const name of logs.slice(0, logFiles)) await bundle.text(`logs/${name}`, await tailOf(join(dir, name)));
}

async function tailOf(path: string): Promise<string> {
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    const from = Math.max(0, size - logTailBytes);
    const bytes = Buffer.alloc(size - from);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, from);
    const text = bytes.subarray(0, bytesRead).toString("utf8");
    // From a whole line on: half a secret would not be known as one.
    return from === 0 ? text : text.slice(text.indexOf("\n") + 1);
  } finally {
    await handle.close();
  }
}

async function addData(bundle: Bundle, { storage: { dataDir } }: NodeConfig): Promise<void> {
  const root = resolve(dataDir);
  const names = await readdir(root, { recursive: true }).catch(() => null);
  if (names === null) return;
  const files: { readonly file: string; readonly bytes: number; readonly changed: string }[] = [];
  for (const name of names.sort()) {
    const found = await stat(join(root, name)).catch(() => null);
    if (found?.isFile() === true) files.push({ file: name, bytes: found.size, changed: found.mtime.toISOString() });
  }
  await bundle.json("data/files.json", { root, files });
  if (names.includes("wal")) await bundle.json("data/wal.json", await readLog(root, undefined, readLogUpToBytes));
}
