import { randomUUID } from "node:crypto";
import { errorCatalogue, httpLimits } from "@trivet/contract";
import type { CacheApi, NodeApi, ProgramsApi, QueuesApi } from "@trivet/engine";
import { fastify, type FastifyInstance, type FastifyServerFactory } from "fastify";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { NodeConfig } from "../config/index.ts";
import { collectCacheMetrics } from "../observability/cache-metrics.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { AccessControl } from "../security/access-control.ts";
import type { AuditLog } from "../security/audit-log.ts";
import type { Tracing } from "../observability/tracing.ts";
import type { NodeTls } from "../security/node-tls.ts";
import { RateLimiter } from "../security/rate-limiter.ts";
import { answerPlainHttp } from "../security/plain-http.ts";
import { collectQueueMetrics } from "../observability/queue-metrics.ts";
import { s0Handlers, s4Handlers } from "./aliases/aliases.ts";
import { auditHandlers } from "./cluster/audit-anchors.ts";
import { useAudit } from "./audit.ts";
import { authenticate, limitRate, recognizer, streamGate, type Recognize } from "./authenticate.ts";
import { badField, failure, type Failure } from "./answer.ts";
import { backupHandlers } from "./cluster/backup.ts";
import { useJsonBodies } from "./body-parser.ts";
import { cacheAliasHandlers } from "./aliases/cache-aliases.ts";
import { namespaceHandlers } from "./cache/cache-namespaces.ts";
import { cacheWatchHandlers } from "./cache/cache-watch.ts";
import { cacheHandlers } from "./cache/cache.ts";
import type { Handlers } from "./calls.ts";
import { clusterHandlers } from "./cluster/cluster.ts";
import { clientErrorAnswerer, Connections, refuseSocket } from "./connections.ts";
import type { HttpContext, HttpLog } from "./context.ts";
import { crossSite } from "./cross-site.ts";
import { documentHandlers, useDocs } from "./cluster/docs.ts";
import { WatchCount } from "./event-stream.ts";
import { fenceHandlers } from "./locks/fences.ts";
import { healthHandlers } from "./cluster/health.ts";
import { lockGraphHandlers } from "./locks/lock-graph.ts";
import { lockSetHandlers } from "./locks/lock-sets.ts";
import { lockHandlers } from "./locks/locks.ts";
import { memberHandlers } from "./cluster/members.ts";
import { MetricsPort } from "./metrics-port.ts";
import { metricsHandlers } from "./cluster/metrics.ts";
import { failureOf } from "./problems.ts";
import { queueAliasHandlers } from "./aliases/queue-aliases.ts";
import { messageHandlers } from "./queues/queue-messages.ts";
import { queueHandlers } from "./queues/queues.ts";
import { raftHandlers } from "./cluster/raft.ts";
import { refusalTeller, type TellRefusal } from "./refusals.ts";
import { ringHandlers } from "./cluster/ring.ts";
import { isLegacy, pathOf, registerRoutes, sendFailure } from "./register.ts";
import { requestHandlers } from "./cluster/requests.ts";
import { useSecurityHeaders } from "./security-headers.ts";
import { sessionHandlers } from "./locks/sessions.ts";
import { StreamServer } from "./stream/stream.ts";
import { UpgradeDispatcher, type UpgradeHandler } from "./upgrade.ts";
import { tracedApis, useTracing } from "./tracing.ts";
import { useValidators } from "./validation.ts";
import { watchHandlers } from "./watch.ts";

export interface HttpOptions {
  readonly node: NodeApi;
  /** Null where the node keeps no queues. */
  readonly queues: QueuesApi | null;
  /** Null where the node keeps no cached values. */
  readonly cache: CacheApi | null;
  readonly programs?: ProgramsApi;
  readonly config: NodeConfig;
  readonly metrics: Metrics;
  readonly log: HttpLog;
  readonly version: string;
  /** Takes peers that come to the API port; null when they have their own listener. */
  readonly peer: UpgradeHandler | null;
  /** Null = plain HTTP. */
  readonly tls?: NodeTls | null;
  /** Null = nobody is asked who they are. */
  readonly access?: AccessControl | null;
  /** Null = nothing is audited. */
  readonly audit?: AuditLog | null;
  /** Null = nothing is traced. */
  readonly tracing?: Tracing | null;
  readonly now?: () => number;
  readonly wallNow?: () => number;
  /** Tighter times for tests. */
  readonly limits?: Partial<Record<"headersTimeoutMs" | "requestTimeoutMs" | "connectionsCheckingIntervalMs", number>>;
}
export interface HttpApp {
  readonly app: FastifyInstance;
  readonly connections: Connections;
  /** Starts listening; resolves with the real port. */
  listen(): Promise<number>;
  /** The same for METRICS_PORT; nothing happens without one. */
  listenForMetrics(): Promise<void>;
  /** Ends watches and streams, closes idle connections, waits for calls under way at most so long. */
  close(graceMs: number): Promise<void>;
}

