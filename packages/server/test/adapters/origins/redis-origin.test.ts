import { MemoryTelemetry } from "@trivet/engine";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { NodeClock } from "../../../src/adapters/clock.ts";
import { RedisOrigin } from "../../../src/adapters/origins/index.ts";
import { NodeRandom } from "../../../src/adapters/random.ts";
import { defaultRedisOptions, type RedisOptions } from "../../../src/adapters/redis/index.ts";
import { RedisCluster } from "../redis/redis-cluster.ts";
import { hasRedis, RedisServer, until } from "../redis/redis-server.ts";
import { eventsOf, load, textOf } from "./support.ts";

describe.skipIf(!hasRedis)("Redis as an origin", () => {
  let server: RedisServer;
  let telemetry: MemoryTelemetry;
  const opened: RedisOrigin[] = [];
  async function open(pattern: string, options: Partial<RedisOptions> = {}): Promise<RedisOrigin> {
    telemetry = new MemoryTelemetry();
    const all = { ...defaultRedisOptions, node: "node1", nodes: [{ host: "127.0.0.1", port: server.port }], ...options };
    const origin = new RedisOrigin(all, pattern, 1_000, { clock: new NodeClock(), random: new NodeRandom(), telemetry });
    opened.push(origin);
    expect(eventsOf(telemetry)).toEqual([]);
    expect(await load(origin, "any", "unknown")).toEqual({ type: "absent" });
    expect(eventsOf(telemetry)).toEqual(["origin.up"]);
    return origin;
  }
  beforeAll(async () => {
    server = await RedisServer.start();
    await server.ask("SET", "pages:/a", "höst");
    await server.ask("SET", "plain", "yes");
    await server.ask("LPUSH", "pages:list", "no");
  });
  afterEach(async () => {
    for (const origin of opened.splice(0)) await origin.close();
  });
  afterAll(() => server.stop());

  test("a value is the string of the key that the pattern makes; a key that is not there is nothing", async () => {
    const origin = await open("{namespace}:{key}");
    expect(await textOf(origin, "pages", "/a")).toBe("höst");
    expect(await load(origin, "other", "/a")).toEqual({ type: "absent" });
    const plain = await open("{key}");
    expect(await textOf(plain, "pages", "plain")).toBe("yes");
    expect(await textOf(plain, "pages", "{namespace}")).toBe("absent");
    expect(await load(await open("{key}", { database: 3 }), "pages", "plain")).toEqual({ type: "absent" });
  });

  test("something else than a string fails with what Redis says", async () => {
    const origin = await open("{namespace}:{key}");
    expect(await load(origin, "pages", "list")).toMatchObject({ type: "failed", reason: expect.stringContaining("WRONGTYPE") });
  });

  test("a server that goes and comes back is told once each; meanwhile loads fail at once", async () => {
    const origin = await open("{key}");
    await server.kill();
    await until(async () => eventsOf(telemetry).includes("origin.down"));
    expect(await load(origin, "pages", "plain")).toMatchObject({ type: "failed" });
    await server.start();
    await until(async () => eventsOf(telemetry).length === 3);
    expect(await load(origin, "pages", "plain")).toEqual({ type: "absent" });
    expect(eventsOf(telemetry)).toEqual(["origin.up", "origin.down", "origin.up"]);
  });
});

test.skipIf(!hasRedis)(
  "a Redis Cluster as an origin: each key is read on the node that has it, also after its slot has moved",
  async () => {
    const cluster = await RedisCluster.start(3);
    const options = { ...defaultRedisOptions, node: "node1", mode: "cluster", nodes: cluster.nodes } as const;
    const tools = { clock: new NodeClock(), random: new NodeRandom(), telemetry: new MemoryTelemetry() };
    const origin = new RedisOrigin(options, "{key}", 5_000, tools);
    try {
      const keys = Array.from({ length: 12 }, (_, at) => `k${at}`);
      for (const key of keys) await (await cluster.ownerOf(await cluster.slotOf(key))).ask("SET", key, `value of ${key}`);
      for (const key of keys) expect(await textOf(origin, "n", key)).toBe(`value of ${key}`);
      const slot = await cluster.slotOf("k0");
      const from = await cluster.ownerOf(slot);
      const to = cluster.servers.find((server) => server !== from);
      if (to === undefined) throw new Error("no other server");
      await cluster.move(slot, to);
      expect(await textOf(origin, "n", "k0")).toBe("value of k0");
    } finally {
      await origin.close();
      await cluster.stop();
    }
  },
  60_000,
);
