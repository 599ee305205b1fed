import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { defaultHostConfig, NodeHost, scalableRole, type NodeApi, type NodeHostConfig, type Ports, OlderVersion } from "@trivet/engine";
import { exitCodes } from "@trivet/contract";
import { ClusterPortTransport } from "./adapters/cluster-port.ts";
import { BrotliPacking, NodeClock, NodeCrypto, NodeFiles, NodeRandom, NodeTransport, ThreadApplyWorker } from "./adapters/index.ts";
import type { RedisQueueStorage } from "./adapters/redis/index.ts";
import { ConfigError, type NodeConfig, queueDefaults } from "./config/index.ts";
import { seedDemoData } from "./demo-data.ts";
import { leaveCluster, setAsideData } from "./leave.ts";
import { createHttpApp, type HttpApp } from "./http/app.ts";
import { peersOf } from "./http/unproven-peers.ts";
import { closeStorages, queueStorageOf, type Origins, originsOf } from "./outside-stores.ts";
import { logForcedReleases } from "./observability/forced-releases.ts";
import { Logger } from "./observability/logger.ts";
import { Metrics } from "./observability/metrics.ts";
import { EngineSpans } from "./observability/engine-spans.ts";
import { collectNodeMetrics } from "./observability/node-metrics.ts";
import { LoopLag } from "./observability/loop-lag.ts";
import { collectSystemMetrics } from "./observability/system-metrics.ts";
import { AccessControl } from "./security/access-control.ts";
import { anchoredInTime, anchorInCluster } from "./security/audit-anchoring.ts";
import { AuditLog } from "./security/audit-log.ts";
import { NodeTls, type NodeTlsTools } from "./security/node-tls.ts";
import { endInTime, startExport } from "./observability/trace-export.ts";
import { Tracing } from "./observability/tracing.ts";
import { watchQuorum } from "./observability/quorum-watch.ts";
import { NodeTelemetry } from "./observability/telemetry.ts";
import { version } from "./version.ts";

export interface StartOptions {
  /** Told to the log at the start (look-alike settings). */
  readonly warnings?: readonly string[];
  /** Instead of stdout. */
  readonly write?: (text: string) => void;
  /**
   * The node can no longer work (failed disk, broken invariant) and has stopped itself. By default the process ends, so that a restart
   * policy acts (T-19); a program that embeds a node gives its own.
   */
  readonly onFatal?: (error: Error) => void;
}
export interface RunningNode extends AsyncDisposable {
  readonly config: NodeConfig;
  readonly port: number;
  readonly url: string;
  readonly node: NodeApi;
  readonly http: HttpApp;
  readonly metrics: Metrics;
  /** Hands over leadership, finishes calls under way, closes files. Idempotent. */
  stop(): Promise<void>;
}

const encoder = new TextEncoder();
/** Nodes that are started together find each other within a second or two; the quorum's own warning comes after five. */
const startQuietMs = 5_000;
/** How long a start that came to nothing waits for what it had opened to end. */
const failedStartMs = 1_000;

/** What the node host is told, from the configuration. */
export function hostConfig(config: NodeConfig): NodeHostConfig {
  return {
    node: config.nodeId,
    url: config.advertiseUrl,
    roles: [...config.roles, ...(config.scalable ? [scalableRole] : [])].join(","),
    shards: config.shards,
    queueDefaults: queueDefaults(config),
    cache: { maxEntries: config.cache.capacity, maxBytes: config.cache.maxBytes, policy: config.cache.policy },
    peers: config.peers.map((peer) => peer.url),
    join: config.join,
    autoReplace: config.autoReplace,
    mayVote: !config.scalable,
    macKeys: [config.macKey, config.macKeyPrevious].filter((key) => key !== null).map((key) => encoder.encode(key)),
    trustPeerPort: config.cluster !== null,
    failureDetector: config.failureDetector,
    deadNodeMovesAfterMs: defaultHostConfig.deadNodeMovesAfterMs,
    absentReplicaMs: defaultHostConfig.absentReplicaMs,
    heartbeatMs: config.raft.heartbeatMs,
    electionMinMs: config.raft.electionMinMs,
    electionMaxMs: config.raft.electionMaxMs,
    diskStallMs: config.raft.diskStallMs,
    noLeaderWaitMs: config.raft.noLeaderWaitMs,
    snapshotEveryEntries: config.storage.snapshotEntries,
    snapshotEveryBytes: config.storage.snapshotLogBytes,
    snapshotAtRestBytes: Math.min(defaultHostConfig.snapshotAtRestBytes, config.storage.snapshotLogBytes),
    retainBytes: config.storage.walRetainBytes,
    featureLevel: config.featureLevel,
    walSegmentBytes: config.storage.walSegmentBytes,
    walRoomBytes: defaultHostConfig.walRoomBytes,
  };
}