const requestIdPattern = /^[\x21-\x7e]{1,128}$/;

type ServerTimes = Readonly<Record<"keepAliveTimeoutMs" | "requestTimeoutMs" | "headersTimeoutMs", number>>;

/** The server of a node with TLS; what Fastify sets on its own servers is set here. */
function createTlsServer(tls: NodeTls, options: HttpOptions, http: object, limits: ServerTimes, handler: RequestListener): Server {
  const server = createHttpsServer({ ...http, ...tls.serverOptions(false) }, handler);
  server.keepAliveTimeout = limits.keepAliveTimeoutMs;
  server.requestTimeout = limits.requestTimeoutMs;
  server.setTimeout(0);
  tls.keep(server, false);
  answerPlainHttp(server, limits.headersTimeoutMs, (socket) => {
    options.metrics.count("tls_refused_total", 1, { reason: "plain_http" });
    refuseSocket(socket, failure("https_required"));
    // The rest of what was sent is read, lest a reset overtakes the answer.
    socket.resume();
    setTimeout(() => socket.destroy(), 1_000).unref();
  });
  return server;
}

type Limits = ServerTimes & Readonly<Record<"maxHeaderBytes" | "connectionsCheckingIntervalMs", number>>;

function parserLimits(limits: Limits): { maxHeaderSize: number; headersTimeout: number; connectionsCheckingInterval: number } {
  return {
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    connectionsCheckingInterval: limits.connectionsCheckingIntervalMs,
  };
}

/** A server with the limits of the API's own. */
function createPlainServer(limits: Limits, handler: RequestListener): Server {
  return createServer(
    { ...parserLimits(limits), requestTimeout: limits.requestTimeoutMs, keepAliveTimeout: limits.keepAliveTimeoutMs },
    handler,
  );
}

function createMetricsPort(options: HttpOptions, app: FastifyInstance, connections: Connections, tell: TellRefusal): MetricsPort | null {
  const { config, tls = null } = options;
  if (config.metricsPort === null) return null;
  const limits = { ...httpLimits, ...options.limits };
  const place = { host: config.http.host, port: config.metricsPort, secure: tls !== null };
  const create = (handler: RequestListener): Server =>
    tls === null ? createPlainServer(limits, handler) : createTlsServer(tls, options, parserLimits(limits), limits, handler);
  return new MetricsPort(app, connections, place, (handler) => create(handler).on("clientError", clientErrorAnswerer(tell)));
}

function createFastify(options: HttpOptions, tell: TellRefusal): FastifyInstance {
  const limits = { ...httpLimits, ...options.limits };
  const { tls = null } = options;
  const http = parserLimits(limits);
  return fastify({
    logger: false,
    bodyLimit: limits.maxBodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionTimeout: 0,
    forceCloseConnections: "idle",
    return503OnClosing: false,
    routerOptions: { maxParamLength: limits.maxParamLength, caseSensitive: true, ignoreTrailingSlash: false },
    onProtoPoisoning: "error",
    onConstructorPoisoning: "error",
    genReqId: (request) => {
      const given = request.headers["x-request-id"];
      return typeof given === "string" && requestIdPattern.test(given) ? given : randomUUID();
    },
    clientErrorHandler: clientErrorAnswerer(tell),
    frameworkErrors: (error, _request, reply) => {
      sendFailure(reply, failureOf(error) ?? failure("bad_request", { values: { field: "request", expected: error.message } }), false);
    },
    http,
    ...(tls === null
      ? {}
      : { serverFactory: ((handler) => createTlsServer(tls, options, http, limits, handler)) satisfies FastifyServerFactory }),
  });
}

/** The query parser takes broken escapes as they stand; two readers would then disagree about what was asked. */
function brokenQuery(url: string): Failure | null {
  const at = url.indexOf("?");
  if (at < 0 || !url.includes("%", at)) return null;
  try {
    decodeURIComponent(url.slice(at));
    return null;
  } catch {
    return badField("query", "percent-encoded UTF-8");
  }
}

const takes = (route: unknown): boolean => (route as { readonly takes?: boolean }).takes === true;

interface Gates {
  readonly connections: Connections;
  /** Null = nobody is asked who they are. */
  readonly recognize: Recognize | null;
  readonly tell: TellRefusal;
}

/** Measures every request and tells each its id. */
function useMeasures(app: FastifyInstance, context: HttpContext, { connections, recognize, tell }: Gates): void {
  app.addHook("onRequest", (request, reply, done) => {
    reply.header("x-request-id", request.id);
    const refused =
      connections.admit(request.raw) ??
      crossSite(request.raw, takes(request.routeOptions.config)) ??
      brokenQuery(request.url) ??
      (recognize === null ? null : authenticate(recognize, request));
    const go = (why: Failure | null): void => {
      const over = why ?? (context.limiter === null ? null : limitRate(context, request));
      if (over === null) done();
      else sendFailure(reply, over, isLegacy(request));
    };
    if (refused instanceof Promise) refused.then(go, done);
    else go(refused);
  });
  app.addHook("onResponse", (request, reply, done) => {
    const route = request.routeOptions.url ?? "other";
    if (reply.statusCode === errorCatalogue.payload_too_large.status) tell("body", request.raw.socket.remoteAddress ?? "");
    context.metrics.count("http_requests_total", 1, { route, method: request.method, status: String(reply.statusCode) });
    context.metrics.observe("http_request_duration_seconds", reply.elapsedTime / 1_000, { route, method: request.method });
    context.log.log("debug", "http.request", `${request.method} ${pathOf(request.url)} ${reply.statusCode}`, {
      request_id: request.id,
      route,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime * 1_000) / 1_000,
    });
    done();
  });
}

