import { describe, expect, test } from "vitest";
import {
  ConfigurationFile,
  describeError,
  errorCatalogue,
  errorCodes,
  errorsOf,
  exitCodes,
  fillTemplate,
  isErrorCode,
  metricNames,
  metricOf,
  openApiDocument,
  openApiPath,
  routeIds,
  routeOf,
  settingNames,
  settingOf,
} from "../src/index.ts";

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly { readonly name?: string; readonly in?: string }[];
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
  readonly requestBody?: unknown;
}
const document = openApiDocument("0.1.0") as unknown as { readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>> };
const operationOf = (id: (typeof routeIds)[number]): Operation => {
  const definition = routeOf(id);
  const operation = document.paths[openApiPath(definition.path)]?.[definition.method.toLowerCase()];
  if (operation === undefined) throw new Error(`${id} is not in the document`);
  return operation;
};

const propertiesOf = (schema: { readonly properties?: object } | undefined): object => schema?.properties ?? {};

describe("error catalogue", () => {
  test("every code has a status, a title, an exit code and a text in three parts", () => {
    for (const code of errorCodes) {
      const entry = errorCatalogue[code];
      expect(entry.status, code).toBeGreaterThanOrEqual(400);
      expect(Object.values<number>(exitCodes), code).toContain(entry.exitCode);
      expect(entry.exitCode, code).not.toBe(exitCodes.ok);
      for (const part of [entry.title, entry.what, entry.why, entry.next]) expect(part.length, code).toBeGreaterThan(3);
    }
    expect(Object.keys(errorCatalogue).sort()).toEqual([...errorCodes].sort());
  });
  test("what may be repeated is said: an unknown outcome may not", () => {
    expect(errorCatalogue.commit_timeout.retryable).toBe(false);
    expect(errorCatalogue.no_leader.retryable).toBe(true);
    expect(errorCatalogue.locked.retryable).toBe(true);
    expect(errorCatalogue.stale_fence.retryable).toBe(false);
  });
  test("templates are filled; a missing part is a question mark, never an inherited property", () => {
    expect(fillTemplate("{a} {b} {constructor}", { a: 1 })).toBe("1 ? ?");
    expect(describeError("lock_not_found", { name: "x" })).toContain("Lock x is held by nobody.");
    expect(isErrorCode("locked")).toBe(true);
    expect(isErrorCode("toString")).toBe(false);
  });
});