/** HTTP_PORT 0: the number must be known before the node tells others its address. */
async function withPort(config: NodeConfig): Promise<NodeConfig> {
  if (config.http.port !== 0) return config;
  const port = await new Promise<number>((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, config.http.host, () => {
      const { port: free } = probe.address() as AddressInfo;
      probe.close(() => resolve(free));
    });
  });
  return { ...config, http: { ...config.http, port }, advertiseUrl: config.advertiseUrl.replace(/:0$/, `:${port}`) };
}

function listenFailure(error: NodeJS.ErrnoException, host: string, port: number, name: string): Error {
  switch (error.code) {
    case "EADDRINUSE":
      return new ConfigError(78, `port ${port} on ${host} is in use: stop the program that has it, or set another ${name}`);
    case "EACCES":
      return new ConfigError(78, `port ${port} on ${host} needs more rights: set ${name} to a port above 1023`);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new ConfigError(78, `${host} is not an address of this machine: set HTTP_HOST to one, or to 0.0.0.0`);
    case undefined:
    default:
      return error;
  }
}

function listenForPeers(transport: NodeTransport, cluster: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    transport.listen(cluster.host, cluster.port, (error) => {
      if (error === null) resolve();
      else reject(listenFailure(error, cluster.host, cluster.port, "CLUSTER_PORT"));
    });
  });
}

function startHost(host: NodeHost): Promise<void> {
  return new Promise((resolve, reject) => {
    host.start((error) => {
      if (error === null) resolve();
      else reject(startFailure(error));
    });
  });
}

/** Errors of the data directory are for the person who chose it: one line, no stack. */
function startFailure(error: Error): Error {
  const { code } = error as { readonly code?: unknown };
  if (code === "invariant_broken") return error;
  if (code === "locked" && error.cause instanceof Error)
    return new ConfigError(exitCodes.storage, error.cause.message, [], "stop that process, or give this node a DATA_DIR of its own");
  return new ConfigError(typeof code === "string" ? exitCodes.storage : exitCodes.configuration, error.message);
}

interface Parts {
  readonly config: NodeConfig;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly telemetry: NodeTelemetry;
  readonly transport: NodeTransport;
  readonly files: NodeFiles;
  readonly host: NodeHost;
  readonly http: HttpApp;
  readonly redis: RedisQueueStorage | null;
  readonly origins: Origins;
  readonly audit: AuditLog | null;
  readonly endExport: (() => Promise<void>) | null;
  /** What is to be ended with the node. */
  readonly ends: (() => void)[];
}

function endProcess(logger: Logger, error: Error): void {
  logger.flushSync();
  if (error instanceof OlderVersion) process.exit(exitCodes.configuration);
  process.exit((error as { readonly code?: unknown }).code === "invariant_broken" ? exitCodes.internal : exitCodes.storage);
}

/** What is registered for spans is the process's, and ends with the node, or with a start that comes to nothing. */
async function build(config: NodeConfig, logger: Logger, options: StartOptions): Promise<Parts> {
  // First, as it may end the start.
  const endExport = config.tracing === "otlp" ? await startExport(config.nodeId, process.env) : null;
  try {
    return { ...(await assemble(config, logger, options)), endExport };
  } catch (error) {
    if (endExport !== null) await endInTime(endExport, failedStartMs, logger);
    throw error;
  }
}

