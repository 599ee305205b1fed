import { MemoryTelemetry } from "@trivet/engine";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { NodeClock } from "../../../src/adapters/clock.ts";
import { RedisOrigin } from "../../../src/adapters/origins/index.ts";
import { NodeRandom } from "../../../src/adapters/random.ts";
import { defaultRedisOptions, type RedisOptions } from "../../../src/adapters/redis/index.ts";
import { RedisCluster } from "../redis/redis-cluster.ts";
import { hasRedis, RedisServer, until } from "../redis/redis-server.ts";
import { eventsOf, load, stampOf, textOf, write, written } from "./support.ts";

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

  test("a write puts the value where other programs find it, and its stamp beside it; bytes are bytes", async () => {
    const origin = await open("w:{key}");
    expect(await write(origin, written("a", "höst", 1), written("b", "\u0000\uffff", 2))).toEqual([
      { type: "written" },
      { type: "written" },
    ]);
    expect(String(await server.ask("GET", "w:a"))).toBe("höst");
    expect(await textOf(origin, "n", "b")).toBe("\u0000\uffff");
    expect(String(await server.ask("GET", "{w:a}:trivet-stamp"))).toMatch(/^\d{31}1$/);
  });

  test("a repeat, and a late write, change nothing: what is newer stays, and what is deleted stays deleted", async () => {
    const origin = await open("late:{key}");
    expect(await write(origin, written("k", "new", 12))).toEqual([{ type: "written" }]);
    expect(await write(origin, written("k", "old", 9))).toEqual([{ type: "newer", stamp: stampOf(12) }]);
    expect(await write(origin, written("k", "other", 12))).toEqual([{ type: "newer", stamp: stampOf(12) }]);
    expect(await textOf(origin, "n", "k")).toBe("new");
    expect(await write(origin, written("k", null, 13))).toEqual([{ type: "written" }]);
    expect(await write(origin, written("k", "old", 11))).toEqual([{ type: "newer", stamp: stampOf(13) }]);
    expect(await load(origin, "n", "k")).toEqual({ type: "absent" });
    expect(Number(await server.ask("PTTL", "{late:k}:trivet-stamp"))).toBeGreaterThan(500_000_000);
    expect(await write(origin, written("k", "again", 14))).toEqual([{ type: "written" }]);
    expect(await textOf(origin, "n", "k")).toBe("again");
    expect(Number(await server.ask("PTTL", "{late:k}:trivet-stamp"))).toBe(-1);
  });

  test("what would be the stamp of another key is neither read nor written", async () => {
    const origin = await open("{key}");
    expect(await write(origin, written("{a}", "v", 7), written("{a}:trivet-stamp", "w", 8))).toEqual([
      { type: "written" },
      { type: "refused", reason: expect.stringContaining("stamps") },
    ]);
    expect(String(await server.ask("GET", "{a}:trivet-stamp"))).toBe(stampOf(7));
    expect(await textOf(origin, "n", "{a}:trivet-stamp")).toBe("absent");
  });

  test("a write that Redis does not take is told apart from a Redis that is away", async () => {
    const origin = await open("{key}");
    await server.ask("LPUSH", "{bad}:trivet-stamp", "no stamp");
    expect(await write(origin, written("bad", "v", 1), written("good", "v", 2))).toEqual([
      { type: "refused", reason: expect.stringContaining("WRONGTYPE") },
      { type: "written" },
    ]);
    await server.kill();
    await until(async () => eventsOf(telemetry).includes("origin.down"));
    expect(await write(origin, written("good", "w", 3))).toMatchObject([{ type: "unreachable" }]);
    await server.start();
    await until(async () => (await write(origin, written("good", "w", 3)))[0]?.type === "written");
    for (const [key, value] of [
      ["pages:/a", "höst"],
      ["plain", "yes"],
    ] as const)
      await server.ask("SET", key, value);
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
      const names = [...keys, "{tag}:x", "{"];
      expect(await write(origin, ...names.map((key) => written(key, `new ${key}`, 1)))).toEqual(names.map(() => ({ type: "written" })));
      for (const key of names) expect(await textOf(origin, "n", key)).toBe(`new ${key}`);
      const without = ["no}tag", "{}"].map((key) => written(key, "v", 1));
      expect(await write(origin, ...without)).toMatchObject([{ type: "refused" }, { type: "refused" }]);
    } finally {
      await origin.close();
      await cluster.stop();
    }
  },
  60_000,
);
