import { MemoryQueueDirectory, QueueService, queuesConformance, type TestApi } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NodeClock } from "../../../src/adapters/clock.ts";
import { hasRedis, RedisServer } from "./redis-server.ts";
import { storageAt } from "./support.ts";
import type { RedisQueueStorage } from "../../../src/adapters/redis/index.ts";

describe.skipIf(!hasRedis)("queues on Redis", () => {
  const clock = new NodeClock();
  let server: RedisServer;
  let storage: RedisQueueStorage;
  let queues: QueueService;

  beforeAll(async () => {
    server = await RedisServer.start();
    storage = (await storageAt(server)).storage;
    queues = new QueueService({ clock, storage, directory: new MemoryQueueDirectory(clock) });
  }, 60_000);
  afterAll(async () => {
    await storage.close();
    await server.stop();
  });

  const api: TestApi = {
    test: (name, body) => test(name, body),
    equal: (actual, expected) => expect(actual).toEqual(expected),
    ok: (condition, what) => expect(condition, what).toBe(true),
  };
  queuesConformance(api, { ifFence: false }, async () => ({
    queues,
    sleep: (ms) => new Promise((resolve) => void clock.schedule(ms, resolve)),
    wallNow: () => clock.wallNow(),
  }));
});