/** What the tracer that the process has registered throws. */
function tracerFailed(telemetry: NodeTelemetry, error: unknown): void {
  const why = error instanceof Error ? error.message : typeof error;
  telemetry.count("trace_faults_total", 1);
  telemetry.log("warn", "trace.failed", `the tracer of this process failed: ${why}; spans are missing, and nothing else`);
}

async function assemble(config: NodeConfig, logger: Logger, options: StartOptions): Promise<Omit<Parts, "endExport">> {
  const tracing = config.tracing === "off" ? null : new Tracing(config.nodeId, version, (error) => tracerFailed(telemetry, error));
  const metrics = new Metrics();
  const lag = new LoopLag();
  const clock = new NodeClock(lag.late, tracing === null ? null : (run) => tracing.bound(run));
  const telemetry = new NodeTelemetry(logger, metrics, () => clock.now());
  const tls = config.tls === null ? null : new NodeTls(config.tls, config.nodeId, toolsOf(telemetry, clock));
  if (tls !== null) metrics.onCollect(() => metrics.set("tls_certificate_not_after_seconds", tls.notAfter / 1_000));
  const access = config.access === null ? null : new AccessControl(config.access, toolsOf(telemetry, clock));
  const audit = config.audit === null ? null : new AuditLog(config.audit, config.nodeId, toolsOf(telemetry, clock));
  if (audit !== null) metrics.onCollect(() => metrics.set("audit_records", audit.records));
  const transport = new NodeTransport({
    tls,
    refused: (remote, code, detail) => {
      telemetry.count("peer_refusals_total", 1, { code });
      telemetry.log("warn", "peer.turned-away", `a peer that came from ${remote} was turned away: ${detail}`, { address: remote, code });
    },
  });
  const files = new NodeFiles(config.storage.dataDir);
  const random = new NodeRandom();
  const tools = { clock, random, telemetry };
  const redis = await queueStorageOf(config, tools);
  const origins = await originsOf(config, tools);
  const ports: Ports = {
    clock,
    crypto: new NodeCrypto(),
    files,
    packing: new BrotliPacking(),
    random,
    ...(tracing === null ? {} : { spans: new EngineSpans(tracing) }),
    telemetry,
    transport: config.cluster === null ? transport : new ClusterPortTransport(transport, config.cluster.port),
    applyWorker: new ThreadApplyWorker(join(config.storage.dataDir, "shards"), (error) => host.fatal(error)),
    ...(redis === null ? {} : { queueStorage: redis }),
    cacheOrigins: origins,
  };
  const host: NodeHost = new NodeHost(ports, hostConfig(config), options.onFatal ?? ((error) => endProcess(logger, error)));
  const endAnchoring = audit === null ? null : anchorInCluster(audit, config, { api: host.api, clock, metrics, telemetry });
  const http = await createHttpApp({
    node: host.api,
    queues: host.queues,
    cache: host.cache,
    programs: host.caching.programs,
    config,
    metrics,
    log: telemetry,
    version,
    tls,
    access,
    audit,
    tracing,
    peer: config.cluster === null ? peersOf(config, transport, telemetry) : null,
  });
  collectSystemMetrics(metrics, version, lag);
  const ends = [
    collectNodeMetrics(metrics, host.api, host.cache, config),
    watchQuorum(host.api, telemetry, () => clock.now()),
    logForcedReleases(host.api, telemetry),
    () => telemetry.stop(),
    () => tls?.stop(),
    () => access?.stop(),
    () => endAnchoring?.(),
  ];
  tls?.start();
  access?.start();
  return { config, logger, metrics, telemetry, transport, files, host, http, redis, origins, audit, ends };
}

