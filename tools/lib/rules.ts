/** The arrows of the house (docs/decisions/0001-house.md): who may import whom. One way only. */
export interface PackageRule {
  readonly folder: string;
  /** Workspaces it may import, by short name; `core/holder` = that entry of it alone. */
  readonly mayImport: readonly string[];
  /** Packages from outside it may depend on; null = whatever its package.json lists. */
  readonly outside: readonly string[] | null;
  /** No Node API at all: the code runs under the simulator. */
  readonly pure: boolean;
}

export const packageRules: Readonly<Record<string, PackageRule>> = {
  wire: { folder: "packages/wire", mayImport: [], outside: [], pure: true },
  core: { folder: "packages/core", mayImport: ["wire"], outside: [], pure: true },
  engine: { folder: "packages/engine", mayImport: ["wire", "core"], outside: [], pure: true },
  contract: { folder: "packages/contract", mayImport: [], outside: ["typebox"], pure: false },
  // A process of the SDK holds copies by the very rules of a node's holder (docs/decisions/0017-near-cache.md).
  client: { folder: "packages/client", mayImport: ["wire", "contract", "core/holder"], outside: null, pure: false },
  server: { folder: "packages/server", mayImport: ["wire", "core", "engine", "contract"], outside: null, pure: false },
  cli: { folder: "packages/cli", mayImport: ["client", "contract"], outside: null, pure: false },
  // The holder of the SDK is driven in simulated worlds as it ships.
  simulator: { folder: "packages/simulator", mayImport: ["wire", "core", "engine", "client/near-holder"], outside: null, pure: false },
  // The core for `bench -- state` alone: what a large state costs cannot be told through a cluster.
  benchmarks: { folder: "benchmarks", mayImport: ["wire", "core", "client"], outside: null, pure: false },
};

/** Imports that only these files may make, and only dynamically: the CLI must start fast and work without a server. */
export const dynamicOnly: readonly { readonly file: RegExp; readonly target: string }[] = [
  {
    file: /^packages\/cli\/src\/(?:commands\/(?:serve|dev|config|cert|key|role|audit|snapshot|backup-save|recover|wal|doctor|debug)|(?:dev|access)\/.+)\.ts$/,
    target: "server",
  },
];

/** What drives the cores of a node. */
const hosts = ["groups", "peers", "members", "calls", "state-audit", "node"];

/** Folders inside a package that may not import other folders of it: each protocol core stands alone. */
export const folderRules: readonly { readonly folder: string; readonly mustNotImport: readonly string[] }[] = [
  {
    folder: "packages/core/src/kernel",
    mustNotImport: ["raft", "locks", "sessions", "system", "queues", "coherence", "placement", "eviction"],
  },
  { folder: "packages/core/src/raft", mustNotImport: ["locks", "sessions", "system", "queues", "coherence"] },
  { folder: "packages/core/src/locks", mustNotImport: ["raft"] },
  {
    folder: "packages/core/src/eviction",
    mustNotImport: ["raft", "locks", "sessions", "system", "queues", "coherence", "placement", "invariants"],
  },
  { folder: "packages/core/src/coherence", mustNotImport: ["raft", "locks", "sessions", "system", "placement"] },
  // Not "shards": the port of the apply worker is the type of its protocol (ports/index.ts).
  { folder: "packages/engine/src/ports", mustNotImport: [...hosts, "queues", "cache", "log", "stores", "memory", "conformance"] },
  { folder: "packages/engine/src/base", mustNotImport: [...hosts, "shards", "queues", "cache", "log", "stores", "memory", "conformance"] },
  { folder: "packages/engine/src/log", mustNotImport: [...hosts, "shards", "queues", "cache", "stores", "memory", "conformance"] },
  { folder: "packages/engine/src/stores", mustNotImport: [...hosts, "shards", "queues", "cache", "log", "memory", "conformance"] },
];

/** Longest source file. */
export const maxLines = 400;

/** Files that may be longer, each with the reason. */
export const longFiles: Readonly<Record<string, string>> = {
  "packages/contract/src/errors.ts": "the error catalogue is one table; two halves of it would be harder to read",
};
