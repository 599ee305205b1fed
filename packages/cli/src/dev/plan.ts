import { settingNames, settingOf } from "@trivet/contract";
import { join } from "node:path";

/** One node of the cluster that `trivet dev` runs. */
export interface PlannedNode {
  readonly id: string;
  readonly port: number;
  readonly url: string;
  readonly dataDir: string;
}

export interface PlanOptions {
  readonly nodes: number;
  readonly firstPort: number;
  readonly dataDir: string;
}

/** node1…nodeN on consecutive ports of the loopback address, each with its own folder. */
export function planNodes(options: PlanOptions): readonly PlannedNode[] {
  return Array.from({ length: options.nodes }, (_, index) => {
    const id = `node${index + 1}`;
    const port = options.firstPort + index;
    return { id, port, url: `http://127.0.0.1:${port}`, dataDir: join(options.dataDir, id) };
  });
}

/**
 * Settings that say which node of which cluster this is, or where outside services are. People copy a sample `.env` before the
 * first start (the source documents tell them to); it describes containers, so for the cluster on this machine these are not taken from
 * it, nor from the process environment.
 */
const launcherOwned = [
  "NODE_ID",
  "NODE_ROLES",
  "HTTP_PORT",
  "HTTP_HOST",
  "CLUSTER_PORT",
  "CLUSTER_HOST",
  "ADVERTISE_URL",
  "PEERS",
  "RAFT_PEERS",
  "QUEUE_NODES",
  "CACHE_PEERS",
  "JOIN",
  "NODE_SCALABLE",
  "DATA_DIR",
  "METRICS_PORT",
  "QUEUE_BACKEND",
  "TLS_MODE",
  "CERT_FILE",
  "KEY_FILE",
  "CA_FILE",
  "CERT_PATH",
  // One file would be written by all nodes.
  "AUDIT_LOG",
] as const;

/** Every name, canonical or not, that `trivet dev` decides itself. */
export function isLauncherOwned(name: string): boolean {
  if (/^REDIS_/i.test(name)) return true;
  const upper = name.toUpperCase();
  return settingNames.some(
    (setting) =>
      launcherOwned.some((owned) => owned === setting) &&
      (setting === upper || (settingOf(setting).aliases ?? []).some((alias) => alias.name === upper)),
  );
}

/** The environment of one node: what was given, without what the launcher owns, plus what it decides. */
export function nodeEnvironment(
  node: PlannedNode,
  all: readonly PlannedNode[],
  given: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) if (value !== undefined && !isLauncherOwned(name)) environment[name] = value;
  return {
    ...environment,
    NODE_ID: node.id,
    HTTP_HOST: "127.0.0.1",
    HTTP_PORT: String(node.port),
    ADVERTISE_URL: node.url,
    PEERS: all.map((peer) => `${peer.id}=${peer.url}`).join(","),
    DATA_DIR: node.dataDir,
    // The launcher reads the lines and shows what matters; the files in LOG_DIR hold text and JSON as ever.
    LOG_FORMAT: "json",
    // A folder deleted under a stopped node of one's own machine is meant; the node comes back as a learner and gets its vote again (rule G5).
    AUTO_REPLACE: environment["AUTO_REPLACE"] ?? "true",
    // What the source documents read first is there (`curl …/cache/item:123`).
    SEED_DEMO_DATA: environment["SEED_DEMO_DATA"] ?? "true",
  };
}

type Given = Readonly<Record<string, string | undefined>>;

/** What the configuration that all nodes read says about callers and peers, wherever it is written. */
export interface Access {
  readonly asksCallers: boolean;
  readonly hasPeerKey: boolean;
}

type Row = { readonly name: string; readonly value: string | null };

export function accessIn(rows: readonly Row[]): Access {
  const valueOf = (name: string): string | null => rows.find((row) => row.name === name)?.value ?? null;
  return { asksCallers: (valueOf("AUTH_MODE") ?? "none") !== "none", hasPeerKey: valueOf("SHARED_MAC_KEY") !== null };
}

/** With AUTH_MODE nodes must prove themselves to each other. Those of one launcher share a key that it makes, unless there is one. */
export function withPeerKey(env: Given, { asksCallers, hasPeerKey }: Access, makeKey: () => string): Given {
  return asksCallers && !hasPeerKey ? { ...env, SHARED_MAC_KEY: makeKey() } : env;
}
