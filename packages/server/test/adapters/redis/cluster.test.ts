import { MemoryQueueDirectory, QueueService, queuesConformance, type TestApi } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NodeClock } from "../../../src/adapters/clock.ts";
import type { RedisQueueStorage } from "../../../src/adapters/redis/index.ts";
import { scripts } from "../../../src/adapters/redis/requests.ts";
import { RedisCluster } from "./redis-cluster.ts";
import { hasRedis, until } from "./redis-server.ts";
import { Bench, openStorage, type Opened } from "./support.ts";

describe.skipIf(!hasRedis)("queues on a Redis Cluster of three nodes", () => {
  const clock = new NodeClock();
  let cluster: RedisCluster;
  let node: Opened;
  let storage: RedisQueueStorage;
  let queues: QueueService;

  beforeAll(async () => {
    cluster = await RedisCluster.start(3);
    node = openStorage({ mode: "cluster", nodes: cluster.nodes });
    storage = node.storage;
    await until(async () => storage.isUp);
    queues = new QueueService({ clock, storage, directory: new MemoryQueueDirectory(clock) });
  }, 60_000);
  afterAll(async () => {
    await storage.close();
    await cluster.stop();
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

  const partitions = 24;
  /** What became of one produce into every partition. */
  async function everywhere(b: Bench): Promise<string[]> {
    const all = Array.from({ length: partitions }, (_, partition) => b.submit(b.production([{}], { partition }), { timeoutMs: 2000 }));
    return (await Promise.all(all)).map((outcome) => (outcome.type === "unavailable" ? outcome.code : outcome.type));
  }

  test("the partitions of a queue are spread over the nodes, each whole on one", async () => {
    const b = new Bench(storage, 90_001, { partitions });
    expect(new Set(await everywhere(b))).toEqual(new Set(["answered"]));
    for (const server of cluster.servers) {
      const keys = (await server.ask("KEYS", "q:{orders-90001:*}*")) as string[];
      const whole = new Set(keys.filter((key) => key.endsWith("}")).map((key) => key.slice(0, -1)));
      expect(whole.size).toBeGreaterThan(0);
      for (const key of keys) expect(whole.has(key.slice(0, key.indexOf("}")))).toBe(true);
    }
  });

  test("every node knows the scripts before the first command of a new connection", async () => {
    for (const server of cluster.servers) await server.ask("SCRIPT", "FLUSH");
    const { storage: late } = openStorage({ mode: "cluster", nodes: cluster.nodes });
    await until(async () => late.isUp);
    expect(new Set(await everywhere(new Bench(late, 90_004, { partitions })))).toEqual(new Set(["answered"]));
    for (const server of cluster.servers) expect(await server.ask("SCRIPT", "EXISTS", scripts.redrive.hash)).toEqual([1]);
    await late.close();
  });

  test("while one node is away its partitions say so, the others work, and all work when it is back", async () => {
    const b = new Bench(storage, 90_002, { partitions });
    const [, , third] = cluster.servers;
    if (third === undefined) throw new Error("three nodes were started");
    await third.kill();
    await until(async () => !storage.isUp);
    const outcomes = await until(async () => {
      const found = new Set(await everywhere(b));
      return found.size === 2 && !found.has("unknown") && found;
    });
    expect(outcomes).toEqual(new Set(["answered", "redis_unavailable"]));
    await third.start();
    await until(async () => storage.isUp && (await everywhere(b)).every((outcome) => outcome === "answered"));
    const events = node.telemetry.lines.map(({ event }) => event);
    expect(events.filter((event) => event !== "redis.settings")).toEqual(["redis.up", "redis.down", "redis.up"]);
  });

  test("a node that says nothing any more keeps the others from nothing for long", async () => {
    const b = new Bench(storage, 90_003, { partitions });
    const [, second] = cluster.servers;
    if (second === undefined) throw new Error("three nodes were started");
    second.signal("SIGSTOP");
    await until(async () => !storage.isUp);
    await until(async () => (await everywhere(b)).filter((outcome) => outcome === "answered").length > partitions / 3);
    second.signal("SIGCONT");
    await until(async () => storage.isUp && (await everywhere(b)).every((outcome) => outcome === "answered"));
  });
});
