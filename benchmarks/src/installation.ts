import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { hasPeerModule, peerModuleVersion, peersFolder } from "./clients/peer-modules.ts";
import type { SubjectName } from "./subjects/subject.ts";

/** What a subject needs beside this workspace. */
interface Needs {
  readonly program: string;
  readonly debianPackage: string;
  readonly modules: readonly string[];
  /** Prints the version of the program. */
  readonly version: readonly [command: string, ...args: string[]];
  /** The module whose version counts, where the program is only what it stands on. */
  readonly library?: string;
  /** Lowest usable version, and what for. */
  readonly since?: { readonly version: readonly [major: number, minor: number]; readonly what: string };
}

/** The nodes bring their own client. */
const redisServer: Needs = {
  program: "redis-server",
  debianPackage: "redis-server",
  modules: [],
  version: ["redis-server", "--version"],
};

const needs: Readonly<Partial<Record<SubjectName, Needs>>> = {
  "trivet-redis-everysec": redisServer,
  "trivet-redis-always": redisServer,
  etcd: {
    program: "etcd",
    debianPackage: "etcd-server",
    modules: ["@grpc/grpc-js", "@grpc/proto-loader"],
    version: ["etcd", "--version"],
  },
  redis: { ...redisServer, modules: ["@redis/client"] },
  "node-redis": { ...redisServer, modules: ["@redis/client"], library: "@redis/client" },
  bullmq: { ...redisServer, modules: ["bullmq", "ioredis"], library: "bullmq" },
  nats: { program: "nats-server", debianPackage: "nats-server", modules: ["nats"], version: ["nats-server", "--version"] },
  "nats-always": {
    program: "nats-server",
    debianPackage: "nats-server",
    modules: ["nats"],
    version: ["nats-server", "--version"],
    since: { version: [2, 10], what: "sync_interval: always" },
  },
  // Its own --version would start a server.
  rabbitmq: {
    program: "rabbitmq-server",
    debianPackage: "rabbitmq-server",
    modules: ["amqplib"],
    version: ["dpkg-query", "--showformat=${Version}", "--show", "rabbitmq-server"],
  },
};

function onPath(program: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((folder) => folder !== "" && existsSync(`${folder}/${program}`));
}

function run(command: string, args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}): string | null {
  const done = spawnSync(command, args, { cwd, env: { ...process.env, ...env }, encoding: "utf8", timeout: 10 * 60_000 });
  if (done.status === 0) return null;
  const said = `${done.stderr}${done.stdout}`.trim().split("\n").slice(-3).join(" | ");
  return `${command} ${args.join(" ")} failed: ${done.error?.message ?? said}`;
}

/**
 * `RUNLEVEL=1` tells Debian's `invoke-rc.d` not to start the service a package brings: it would compete with the one measured.
 */
function installDebian(name: string): string | null {
  return run("apt-get", ["install", "-y", "--no-install-recommends", name], "/", { DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" });
}

/**
 * Makes a peer usable; naming it on the command line is the request to install it. Returns why it is not usable, or null.
 * `TRIVET_NO_INSTALL=1` keeps everything from being installed.
 */
export function provide(subject: SubjectName, note: (line: string) => void): string | null {
  const wanted = needs[subject];
  if (wanted === undefined) return null;
  const mayInstall = process.env["TRIVET_NO_INSTALL"] !== "1";
  if (!onPath(wanted.program)) {
    const byHand = `install it with: apt-get install ${wanted.debianPackage}`;
    if (!mayInstall) return `${wanted.program} is not installed and TRIVET_NO_INSTALL is set; ${byHand}`;
    if (!existsSync("/etc/debian_version") || process.getuid?.() !== 0) {
      return `${wanted.program} is not installed, and only root on Debian can be helped; ${byHand}`;
    }
    note(`installing the Debian package ${wanted.debianPackage}, asked for by --peers ${subject}`);
    const failure = installDebian(wanted.debianPackage);
    if (failure !== null) return failure;
    if (!onPath(wanted.program)) return `${wanted.program} is not on the PATH after installing ${wanted.debianPackage}`;
  }
  if (!wanted.modules.every(hasPeerModule)) {
    if (!mayInstall) return `benchmarks/peers is not installed and TRIVET_NO_INSTALL is set; run: npm ci in benchmarks/peers`;
    note(`installing the npm packages of benchmarks/peers, asked for by --peers ${subject}`);
    const failure = run("npm", ["ci"], peersFolder);
    if (failure !== null) return failure;
  }
  return tooOld(subject, wanted);
}

function tooOld(subject: SubjectName, { program, since }: Needs): string | null {
  if (since === undefined) return null;
  const found = versionOf(subject);
  const [major = 0, minor = 0] = (found ?? "").split(".").map(Number);
  const [needsMajor, needsMinor] = since.version;
  if (major > needsMajor || (major === needsMajor && minor >= needsMinor)) return null;
  return `${program} ${found ?? "of unknown version"} has no ${since.what}; ${needsMajor}.${needsMinor} and later do: put a newer one on the PATH`;
}

/** Version of what is measured, for the report; `own` is that of this repository. */
export function versionIn(subject: SubjectName, own: string): string {
  if (subject === "trivet" || subject === "floor") return own;
  const found = versionOf(subject) ?? "missing";
  return needs[subject] === redisServer ? `${own} on redis-server ${found}` : found;
}

/** Version of a peer's program. */
function versionOf(subject: SubjectName): string | null {
  if (subject === "lru-cache" || subject === "cacheable") return peerModuleVersion(subject);
  const wanted = needs[subject];
  if (wanted === undefined || !onPath(wanted.program)) return null;
  const [command, ...args] = wanted.version;
  const done = spawnSync(command, args, { encoding: "utf8", timeout: 10_000 });
  const program = /\d+\.\d+\.\d+/.exec(done.stdout)?.[0] ?? null;
  const library = wanted.library === undefined ? null : peerModuleVersion(wanted.library);
  if (library === null) return program;
  return `${library} on ${wanted.program} ${program ?? "of unknown version"}`;
}