/** What the parts of security tell and count with. */
const toolsOf = (telemetry: NodeTelemetry, clock: NodeClock): NodeTlsTools => ({
  log: (level, event, text, fields) => telemetry.log(level, event, text, fields),
  count: (name, by, labels) => telemetry.count(name, by, labels),
  wallNow: () => clock.wallNow(),
});

/** False when the node did not stop within the time. */
function stopHost(host: NodeHost, limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), limitMs);
    host.api.stop(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

/** All that `build` opened, of a node that stopped and of one that never came up. `graceMs`: for answers; `exportMs`: for the last spans. */
async function release(parts: Parts, { graceMs, exportMs }: { readonly graceMs: number; readonly exportMs: number }): Promise<void> {
  await parts.http.close(graceMs);
  parts.transport.close();
  await closeStorages(parts);
  await parts.audit?.close();
  if (parts.endExport !== null) await endInTime(parts.endExport, exportMs, parts.logger);
  parts.files.unlock();
  for (const end of parts.ends) end();
}

/** New calls are refused, waits are answered, leadership moves; then the listener and the files are closed (W-76). */
async function stopParts(parts: Parts): Promise<void> {
  const { config, logger, host } = parts;
  logger.log("info", "node.stop", "stopping: handing over and finishing what is under way");
  if (parts.audit !== null) await anchoredInTime(parts.audit);
  const left = config.scalable && (await leaveCluster(host.api, config, logger));
  const inTime = await stopHost(host, config.shutdownTimeoutMs);
  if (!inTime) logger.log("warn", "node.stop", "the node did not hand over in time; closing anyway");
  await release(parts, { graceMs: Math.min(1_000, config.shutdownTimeoutMs), exportMs: config.shutdownTimeoutMs });
  if (left) setAsideData(config, logger);
  logger.log("info", "node.stopped", "stopped");
  await logger.flush();
}

/** Starts a whole node in this process: the only place, with outside-stores.ts, that names concrete adapters. Rejects with ConfigError for what a person can mend. */
export async function startNode(given: NodeConfig, options: StartOptions = {}): Promise<RunningNode> {
  const config = await withPort(given);
  const write = options.write ?? ((text: string) => void process.stdout.write(text));
  const logger = new Logger({
    nodeId: config.nodeId,
    level: config.log.level,
    dir: config.log.dir,
    files: config.log,
    format: config.log.format,
    stdout: write,
  });
  // At once, before anything can go wrong: nobody should look at a silent terminal (T-12).
  logger.log(
    "info",
    "node.start",
    `Trivet ${version}: node ${config.nodeId} (${config.roles.join(", ")}) starts on ${config.http.host}:${config.http.port}, data in ${config.storage.dataDir}`,
    { pid: process.pid },
  );
  for (const warning of options.warnings ?? []) logger.log("warn", "config.warning", warning);
  const parts = await build(config, logger, options);
  let begun = false;
  try {
    try {
      await parts.http.listen();
    } catch (error) {
      throw listenFailure(error as NodeJS.ErrnoException, config.http.host, config.http.port, "HTTP_PORT");
    }
    try {
      await parts.http.listenForMetrics();
    } catch (error) {
      throw listenFailure(error as NodeJS.ErrnoException, config.http.host, config.metricsPort ?? 0, "METRICS_PORT");
    }
    if (config.cluster !== null) await listenForPeers(parts.transport, config.cluster);
    begun = true;
    parts.telemetry.quietStart(startQuietMs);
    parts.telemetry.starting();
    await startHost(parts.host);
    parts.telemetry.started();
    if (config.cache.seedDemoData && config.roles.includes("cache")) parts.ends.push(seedDemoData(parts.host.cache, parts.telemetry));
  } catch (error) {
    if (begun) await stopHost(parts.host, failedStartMs);
    await release(parts, { graceMs: 0, exportMs: failedStartMs });
    await logger.flush();
    throw error;
  }
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => (stopping ??= stopParts(parts));
  return {
    config,
    port: config.http.port,
    url: config.advertiseUrl,
    node: parts.host.api,
    http: parts.http,
    metrics: parts.metrics,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
