import { minMacKeyCharacters, sampleSecrets, settingOf, type SettingName } from "@trivet/contract";
import { policyNames, type PolicyName } from "@trivet/wire";
import { readAccess, readAudit, type AccessConfig, type AuditConfig } from "./access.ts";
import { type OriginsConfig, readOrigins } from "./origins.ts";
import { isNodeId, parsePeers, type PeerAddress } from "./peers.ts";
import { readRedis, type RedisConfig } from "./redis.ts";
import { faultLine, type Fault, type Resolved } from "./resolve.ts";
import { readTls, secured, securedPeers, type TlsConfig } from "./tls.ts";
import type { RoleName } from "./values.ts";

/** The configuration of one node, parsed and checked. Nothing behind it reads the environment. */
export interface NodeConfig {
  readonly nodeId: string;
  readonly roles: readonly RoleName[];
  readonly production: boolean;
  readonly http: { readonly host: string; readonly port: number; readonly requestTimeoutMs: number; readonly maxConnections: number };
  /** Own listener for peers, or null = they come to the API port. */
  readonly cluster: { readonly host: string; readonly port: number } | null;
  readonly advertiseUrl: string;
  /** This cluster as configured, this node in it or not. After founding the log's member list rules (rule G2). */
  readonly peers: readonly PeerAddress[];
  /** The entry of `peers` that looks like this node, if any; only a hint, the identity handshake decides. */
  readonly self: PeerAddress | null;
  /** Where requests for services this node does not run may go (T-14). */
  readonly elsewhere: Readonly<Record<RoleName, readonly PeerAddress[]>>;
  /** Raft groups for queues and cache, fixed when the cluster is founded. */
  readonly shards: number;
  /** Members to join through; empty = this node may found a cluster. */
  readonly join: readonly string[];
  /** Comes and goes: no vote in group 0, leaves when it is stopped (decisions/0016). */
  readonly scalable: boolean;
  readonly autoReplace: boolean;
  readonly featureLevel: number;
  readonly raft: {
    readonly heartbeatMs: number;
    readonly electionMinMs: number;
    readonly electionMaxMs: number;
    readonly noLeaderWaitMs: number;
    readonly diskStallMs: number;
  };
  readonly failureDetector: { readonly intervalMs: number; readonly timeoutMs: number };
  readonly storage: {
    readonly dataDir: string;
    readonly walSegmentBytes: number;
    readonly walRetainBytes: number;
    readonly snapshotLogBytes: number;
    readonly snapshotEntries: number;
  };
  readonly locks: {
    readonly defaultTtlMs: number;
    readonly maxTtlMs: number;
    readonly delayMs: number;
    readonly sessionTtlMs: number;
  };
  /** What a queue gets that is made without saying otherwise, and where messages are kept. */
  readonly queues: {
    readonly backend: "embedded" | "redis";
    readonly autoCreate: boolean;
    readonly partitions: number;
    readonly visibilityMs: number;
    readonly maxDeliveries: number;
    /** Per partition. */
    readonly maxMessages: number;
    /** Null with the embedded backend. */
    readonly redis: RedisConfig | null;
  };
  /** Null = plain HTTP everywhere. */
  readonly tls: TlsConfig | null;
  /** Null = everybody may do everything. */
  readonly access: AccessConfig | null;
  /** Of one caller at this node; null = no limit. */
  readonly rateLimit: { readonly perSecond: number; readonly burst: number } | null;
  readonly audit: AuditConfig | null;
  readonly macKey: string | null;
  readonly macKeyPrevious: string | null;
  readonly metricsEnabled: boolean;
  /** `on`: for the provider that the process has; `otlp`: one is made that sends them. */
  readonly tracing: "off" | "on" | "otlp";
  /** A listener of its own for /metrics; null = at the API's port only. */
  readonly metricsPort: number | null;
  /** Bounds of the copies that this node keeps, and whether it stores sample values. */
  readonly cache: {
    readonly capacity: number;
    readonly maxBytes: number;
    readonly policy: PolicyName;
    readonly seedDemoData: boolean;
    readonly origins: OriginsConfig;
  };
  readonly log: {
    readonly level: "debug" | "info" | "warn" | "error";
    readonly dir: string | null;
    readonly format: "text" | "json";
    readonly maxBytes: number;
    readonly keep: number;
  };
  readonly shutdownTimeoutMs: number;
}