describe("routes", () => {
  test("operation ids, methods and paths are unique", () => {
    const places = routeIds.map((id) => `${routeOf(id).method} ${routeOf(id).path}`);
    expect(new Set(places).size).toBe(places.length);
    expect(routeIds.length).toBeGreaterThan(40);
  });
  test("every path parameter of a path is declared, and no other", () => {
    for (const id of routeIds) {
      const { path, params } = routeOf(id);
      const named = [...path.matchAll(/:([a-z_]+)/g)].map((match) => match[1] ?? "");
      const declared = Object.keys(propertiesOf(params));
      expect(declared.sort(), id).toEqual(named.sort());
    }
  });
  test("every field alias leads to a field that exists, and shadows none", () => {
    let checked = 0;
    for (const id of routeIds) {
      const { fields = [], body, query } = routeOf(id);
      const known = new Set([body, query].flatMap((schema) => Object.keys(propertiesOf(schema))));
      for (const field of fields) {
        if (!known.has(field.to)) continue;
        expect(known.has(field.from), `${id}: ${field.from} is a field of its own`).toBe(false);
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(60);
  });
  test("aliases name a path that exists and a source document", () => {
    const paths = new Set(routeIds.map((id) => routeOf(id).path));
    for (const id of routeIds) {
      const { alias } = routeOf(id);
      if (alias !== undefined) expect(paths.has(alias.of), `${id} of ${alias.of}`).toBe(true);
    }
  });
  test("inputs are closed: an unknown field is an error, never ignored", () => {
    for (const id of routeIds) {
      const { body, query } = routeOf(id);
      for (const schema of [body, query]) {
        // S0's produce takes any JSON value: the whole body is the message, and none of it is a field of ours.
        if (schema !== undefined && id !== "s0Produce")
          expect((schema as { additionalProperties?: unknown }).additionalProperties, id).toBe(false);
      }
    }
  });
});

describe("OpenAPI document", () => {
  test("has every route with its parameters and body, and nothing else", () => {
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    expect(operations.map((operation) => operation.operationId).sort()).toEqual([...routeIds].sort());
    for (const id of routeIds) expect(operationOf(id).requestBody !== undefined, id).toBe(routeOf(id).body !== undefined);
  });
  test("names for every path exactly the statuses and codes it may answer", () => {
    for (const id of routeIds) {
      const definition = routeOf(id);
      const { responses } = operationOf(id);
      const statuses = new Set([
        ...Object.keys(definition.responses),
        ...errorsOf(definition).map((code) => String(errorCatalogue[code].status)),
      ]);
      expect(Object.keys(responses).sort(), id).toEqual([...statuses].sort());
      for (const code of errorsOf(definition)) {
        const { status } = errorCatalogue[code];
        if (definition.responses[status] === undefined)
          expect(responses[String(status)]?.description, `${id} ${code}`).toContain(`\`${code}\``);
      }
    }
  });
  test("is plain JSON", () => {
    expect(JSON.parse(JSON.stringify(document))).toEqual(document);
  });
});

describe("settings", () => {
  test("no name stands for two settings", () => {
    const names = settingNames.flatMap((name) => [name, ...(settingOf(name).aliases ?? []).map((alias) => alias.name)]);
    expect(new Set(names).size).toBe(names.length);
    const flags = settingNames.flatMap((name) => [name.toLowerCase().replaceAll("_", "-"), ...(settingOf(name).flags ?? [])]);
    expect(new Set(flags).size).toBe(flags.length);
  });
  test("every variable of the source documents is there", () => {
    const known = new Set<string>(settingNames.flatMap((name) => [name, ...(settingOf(name).aliases ?? []).map((alias) => alias.name)]));
    const documents =
      "PORT NODE_PORT INTERNAL_PORT HTTP_PORT NODE_ID ALL_NODES PEER_ADDRESSES PEERS RAFT_PEERS QUEUE_NODES CACHE_PEERS REDIS_HOST REDIS_PORT REDIS_PASSWORD REDIS_URL SHARED_MAC_KEY CERT_FILE KEY_FILE CA_FILE CACHE_CAPACITY ENABLE_METRICS LOG_LEVEL HEARTBEAT_INTERVAL HEARTBEAT_TIMEOUT NODE_TYPE CACHE_MAX_SIZE DOCKER_ENV METRICS_PORT LOG_FORMAT DEADLOCK_CHECK_INTERVAL QUEUE_PERSISTENCE QUEUE_BACKUP_INTERVAL ENABLE_ENCRYPTION CERT_PATH REDIS_NODES";
    for (const name of documents.split(" ")) expect(known.has(name), name).toBe(true);
  });
  test("secrets have no default, and the file schema takes every setting", () => {
    for (const name of settingNames) if (settingOf(name).secret === true) expect(settingOf(name).default, name).toBeNull();
    expect(Object.keys((ConfigurationFile as unknown as { properties: object }).properties)).toEqual(settingNames);
  });
});

describe("metrics", () => {
  test("names are Prometheus names: counters end in _total, nothing else does, and no label is a key or an owner", () => {
    for (const name of metricNames) {
      const family = metricOf(name);
      expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
      expect(name.endsWith("_total"), name).toBe(family.kind === "counter");
      expect(family.kind === "histogram", name).toBe(family.buckets !== undefined);
      for (const label of family.labels ?? []) expect(["key", "name", "owner", "client", "session", "caller"]).not.toContain(label);
    }
  });
  test("the families people alert on are there", () => {
    for (const name of [
      "raft_has_leader",
      "raft_heartbeats_total",
      "raft_failure_tolerance",
      "wal_fsync_duration_seconds",
      "locks_held",
      "lock_acquire_duration_seconds",
      "stale_token_rejected_total",
      "http_request_duration_seconds",
      "build_info",
    ]) {
      expect(metricNames).toContain(name);
    }
  });
});
