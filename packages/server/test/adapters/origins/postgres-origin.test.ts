import { MemoryTelemetry } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PostgresOrigin } from "../../../src/adapters/origins/index.ts";
import { loadConfig } from "../../../src/config/index.ts";
import { given } from "../../config/given.ts";
import { until } from "../redis/redis-server.ts";
import { hasPostgres, PostgresServer } from "./postgres-server.ts";
import { eventsOf, load, textOf, write, written } from "./support.ts";

describe.skipIf(!hasPostgres)("PostgreSQL as an origin", () => {
  let server: PostgresServer;
  const opened: PostgresOrigin[] = [];
  const telemetry = new MemoryTelemetry();
  function open(query: string, timeoutMs = 5_000, told = telemetry, write = ""): PostgresOrigin {
    const origin = new PostgresOrigin({ url: server.url, query, write, timeoutMs, node: "node1" }, told);
    opened.push(origin);
    return origin;
  }
  beforeAll(async () => {
    server = await PostgresServer.start();
    await server.ask("CREATE TABLE pages (site text, path text, body text, raw bytea, shape jsonb, PRIMARY KEY (site, path))");
    const row = ["one", "/a", "höst", Buffer.from([0, 255, 1]), '{"b": [1, 2], "a": 12345678901234567890}'];
    await server.ask("INSERT INTO pages VALUES ($1, $2, $3, $4, $5)", row);
    await server.ask("INSERT INTO pages (site, path) VALUES ('one', '/empty')");
  }, 60_000);
  afterAll(async () => {
    for (const origin of opened) await origin.close();
    await server.stop();
  });

  test("a value is the first column of the row that the query finds, as PostgreSQL writes it; no row and NULL are nothing", async () => {
    const text = open("SELECT body FROM pages WHERE path = $1 AND site = $2");
    expect(await textOf(text, "one", "/a")).toBe("höst");
    expect(await load(text, "two", "/a")).toEqual({ type: "absent" });
    expect(await load(text, "one", "/empty")).toEqual({ type: "absent" });
    expect(await textOf(text, "one", "/a' OR true --")).toBe("absent");
    const bytes = open("SELECT raw FROM pages WHERE path = $1");
    expect(await load(bytes, "any", "/a")).toEqual({ type: "value", value: new Uint8Array([0, 255, 1]) });
    const json = open("SELECT shape FROM pages WHERE path = $1");
    expect(await textOf(json, "any", "/a")).toBe('{"a": 12345678901234567890, "b": [1, 2]}');
  });

  test("a query that PostgreSQL refuses, and one that takes too long, fail with a reason; the next one works", async () => {
    const wrong = open("SELECT body FROM nowhere WHERE path = $1");
    expect(await load(wrong, "n", "k")).toEqual({ type: "failed", reason: 'relation "nowhere" does not exist' });
    const slow = open("SELECT pg_sleep(60)::text || $1 WHERE $1 = 'slow' UNION ALL SELECT 'fast' WHERE $1 <> 'slow'", 200);
    expect(await load(slow, "n", "slow")).toMatchObject({ type: "failed", reason: expect.stringMatching(/timeout/i) });
    expect(await textOf(slow, "n", "other")).toBe("fast");
  });

  const readBack = "SELECT value FROM trivet_cache WHERE namespace = $2 AND key = $1";
  const writeOf = (): string => {
    const { cache } = loadConfig(given({ env: { CACHE_ORIGIN_POSTGRES_URL: server.url } })).config;
    return cache.origins.postgres?.write ?? "";
  };

  test("a write as it is set when nobody says how: rows with stamps, which neither repeats nor late writes change", async () => {
    await server.ask("CREATE TABLE trivet_cache (namespace text, key text, value bytea, stamp numeric(32), PRIMARY KEY (namespace, key))");
    const origin = open(readBack, 5_000, telemetry, writeOf());
    expect(await write(origin, written("k", "new", 12), written("l", "höst", 13))).toEqual([{ type: "written" }, { type: "written" }]);
    expect(await textOf(origin, "n", "l")).toBe("höst");
    expect(await write(origin, written("k", "old", 9), written("l", "höst", 13))).toEqual([{ type: "newer" }, { type: "newer" }]);
    expect(await textOf(origin, "n", "k")).toBe("new");
    expect(await write(origin, written("k", null, 14))).toEqual([{ type: "written" }]);
    expect(await write(origin, written("k", "old", 11))).toEqual([{ type: "newer" }]);
    expect(await load(origin, "n", "k")).toEqual({ type: "absent" });
    const many = Array.from({ length: 100 }, (_, at) => written(`many ${at}`, String(at), 1));
    expect(await write(origin, ...many)).toEqual(many.map(() => ({ type: "written" })));
    expect(await textOf(origin, "n", "many 99")).toBe("99");
  });

  test("a statement of one's own, without the namespace and with columns of other types; what PostgreSQL does not take is told with its reason", async () => {
    await server.ask("CREATE TABLE shapes (name text PRIMARY KEY, shape jsonb CHECK (shape <> '13'), stamp text COLLATE \"C\")");
    const statement =
      "INSERT INTO shapes VALUES ($1, convert_from($3, 'UTF8')::jsonb, $4) ON CONFLICT (name) DO UPDATE SET shape = EXCLUDED.shape, stamp = EXCLUDED.stamp WHERE shapes.stamp < EXCLUDED.stamp";
    const origin = open("SELECT shape FROM shapes WHERE name = $1", 5_000, telemetry, statement);
    expect(await write(origin, written("a", '{"b": 1}', 5), written("b", "no JSON", 6), written("c", "13", 7))).toEqual([
      { type: "written" },
      { type: "refused", reason: expect.stringContaining("json") },
      { type: "refused", reason: expect.stringContaining("check constraint") },
    ]);
    expect(await write(origin, written("a", '{"b": 2}', 10), written("a2", "1", 11))).toEqual([{ type: "written" }, { type: "written" }]);
    expect(await write(origin, written("a", '{"b": 1}', 9))).toEqual([{ type: "newer" }]);
    expect(await textOf(origin, "n", "a")).toBe('{"b": 2}');
  });

  test("a PostgreSQL that is away takes no write, and is asked once for a batch and not for each of it", async () => {
    const origin = open(readBack, 5_000, new MemoryTelemetry(), writeOf());
    await server.kill();
    const batch = Array.from({ length: 50 }, (_, at) => written(`k${at}`, "v", 20));
    expect(new Set((await write(origin, ...batch)).map(({ type }) => type))).toEqual(new Set(["unreachable"]));
    await server.start();
    expect(await write(origin, written("k0", "v", 20))).toEqual([{ type: "written" }]);
  }, 60_000);

  test("a server that goes and comes back is told once each, without the password", async () => {
    const told = new MemoryTelemetry();
    const origin = open("SELECT body FROM pages WHERE path = $1", 5_000, told);
    expect(await textOf(origin, "n", "/a")).toBe("höst");
    await server.kill();
    await until(async () => (await load(origin, "n", "/a")).type === "failed");
    await until(async () => eventsOf(told).includes("origin.down"));
    expect(await load(origin, "n", "/a")).toMatchObject({ type: "failed", reason: expect.stringContaining("ECONNREFUSED") });
    await server.start();
    expect(await textOf(origin, "n", "/a")).toBe("höst");
    expect(eventsOf(told)).toEqual(["origin.up", "origin.down", "origin.up"]);
    expect(JSON.stringify(told.lines)).not.toContain("s3cret");
    expect(told.lines[0]?.fields).toEqual({ node: "node1", origin: "postgres", address: `127.0.0.1:${server.port}/postgres` });
  }, 60_000);
});