/** Typed access to resolved values; the kinds were checked by `readValue`. */
class Values {
  readonly #resolved: Resolved;
  readonly faults: Fault[] = [];
  constructor(resolved: Resolved) {
    this.#resolved = resolved;
  }
  number(name: SettingName): number {
    return Number(this.#resolved.values[name]);
  }
  text(name: SettingName): string | null {
    const value = this.#resolved.values[name];
    return value === null ? null : String(value);
  }
  flag(name: SettingName): boolean {
    return this.#resolved.values[name] === true;
  }
  port(name: SettingName): number | null {
    const value = this.#resolved.values[name];
    return value === null ? null : Number(value);
  }
  list(name: SettingName): readonly string[] | null {
    return this.#resolved.values[name] as readonly string[] | null;
  }
  roles(): readonly RoleName[] {
    return this.#resolved.values.NODE_ROLES as readonly RoleName[];
  }
  isDefault(name: SettingName): boolean {
    return this.#resolved.origins[name].source === "default";
  }
  bad(name: SettingName, expected: string, position: number | null = null): void {
    if (this.#resolved.faults.some((fault) => fault.setting === name)) return;
    const origin = this.#resolved.origins[name];
    const raw = this.#resolved.values[name];
    this.faults.push({
      setting: name,
      line: faultLine({ setting: name, name: origin.name, raw, where: origin.where }, settingOf(name), expected, position),
    });
  }
}

function peersOf(values: Values, name: SettingName, defaultPort: number): readonly PeerAddress[] | null {
  const raw = values.text(name);
  if (raw === null) return null;
  const outcome = parsePeers(raw, defaultPort);
  if (outcome.type === "peers") return outcome.peers;
  values.bad(name, outcome.position === null ? `a list of nodes, but ${outcome.expected}` : outcome.expected, outcome.position);
  return [];
}

export const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");

/** The entry that is most likely this node. By id, by host name and port, else the only loopback entry with this port (S0's terminals). */
export function findSelf(peers: readonly PeerAddress[], nodeId: string, port: number, hostname: string): PeerAddress | null {
  const byId = peers.find((peer) => peer.id === nodeId);
  if (byId !== undefined) return byId;
  const byHost = peers.find((peer) => peer.port === port && (peer.host === nodeId.toLowerCase() || peer.host === hostname.toLowerCase()));
  if (byHost !== undefined) return byHost;
  const loopback = peers.filter((peer) => peer.port === port && isLoopback(peer.host));
  return loopback.length === 1 ? (loopback[0] ?? null) : null;
}

function checkTimers(values: Values): NodeConfig["raft"] {
  const heartbeatMs = values.number("RAFT_HEARTBEAT_INTERVAL_MS");
  const electionMinMs = values.number("RAFT_ELECTION_TIMEOUT_MIN_MS");
  const electionMaxMs = values.number("RAFT_ELECTION_TIMEOUT_MAX_MS");
  // Fewer than four heartbeats in a timeout would let one lost packet start an election (reference: min ≥ 4 × heartbeat).
  if (electionMinMs < 4 * heartbeatMs) {
    const name = values.isDefault("RAFT_ELECTION_TIMEOUT_MIN_MS") ? "RAFT_HEARTBEAT_INTERVAL_MS" : "RAFT_ELECTION_TIMEOUT_MIN_MS";
    const expected =
      name === "RAFT_ELECTION_TIMEOUT_MIN_MS"
        ? `at least ${4 * heartbeatMs}, four times RAFT_HEARTBEAT_INTERVAL_MS (${heartbeatMs})`
        : `at most ${Math.floor(electionMinMs / 4)}, a quarter of RAFT_ELECTION_TIMEOUT_MIN_MS (${electionMinMs})`;
    values.bad(name, expected);
  }
  // Equal timeouts make split votes repeat (§9.3 of the Raft paper).
  if (electionMaxMs <= electionMinMs) {
    const name = values.isDefault("RAFT_ELECTION_TIMEOUT_MAX_MS") ? "RAFT_ELECTION_TIMEOUT_MIN_MS" : "RAFT_ELECTION_TIMEOUT_MAX_MS";
    values.bad(
      name,
      name === "RAFT_ELECTION_TIMEOUT_MAX_MS"
        ? `more than RAFT_ELECTION_TIMEOUT_MIN_MS (${electionMinMs})`
        : `less than RAFT_ELECTION_TIMEOUT_MAX_MS (${electionMaxMs})`,
    );
  }
  return {
    heartbeatMs,
    electionMinMs,
    electionMaxMs,
    noLeaderWaitMs: values.number("NO_LEADER_WAIT_MS"),
    diskStallMs: values.number("RAFT_DISK_STALL_MS"),
  };
}

function checkSecrets(values: Values, production: boolean): void {
  for (const name of ["SHARED_MAC_KEY", "SHARED_MAC_KEY_PREVIOUS"] as const) {
    const key = values.text(name);
    if (key === null) continue;
    if (key.length < minMacKeyCharacters) values.bad(name, `${minMacKeyCharacters} characters or more`);
    else if (production && sampleSecrets.some((sample) => key.toLowerCase().includes(sample)))
      values.bad(name, "a key of your own: this one is a sample");
  }
  const password = values.text("REDIS_PASSWORD");
  if (production && password !== null && sampleSecrets.includes(password.toLowerCase()))
    values.bad("REDIS_PASSWORD", "a password of your own: this one is a sample");
}

function namesRedis(values: Values): boolean {
  return (["REDIS_URL", "REDIS_HOST", "REDIS_NODES"] as const).some((name) => values.text(name) !== null);
}

/** A Redis that is named is meant, unless the backend is said. A node without the queue service has nothing to keep there. */
function queueBackend(values: Values): "embedded" | "redis" {
  if (!values.roles().includes("queue")) return "embedded";
  const said = values.text("QUEUE_BACKEND");
  if (said !== null) return said === "redis" ? "redis" : "embedded";
  return namesRedis(values) ? "redis" : "embedded";
}

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host);
const withPort = (host: string, port: number): string => `http://${host}:${port}`;
/** ADVERTISE_HOST gave a host alone, which has the API's port. */
const advertised = (text: string | null, port: number): string | null =>
  text === null || text.includes("://") ? text : withPort(text, port);

/** Turns resolved settings into the configuration. Cross-checks add to the faults; the config is usable only when there are none. */
export function buildConfig(resolved: Resolved, hostname: string): { readonly config: NodeConfig; readonly faults: readonly Fault[] } {
  const values = new Values(resolved);
  const nodeId =
    values.text("NODE_ID") ??
    (hostname
      .replaceAll(/[^A-Za-z0-9._-]/g, "-")
      .replace(/^[^A-Za-z0-9]+/, "")
      .slice(0, 64) ||
      "node");
  if (!isNodeId(nodeId)) values.bad("NODE_ID", "1 to 64 letters, digits, '.', '_' or '-'");
  const roles = values.roles();
  const production = values.text("TRIVET_ENV") === "production";
  const port = values.number("HTTP_PORT");
  const host = values.text("HTTP_HOST") ?? "127.0.0.1";

  const tls = readTls(values, nodeId);
  const listed = (name: SettingName): readonly PeerAddress[] | null => {
    const peers = peersOf(values, name, port);
    return peers === null || tls === null ? peers : securedPeers(peers);
  };
  const shared = listed("PEERS") ?? [];
  const byRole: Record<RoleName, readonly PeerAddress[] | null> = {
    lock: listed("RAFT_PEERS"),
    queue: listed("QUEUE_NODES"),
    cache: listed("CACHE_PEERS"),
  };
  const mainRole = roles[0] ?? "lock";
  const peers = byRole[mainRole] ?? shared;
  const self = findSelf(peers, nodeId, port, hostname);

  const raft = checkTimers(values);
  const failureDetector = {
    intervalMs: Math.round(values.number("HEARTBEAT_INTERVAL") * 1_000),
    timeoutMs: Math.round(values.number("HEARTBEAT_TIMEOUT") * 1_000),
  };
  if (failureDetector.timeoutMs <= failureDetector.intervalMs) values.bad("HEARTBEAT_TIMEOUT", "more than HEARTBEAT_INTERVAL");
  const defaultTtlMs = values.number("LOCK_DEFAULT_TTL_MS");
  const maxTtlMs = values.number("LOCK_MAX_TTL_MS");
  if (defaultTtlMs > maxTtlMs)
    values.bad(
      values.isDefault("LOCK_DEFAULT_TTL_MS") ? "LOCK_MAX_TTL_MS" : "LOCK_DEFAULT_TTL_MS",
      "LOCK_DEFAULT_TTL_MS not above LOCK_MAX_TTL_MS",
    );
  checkSecrets(values, production);

  const join = (peersOf(values, "JOIN", port) ?? []).map((peer) => peer.url);
  const scalable = values.flag("NODE_SCALABLE");
  if (scalable && join.length === 0) values.bad("NODE_SCALABLE", "JOIN beside it, which names nodes of the cluster it belongs to");
  const backend = queueBackend(values);
  const redis = backend === "redis" || namesRedis(values) ? readRedis(values) : null;
  const clusterPort = values.port("CLUSTER_PORT");
  const metricsPort = values.port("METRICS_PORT");
  if (metricsPort !== null && metricsPort === clusterPort) values.bad("METRICS_PORT", "another port than CLUSTER_PORT");
  const reachable = host === "0.0.0.0" || host === "::" ? hostname : host;
  const logDir = values.text("LOG_DIR");
  const advertiseUrl = advertised(values.text("ADVERTISE_URL"), port) ?? self?.url ?? withPort(bracketed(reachable), port);
  const perSecond = values.number("RATE_LIMIT_PER_SECOND");
  const access = readAccess(values, production);
  const cluster = clusterPort === null || clusterPort === port ? null : { host: values.text("CLUSTER_HOST") ?? host, port: clusterPort };
  const hasPeers = join.length > 0 || peers.some((peer) => peer !== self);
  if (access !== null && hasPeers && values.text("SHARED_MAC_KEY") === null && tls === null && cluster === null)
    values.bad(
      "AUTH_MODE",
      "SHARED_MAC_KEY, TLS, or a CLUSTER_PORT for the nodes alone beside it: else whoever can connect from this machine passes for a node, which may do everything",
    );
  const config: NodeConfig = {
    nodeId,
    roles,
    production,
    http: { host, port, requestTimeoutMs: values.number("REQUEST_TIMEOUT_MS"), maxConnections: values.number("HTTP_MAX_CONNECTIONS") },
    cluster,
    advertiseUrl: tls === null ? advertiseUrl : secured(advertiseUrl),
    peers,
    self,
    elsewhere: { lock: byRole.lock ?? [], queue: byRole.queue ?? [], cache: byRole.cache ?? [] },
    shards: values.number("SHARDS"),
    join: tls === null ? join : join.map(secured),
    scalable,
    featureLevel: values.number("FEATURE_LEVEL"),
    autoReplace: values.flag("AUTO_REPLACE"),
    raft,
    failureDetector,
    storage: {
      dataDir: values.text("DATA_DIR") ?? `./data/${nodeId}`,
      walSegmentBytes: values.number("WAL_SEGMENT_BYTES"),
      walRetainBytes: values.number("WAL_RETAIN_BYTES"),
      snapshotLogBytes: values.number("SNAPSHOT_LOG_BYTES"),
      snapshotEntries: values.number("SNAPSHOT_ENTRIES"),
    },
    locks: {
      defaultTtlMs,
      maxTtlMs,
      delayMs: values.number("LOCK_DELAY_MS"),
      sessionTtlMs: values.number("SESSION_DEFAULT_TTL_MS"),
    },
    queues: {
      backend,
      autoCreate: values.flag("QUEUE_AUTO_CREATE"),
      partitions: values.number("QUEUE_PARTITIONS"),
      visibilityMs: values.number("QUEUE_VISIBILITY_MS"),
      maxDeliveries: values.number("QUEUE_MAX_DELIVERIES"),
      maxMessages: values.number("QUEUE_MAX_LENGTH"),
      redis: backend === "redis" ? redis : null,
    },
    tls,
    access,
    rateLimit: perSecond === 0 ? null : { perSecond, burst: values.number("RATE_LIMIT_BURST") || perSecond },
    audit: readAudit(values, production),
    macKey: values.text("SHARED_MAC_KEY"),
    macKeyPrevious: values.text("SHARED_MAC_KEY_PREVIOUS"),
    metricsEnabled: values.flag("ENABLE_METRICS"),
    tracing: (values.text("TRACING") ?? "off") as NodeConfig["tracing"],
    metricsPort: metricsPort === port ? null : metricsPort,
    cache: {
      capacity: values.number("CACHE_CAPACITY"),
      maxBytes: values.number("CACHE_MAX_BYTES"),
      policy: policyNames.find((name) => name === values.text("CACHE_POLICY")) ?? "wtinylfu",
      // A cluster that real programs use gets no values that nobody wrote.
      seedDemoData: values.flag("SEED_DEMO_DATA") && !production,
      origins: readOrigins(values, namesRedis(values) ? redis : null),
    },
    log: {
      level: (values.text("LOG_LEVEL") ?? "info") as NodeConfig["log"]["level"],
      dir: logDir === null || logDir === "off" ? null : logDir,
      format: values.text("LOG_FORMAT") === "json" ? "json" : "text",
      maxBytes: values.number("LOG_MAX_BYTES"),
      keep: values.number("LOG_KEEP"),
    },
    shutdownTimeoutMs: values.number("SHUTDOWN_TIMEOUT_MS"),
  };
  return { config, faults: values.faults };
}
