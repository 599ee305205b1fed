import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/index.ts";
import { given } from "./given.ts";

const origins = (env: Record<string, string>): unknown => loadConfig(given({ env })).config.cache.origins;

test("without a word there is no origin", () => {
  expect(origins({})).toEqual({ timeoutMs: 2_000, redis: null, postgres: null });
});
test("a Redis of its own, or the one of the queues", () => {
  expect(origins({ CACHE_ORIGIN_REDIS_URL: "rediss://ann:s%20t@redis:6380/2", CACHE_ORIGIN_REDIS_KEY: "{key}" })).toMatchObject({
    redis: {
      server: { mode: "standalone", nodes: [{ host: "redis", port: 6_380 }], username: "ann", password: "s t", database: 2, tls: true },
      keyPattern: "{key}",
    },
  });
  expect(origins({ REDIS_NODES: "a,b" })).toMatchObject({ redis: { server: { mode: "cluster" }, keyPattern: "{namespace}:{key}" } });
  const { queues, cache } = loadConfig(given({ env: { REDIS_URL: "redis://a", QUEUE_BACKEND: "embedded" } })).config;
  expect([queues.redis, cache.origins.redis?.server.nodes]).toEqual([null, [{ host: "a", port: 6_379 }]]);
  const apart = loadConfig(given({ env: { CACHE_ORIGIN_REDIS_URL: "redis://a" } })).config;
  expect([apart.queues.backend, apart.queues.redis]).toEqual(["embedded", null]);
});
test("a PostgreSQL and how to ask it", () => {
  expect(origins({ CACHE_ORIGIN_POSTGRES_URL: "postgresql://db/shop" })).toMatchObject({
    postgres: {
      url: "postgresql://db/shop",
      query: expect.stringContaining("FROM trivet_cache"),
      write: expect.stringContaining("trivet_cache.stamp < EXCLUDED.stamp"),
    },
  });
  const query = "SELECT body FROM pages WHERE path = $1";
  expect(
    origins({
      CACHE_ORIGIN_POSTGRES_URL: "postgresql://db/shop",
      CACHE_ORIGIN_POSTGRES_QUERY: query,
      CACHE_ORIGIN_TIMEOUT_MS: "500",
    }),
  ).toMatchObject({ timeoutMs: 500, postgres: { url: "postgresql://db/shop", query } });
});
test("what tells a stamp fits the statement that writes: it is said beside one of one's own, or nothing does", () => {
  const url = { CACHE_ORIGIN_POSTGRES_URL: "postgresql://db/shop" };
  const write = { CACHE_ORIGIN_POSTGRES_WRITE: "INSERT INTO pages VALUES ($1, $3, $4)" };
  const stamp = { CACHE_ORIGIN_POSTGRES_STAMP: "SELECT stamp FROM pages WHERE path = $1" };
  expect(origins(url)).toMatchObject({ postgres: { stamp: expect.stringContaining("FROM trivet_cache") } });
  expect(origins({ ...url, ...write })).toMatchObject({ postgres: { stamp: "" } });
  expect(origins({ ...url, ...write, ...stamp })).toMatchObject({ postgres: { stamp: stamp.CACHE_ORIGIN_POSTGRES_STAMP } });
});

test.each([
  [{ CACHE_ORIGIN_REDIS_URL: "http://redis" }, "CACHE_ORIGIN_REDIS_URL"],
  [{ CACHE_ORIGIN_REDIS_URL: "redis://redis/first" }, "CACHE_ORIGIN_REDIS_URL"],
  [{ CACHE_ORIGIN_REDIS_KEY: "page" }, "CACHE_ORIGIN_REDIS_KEY"],
  [{ CACHE_ORIGIN_POSTGRES_QUERY: "SELECT 1" }, "CACHE_ORIGIN_POSTGRES_QUERY"],
  [{ CACHE_ORIGIN_POSTGRES_URL: "mysql://db/shop" }, "CACHE_ORIGIN_POSTGRES_URL"],
  [{ CACHE_ORIGIN_POSTGRES_URL: "postgresql://db", CACHE_ORIGIN_POSTGRES_QUERY: "SELECT $10" }, "CACHE_ORIGIN_POSTGRES_QUERY"],
  [{ CACHE_ORIGIN_POSTGRES_WRITE: "INSERT INTO pages VALUES ($1, $3)" }, "CACHE_ORIGIN_POSTGRES_WRITE"],
  [{ CACHE_ORIGIN_POSTGRES_WRITE: "INSERT INTO pages VALUES ($1, $3, $4, $5)" }, "CACHE_ORIGIN_POSTGRES_WRITE"],
  [{ CACHE_ORIGIN_POSTGRES_STAMP: "SELECT stamp FROM pages" }, "CACHE_ORIGIN_POSTGRES_STAMP"],
  [{ CACHE_ORIGIN_POSTGRES_STAMP: "SELECT stamp FROM pages WHERE path = $1 AND site = $3" }, "CACHE_ORIGIN_POSTGRES_STAMP"],
])("%j is refused and names %s", (env, name) => {
  expect(() => loadConfig(given({ env }))).toThrow(name);
});
