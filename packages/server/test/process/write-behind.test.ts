import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { loadConfig, startNode } from "../../src/index.ts";
import { hasPostgres, PostgresServer } from "../adapters/origins/postgres-server.ts";
import { hasRedis, RedisServer, until } from "../adapters/redis/redis-server.ts";
import { given } from "../config/given.ts";

type Answer = { readonly status: number; readonly json: Record<string, unknown> };

describe.skipIf(!hasPostgres || !hasRedis)("a node that writes behind to a Redis and a PostgreSQL", () => {
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });

  test("answers at once, writes there afterwards, keeps what it cannot write over a restart, and refuses when too much waits", async () => {
    const redis = await RedisServer.start();
    ends.push(() => redis.stop());
    const postgres = await PostgresServer.start();
    ends.push(() => postgres.stop());
    await postgres.ask(
      "CREATE TABLE trivet_cache (namespace text, key text, value bytea, stamp numeric(32), PRIMARY KEY (namespace, key))",
    );
    const folder = mkdtempSync(join(tmpdir(), "trivet-behind-"));
    ends.push(() => rmSync(folder, { recursive: true, force: true }));
    const env = {
      NODE_ID: "node1",
      HTTP_PORT: "0",
      DATA_DIR: join(folder, "data"),
      LOG_DIR: "off",
      CACHE_ORIGIN_REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      CACHE_ORIGIN_POSTGRES_URL: postgres.url,
    };
    let node = await startNode(loadConfig(given({ env })).config, { write: () => undefined });
    ends.push(() => node.stop());
    const call = async (method: string, path: string, body?: unknown): Promise<Answer> => {
      const content = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
      const answer = await fetch(`http://127.0.0.1:${node.port}${path}`, { method, ...content });
      return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
    };
    const stored = async (key: string): Promise<string | null> => {
      const rows = await postgres.ask("SELECT convert_from(value, 'UTF8') AS text FROM trivet_cache WHERE key = $1", [key]);
      return (rows[0] as { readonly text: string | null } | undefined)?.text ?? null;
    };
    const settings = { write: "behind", max_behind: 1 };
    await until(async () => (await call("PUT", "/v1/cache-namespaces/sessions", { origin: "redis", ...settings })).status < 300);
    expect(await call("PUT", "/v1/cache-namespaces/rows", { origin: "postgres", ...settings })).toMatchObject({
      json: { settings: { origin: "postgres", write: "behind", max_behind: 1 } },
    });
    expect(await call("PUT", "/v1/cache-namespaces/wrong", { write: "behind" })).toMatchObject({ status: 400 });

    // Shards may have no leader yet.
    await until(async () => (await call("PUT", "/v1/cache/s1?namespace=sessions", { value: { user: "ann" } })).status === 200);
    await until(async () => (await call("PUT", "/v1/cache/r1?namespace=rows", { value: [1, 2] })).status === 200);
    await until(async () => (await stored("r1")) === "[1,2]");
    await until(async () => String(await redis.ask("GET", "sessions:s1")) === '{"user":"ann"}');
    expect(await call("DELETE", "/v1/cache/s1?namespace=sessions")).toMatchObject({ status: 200, json: { deleted: true } });
    await until(async () => (await redis.ask("GET", "sessions:s1")) === null);

    await redis.kill();
    await postgres.kill();
    expect(await call("PUT", "/v1/cache/r1?namespace=rows", { value: "later" })).toMatchObject({ status: 200 });
    const explained = await call("GET", "/v1/cache/r1?namespace=rows&explain=1");
    expect(explained).toMatchObject({ status: 200, json: { behind: { deleted: false, version: expect.any(String) } } });
    await until(
      async () => ((await call("GET", "/v1/cache-state")).json["statistics"] as { readonly behind_keys: number }).behind_keys === 1,
    );
    const refused = await until(async () => {
      for (let at = 0; at < 100; at++) {
        const answer = await call("PUT", `/v1/cache/other${at}?namespace=rows`, { value: 1 });
        if (answer.status !== 200) return answer;
      }
      return null;
    });
    expect(refused).toMatchObject({ status: 503, json: { code: "origin_behind", retryable: true, max: 1 } });
    const numbers = await (await fetch(`http://127.0.0.1:${node.port}/v1/metrics`)).text();
    expect(numbers).toMatch(/^cache_behind_keys [1-9]/m);
    expect(numbers).toMatch(/^cache_behind_writes_total\{origin="postgres",outcome="unreachable"\} [1-9]/m);
    expect([...node.metrics.unknown]).toEqual([]);

    await node.stop();
    await postgres.start();
    await redis.start();
    expect(await stored("r1")).toBe("[1,2]");
    node = await startNode(loadConfig(given({ env })).config, { write: () => undefined });
    await until(async () => (await stored("r1")) === '"later"');
    await until(
      async () => ((await call("GET", "/v1/cache-state")).json["statistics"] as { readonly behind_keys: number }).behind_keys === 0,
    );
    expect(await call("GET", "/v1/cache/r1?namespace=rows&explain=1")).toMatchObject({ json: { behind: null } });
    expect(await call("GET", "/v1/cache/r1?namespace=rows")).toMatchObject({ status: 200, json: { value: "later" } });
  }, 120_000);
});
