import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { loadConfig, startNode } from "../../src/index.ts";
import { hasPostgres, PostgresServer } from "../adapters/origins/postgres-server.ts";
import { hasRedis, RedisServer, until } from "../adapters/redis/redis-server.ts";
import { given } from "../config/given.ts";

describe.skipIf(!hasPostgres || !hasRedis)("a node before a Redis and a PostgreSQL", () => {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });

  test("reads through to both, keeps what it read, and says which origin is away", async () => {
    const redis = await RedisServer.start();
    ends.push(() => redis.stop());
    await redis.ask("SET", "sessions:s1", '{"user":"ann"}');
    const postgres = await PostgresServer.start();
    ends.push(() => postgres.stop());
    await postgres.ask("CREATE TABLE pages (path text PRIMARY KEY, body text)");
    await postgres.ask("INSERT INTO pages VALUES ('/a', 'hello')");

    const folder = mkdtempSync(join(tmpdir(), "trivet-origins-"));
    ends.push(() => rmSync(folder, { recursive: true, force: true }));
    const env = {
      NODE_ID: "node1",
      HTTP_PORT: "0",
      DATA_DIR: join(folder, "data"),
      LOG_DIR: "off",
      CACHE_ORIGIN_REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      CACHE_ORIGIN_POSTGRES_URL: postgres.url,
      CACHE_ORIGIN_POSTGRES_QUERY: "SELECT body FROM pages WHERE path = $1",
    };
    const node = await startNode(loadConfig(given({ env })).config, { write: () => undefined });
    ends.push(() => node.stop());
    const call = async (method: string, path: string, body?: unknown): Promise<{ readonly status: number; readonly json: unknown }> => {
      const content = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
      const answer = await fetch(`http://127.0.0.1:${node.port}${path}`, { method, ...content });
      return { status: answer.status, json: await answer.json() };
    };
    await until(async () => (await call("PUT", "/v1/cache-namespaces/sessions", { origin: "redis", ttl_ms: 60_000 })).status < 300);
    expect(await call("PUT", "/v1/cache-namespaces/pages", { origin: "postgres", ttl_ms: 60_000 })).toMatchObject({
      json: { settings: { origin: "postgres" } },
    });

    // Shards are led a moment after group 0.
    await until(async () => (await call("GET", "/v1/cache/nobody?namespace=sessions")).status !== 503);
    const session = await call("GET", "/v1/cache/s1?namespace=sessions");
    expect(session).toMatchObject({ status: 200, json: { value: { user: "ann" }, source: "origin" } });
    const page = `/v1/cache/${encodeURIComponent("/a")}?namespace=pages`;
    expect(await call("GET", page)).toMatchObject({ status: 200, json: { source: "origin" } });
    expect(await call("GET", "/v1/cache/other?namespace=pages")).toMatchObject({ status: 200, json: { found: "negative" } });

    await redis.ask("SET", "sessions:s2", "2");
    const warm = { namespace: "sessions", keys: ["s1", "s2", "nobody"] };
    expect(await call("POST", "/v1/cache-warm", warm)).toEqual({
      status: 200,
      json: { namespace: "sessions", loaded: 1, stored: 1, absent: 1, failed: [] },
    });
    expect(await call("POST", "/v1/cache-warm", warm)).toMatchObject({ json: { loaded: 0, stored: 2, absent: 1 } });
    await call("PUT", "/v1/cache-namespaces/brief", { origin: "redis", ttl_ms: 30, revalidate_ms: 60_000 });
    await redis.ask("SET", "brief:b", "1");
    expect(await call("GET", "/v1/cache/b?namespace=brief")).toMatchObject({ json: { value: 1, source: "origin" } });
    await redis.ask("SET", "brief:b", "2");
    const stale = await until(async () => {
      const { json } = await call("GET", "/v1/cache/b?namespace=brief");
      return (json as { readonly stale?: boolean }).stale === true ? json : null;
    });
    expect(stale).toMatchObject({ found: "value", stale: true });
    await until(async () => ((await call("GET", "/v1/cache/b?namespace=brief")).json as { readonly value: number }).value === 2);

    await redis.kill();
    await postgres.kill();
    expect(await call("POST", "/v1/cache-warm", { namespace: "sessions", keys: ["s1", "never seen"] })).toMatchObject({
      status: 200,
      json: { stored: 1, failed: [{ key: "never seen", code: "origin_unavailable" }] },
    });
    expect(await call("POST", "/v1/cache-warm", { namespace: "sessions", keys: ["never seen"] })).toMatchObject({ status: 503 });
    expect(await call("GET", "/v1/cache/s1?namespace=sessions")).toMatchObject({ status: 200, json: { value: { user: "ann" } } });
    expect(await call("GET", page)).toMatchObject({ status: 200 });
    for (const namespace of ["sessions", "pages"]) {
      const away = await call("GET", `/v1/cache/unknown?namespace=${namespace}`);
      expect(away).toMatchObject({ status: 503, json: { code: "origin_unavailable" } });
    }
    const numbers = await (await fetch(`http://127.0.0.1:${node.port}/v1/metrics`)).text();
    expect(numbers).toMatch(/^cache_origin_loads_total\{origin="redis",outcome="value"\} [1-9]/m);
    expect(numbers).toMatch(/^cache_origin_loads_total\{origin="postgres",outcome="absent"\} 1$/m);
    expect([...node.metrics.unknown]).toEqual([]);
  }, 120_000);
});
