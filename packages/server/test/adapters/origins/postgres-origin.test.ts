import { MemoryTelemetry } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PostgresOrigin } from "../../../src/adapters/origins/index.ts";
import { until } from "../redis/redis-server.ts";
import { hasPostgres, PostgresServer } from "./postgres-server.ts";
import { eventsOf, load, textOf } from "./support.ts";

describe.skipIf(!hasPostgres)("PostgreSQL as an origin", () => {
  let server: PostgresServer;
  const opened: PostgresOrigin[] = [];
  const telemetry = new MemoryTelemetry();
  function open(query: string, timeoutMs = 5_000, told = telemetry): PostgresOrigin {
    const origin = new PostgresOrigin({ url: server.url, query, timeoutMs, node: "node1" }, told);
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
