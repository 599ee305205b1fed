import {
  commonSchemas,
  errorCatalogue,
  errorsOf,
  routeIds,
  routeOf,
  type Method,
  type Problem,
  type RouteDefinition,
  type RouteId,
} from "@trivet/contract";
import {
  defaultHostConfig,
  MemoryCrypto,
  MemoryFiles,
  MemoryPacking,
  MemoryRandom,
  MemoryTelemetry,
  NodeHost,
  type NodeApi,
  type Transport,
} from "@trivet/engine";
import type { InjectOptions } from "fastify";
import { Compile } from "typebox/schema";
import { expect } from "vitest";
import { NodeClock } from "../../src/adapters/index.ts";
import { loadConfig, type NodeConfig } from "../../src/config/index.ts";
import { createHttpApp, type HttpApp, type HttpOptions } from "../../src/http/app.ts";
import { Metrics } from "../../src/observability/metrics.ts";
import { collectNodeMetrics } from "../../src/observability/node-metrics.ts";
import { given } from "../config/given.ts";
import { MemoryCache } from "./memory-cache.ts";
import { MemoryQueues } from "./memory-queues.ts";

/** A transport of a node that has no peers. */
const alone: Transport = { dial: (_address, opened) => setImmediate(() => opened(null, "no network here")), onAccept: () => undefined };

/** One real node host on memory files: commands are really applied, through log, dedupe table and state machine. */
export async function startTestNode(): Promise<{ readonly host: NodeHost; readonly telemetry: MemoryTelemetry }> {
  const clock = new NodeClock();
  const telemetry = new MemoryTelemetry();
  const config = {
    ...defaultHostConfig,
    node: "node1",
    url: "http://127.0.0.1:8001",
    peers: [],
    heartbeatMs: 10,
    electionMinMs: 40,
    electionMaxMs: 60,
  };
  const ports = {
    clock,
    crypto: new MemoryCrypto(),
    files: new MemoryFiles(clock),
    packing: new MemoryPacking(),
    random: new MemoryRandom(7),
    telemetry,
    transport: alone,
  };
  const host = new NodeHost(ports, config, (error) => {
    throw error;
  });
  await new Promise<void>((resolve, reject) => host.start((error) => (error === null ? resolve() : reject(error))));
  await until(() => host.api.status().groups[0]?.leader === "node1" && host.phase === "running");
  return { host, telemetry };
}

/** Waits for a condition, looking again whenever the event loop turns. */
export async function until(condition: () => boolean | Promise<boolean>, what = "the condition", limitMs = 10_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Every object closed: an answer may hold nothing that its schema does not name. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const copy = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]));
  return copy["type"] === "object" && "properties" in copy && !("additionalProperties" in copy)
    ? { ...copy, additionalProperties: false }
    : copy;
}
interface Checker {
  Check(value: unknown): boolean;
  Errors(value: unknown): readonly [boolean, readonly { readonly instancePath: string; readonly message: string }[]];
}
const checkers = new Map<unknown, Checker>();
function validate(schema: unknown, value: unknown, what: string): void {
  const checker = checkers.get(schema) ?? Compile(closed(JSON.parse(JSON.stringify(schema))) as object);
  checkers.set(schema, checker);
  if (checker.Check(value)) return;
  const errors = checker.Errors(value)[1].map((error) => `${error.instancePath} ${error.message}`);
  throw new Error(`${what} is not as its schema says: ${errors.join("; ")}\n${JSON.stringify(value)}`);
}

function definitionFor(method: string, path: string): { readonly id: RouteId; readonly definition: RouteDefinition } | null {
  const matches = routeIds
    .map((id) => ({ id, definition: routeOf(id) }))
    .filter(
      ({ definition }) => definition.method === method && new RegExp(`^${definition.path.replaceAll(/:[a-z_]+/g, "[^/]+")}$`).test(path),
    );
  // A literal path wins over a name.
  return matches.find(({ definition }) => !definition.path.includes(":")) ?? matches[0] ?? null;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | number | undefined>>;
  readonly text: string;
  // Tests read any member of an answer; its shape was checked against the schema.
  readonly json: Record<string, never> & Problem;
}