/** The whole HTTP side of a node: API, aliases, documents, stream and upgrades, on one port. */
export async function createHttpApp(options: HttpOptions): Promise<HttpApp> {
  const tell = refusalTeller(options.metrics, options.log);
  const app = createFastify(options, tell);
  const closers = new Set<() => void>();
  const address = (): AddressInfo | null => {
    const bound = app.server.address();
    return bound !== null && typeof bound === "object" ? bound : null;
  };
  const { tracing = null, node, queues, cache } = options;
  const apis = tracing === null ? { node, queues, cache } : tracedApis({ node, queues, cache }, tracing);
  const context: HttpContext = {
    ...apis,
    tracing,
    programs: options.config.roles.includes("cache") ? (options.programs ?? null) : null,
    config: options.config,
    metrics: options.metrics,
    log: options.log,
    version: options.version,
    tls: options.tls ?? null,
    access: options.access ?? null,
    audit: options.audit ?? null,
    limiter: options.config.rateLimit === null ? null : new RateLimiter(options.config.rateLimit, options.now ?? (() => performance.now())),
    now: options.now ?? (() => performance.now()),
    wallNow: options.wallNow ?? (() => Date.now()),
    port: () => address()?.port ?? options.config.http.port,
    onClose: (end) => {
      closers.add(end);
      return () => closers.delete(end);
    },
  };
  if (tracing !== null) useTracing(app, tracing);
  const connections = new Connections(options.config.http.maxConnections, tell);
  connections.attach(app.server, context.tls !== null);
  const recognize = context.access === null ? null : recognizer(context, context.access, context.now);
  const metricsPort = createMetricsPort(options, app, connections, tell);
  const watches = new WatchCount();
  const streams = new StreamServer(context);
  const upgrades = new UpgradeDispatcher(
    app.server,
    { peer: options.peer, stream: streams.accept },
    connections,
    streamGate(recognize, context.access, context.audit),
  );
  const handlers: Handlers = {
    ...lockHandlers,
    ...lockSetHandlers,
    ...lockGraphHandlers,
    ...fenceHandlers,
    ...watchHandlers(watches),
    ...sessionHandlers,
    ...requestHandlers,
    ...queueHandlers,
    ...messageHandlers,
    ...ringHandlers,
    ...cacheHandlers,
    ...namespaceHandlers,
    ...cacheWatchHandlers(watches),
    ...raftHandlers,
    ...memberHandlers,
    ...clusterHandlers,
    ...backupHandlers,
    ...auditHandlers,
    ...healthHandlers,
    ...metricsHandlers,
    ...documentHandlers(options.version),
    stream: () => failure("upgrade_required", { headers: { upgrade: "websocket" } }),
    ...s0Handlers,
    ...s4Handlers,
    ...queueAliasHandlers,
    ...cacheAliasHandlers,
  };
  useValidators(app);
  useJsonBodies(app);
  useSecurityHeaders(app, context);
  if (context.audit !== null) useAudit(app, context.audit);
  useMeasures(app, context, { connections, recognize, tell });
  options.metrics.onCollect(() => {
    options.metrics.set("http_connections", connections.clients, { kind: "http" });
    options.metrics.set("http_connections", connections.upgradedCount, { kind: "upgraded" });
    options.metrics.set("watchers", watches.open);
  });
  if (options.queues !== null) collectQueueMetrics(options.metrics, options.queues, context.now, context.wallNow);
  if (options.cache !== null) collectCacheMetrics(options.metrics, options.cache);
  useDocs(app, options.version);
  registerRoutes(app, handlers, context);
  const endLongLived = (): void => {
    for (const end of closers) end();
    streams.close();
    upgrades.close();
  };
  app.addHook("preClose", (done) => {
    endLongLived();
    done();
  });
  return {
    app,
    connections,
    listen: async () => {
      await app.listen({ host: options.config.http.host, port: options.config.http.port });
      return address()?.port ?? options.config.http.port;
    },
    listenForMetrics: async () => metricsPort?.listen(),
    close: async (graceMs) => {
      metricsPort?.close();
      const force = setTimeout(() => {
        app.server.closeAllConnections();
        metricsPort?.closeAll();
      }, graceMs);
      try {
        await app.close();
      } finally {
        clearTimeout(force);
      }
    },
  };
}
