import { expect, test } from "vitest";
import { loadConfig } from "../../src/config/index.ts";
import { given } from "./given.ts";

const redis = (env: Record<string, string>): unknown => loadConfig(given({ env })).config.queues.redis;

test("where Redis is: the URL's parts, with the other settings before them", () => {
  expect(redis({ REDIS_URL: "rediss://ann:secret@redis:6380/2" })).toMatchObject({
    mode: "standalone",
    nodes: [{ host: "redis", port: 6_380 }],
    username: "ann",
    password: "secret",
    database: 2,
    tls: true,
    ack: "primary",
  });
  expect(redis({ REDIS_URL: "redis://redis:6380/2", REDIS_DB: "3", REDIS_PASSWORD: "other" })).toMatchObject({
    database: 3,
    password: "other",
  });
  expect(redis({ REDIS_NODES: "a:1,b,[::1]:3", REDIS_ACK: "replicas:2" })).toMatchObject({
    mode: "cluster",
    nodes: [
      { host: "a", port: 1 },
      { host: "b", port: 6_379 },
      { host: "::1", port: 3 },
    ],
    ack: "replicas:2",
  });
  expect(
    redis({ REDIS_NODES: "a,b", REDIS_MODE: "sentinel", REDIS_SENTINEL_USERNAME: "ann", REDIS_SENTINEL_PASSWORD: "pw" }),
  ).toMatchObject({
    mode: "sentinel",
    primaryName: "mymaster",
    username: "",
    password: "",
    sentinelUsername: "ann",
    sentinelPassword: "pw",
  });
});
test.each([
  [{ REDIS_URL: "http://redis" }, "REDIS_URL"],
  [{ REDIS_URL: "redis://a", REDIS_HOST: "b" }, "REDIS_HOST"],
  [{ REDIS_NODES: "a:b:c" }, "REDIS_NODES"],
  [{ REDIS_NODES: "a,b", REDIS_MODE: "standalone" }, "REDIS_MODE"],
  [{ REDIS_NODES: "a,b", REDIS_DB: "1" }, "REDIS_DB"],
  [{ REDIS_HOST: "a", REDIS_ACK: "all" }, "REDIS_ACK"],
])("%j is refused and names %s", (env, name) => {
  expect(() => loadConfig(given({ env }))).toThrow(name);
});