/** Paths and statuses that tests have seen, so that one test can ask whether every documented one was reached. */
export const seen: Set<string> = new Set();

function check(method: string, url: string, answer: Answer): void {
  const path = url.split("?", 1)[0] ?? url;
  const found = definitionFor(method, path);
  expect(answer.headers["x-request-id"], `${method} ${url} has a request id`).toBeTruthy();
  if (found === null) {
    if (answer.status >= 400) validate(commonSchemas.Problem, answer.json, `${method} ${url} ${answer.status}`);
    return;
  }
  seen.add(`${found.id} ${answer.status}`);
  const schema = found.definition.responses[answer.status];
  const type = String(answer.headers["content-type"] ?? "");
  if (schema !== undefined) {
    if (type.includes("json")) validate(schema, answer.json, `${method} ${url} ${answer.status}`);
    return;
  }
  if (answer.status < 400) return;
  expect(type).toBe("application/problem+json; charset=utf-8");
  validate(commonSchemas.Problem, answer.json, `${method} ${url} ${answer.status}`);
  const { code } = answer.json;
  expect(errorCatalogue[code].status, code).toBe(answer.status);
  const documented = new Set<string>(errorsOf(found.definition));
  expect(documented.has(code), `${found.id} documents ${code}`).toBe(true);
  expect("success" in answer.json, `${found.id} success member`).toBe(found.definition.alias?.source === "S4");
}

export interface Server {
  readonly http: HttpApp;
  readonly metrics: Metrics;
  readonly config: NodeConfig;
  /** A call through the whole HTTP stack without a socket; every answer is checked against its schema and error list. */
  call(method: Method, url: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** The same with full control over the payload. */
  raw(options: InjectOptions): Promise<Answer>;
}

export async function serve(
  node: NodeApi,
  options: { readonly env?: Record<string, string>; readonly settle?: boolean } & Partial<HttpOptions> = {},
): Promise<Server> {
  const { env = {}, settle = true, ...rest } = options;
  const { config } = loadConfig(
    given({
      env: {
        NODE_ID: "node1",
        PORT: "0",
        ALL_NODES: "http://node1:8001,http://node2:8002,http://node3:8003",
        ADVERTISE_URL: "http://node1:8001",
        ...env,
      },
    }),
  );
  const metrics = new Metrics();
  const cache = rest.cache === undefined ? new MemoryCache(config.nodeId) : rest.cache;
  collectNodeMetrics(metrics, node, cache, config);
  const http = await createHttpApp({
    node,
    config,
    metrics,
    log: { log: () => undefined },
    version: "0.1.0",
    peer: null,
    queues: new MemoryQueues(),
    ...rest,
    cache,
  });
  await http.app.ready();
  // Building the app blocks the loop for longer than an election timeout; a real leader has to have been heard again.
  if (settle) await until(async () => (await http.app.inject("/health")).statusCode === 200, "a healthy node");
  const raw = async (request: InjectOptions): Promise<Answer> => {
    const response = await http.app.inject(request);
    const isJson = String(response.headers["content-type"] ?? "").includes("json");
    const answer = {
      status: response.statusCode,
      headers: response.headers,
      text: response.body,
      json: (isJson ? JSON.parse(response.body) : {}) as Answer["json"],
    };
    check(request.method ?? "GET", typeof request.url === "string" ? request.url : "", answer);
    return answer;
  };
  return {
    http,
    metrics,
    config,
    raw,
    call: (method, url, body, headers = {}) =>
      raw({
        method,
        url,
        headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
        ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
      }),
  };
}

/** A node whose answers a test decides; what it does not decide, the real one does. */
export function scripted(real: NodeApi, script: Partial<NodeApi>): NodeApi {
  return new Proxy(real, {
    get: (target, name) => {
      const replaced = (script as Record<string | symbol, unknown>)[name];
      if (replaced !== undefined) return replaced;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}
