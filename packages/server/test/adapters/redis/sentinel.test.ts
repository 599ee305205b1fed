import { writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { freePort, hasRedis, RedisServer, until } from "./redis-server.ts";
import { Bench, openStorage, type Opened } from "./support.ts";

describe.skipIf(!hasRedis)("Redis behind sentinels", () => {
  const servers: RedisServer[] = [];
  const opened: Opened[] = [];
  afterEach(async () => {
    for (const { storage } of opened.splice(0)) await storage.close();
    for (const server of servers.splice(0)) await server.stop();
  });

  test("a fail-over is followed, told once, and what the replica had is there", async () => {
    const primary = await RedisServer.start(["--repl-diskless-sync-delay", "0"]);
    servers.push(primary);
    const replica = await RedisServer.start(["--replicaof", "127.0.0.1", String(primary.port)]);
    servers.push(replica);
    await until(async () => String(await primary.ask("INFO", "replication")).includes("state=online"));
    const sentinel = new RedisServer(await freePort(), ["--sentinel"]);
    servers.push(sentinel);
    writeFileSync(sentinel.file("sentinel.conf"), "");
    await sentinel.start();
    await sentinel.ask("SENTINEL", "MONITOR", "queues", "127.0.0.1", String(primary.port), "1");
    await sentinel.ask("SENTINEL", "SET", "queues", "down-after-milliseconds", "500");
    await until(async () => ((await sentinel.ask("SENTINEL", "REPLICAS", "queues")) as unknown[]).length === 1);

    // One of the sentinels that are named does not exist: the others are asked.
    const nodes = [await freePort(), sentinel.port].map((port) => ({ host: "127.0.0.1", port }));
    const node = openStorage({ mode: "sentinel", nodes, primaryName: "queues", ack: "replicas:1" });
    opened.push(node);
    await until(async () => node.storage.isUp);
    const b = new Bench(node.storage, 1);
    const told: number[] = [];
    await until(async () => {
      const outcome = await b.submit(b.production([{ dedupId: "first" }]));
      return outcome.type === "answered" && outcome.durability === "replicas:1";
    });
    expect(await b.take()).toEqual([1]);
    await b.answer({ type: "create-group", queue: 1, partition: 0, group: "h", start: { type: "earliest" } });
    // Answered, and there: WAIT of another produce confirms all that went before.
    await until(async () => {
      const outcome = await b.submit(b.production([{ dedupId: "second" }]));
      return outcome.type === "answered" && outcome.durability === "replicas:1";
    });
    node.storage.watchReady((queue) => void told.push(queue));

    await primary.kill();
    await until(async () => !node.storage.isUp);
    await until(async () => node.storage.isUp);
    await until(async () => (await b.submit(b.production([{ dedupId: "third" }]))).type === "answered");
    const [third = 0] = await b.produce({ dedupId: "third" });
    expect(third).toBeGreaterThan(2);
    expect(await b.settle("ack", 1)).toBe("settled");
    expect(await b.take()).toEqual([2, third]);
    expect(await b.take(10, { group: "h" })).toEqual([1, 2, third]);
    const events = node.telemetry.lines.map(({ event }) => event).filter((event) => event !== "redis.settings");
    expect(events.slice(-2)).toEqual(["redis.down", "redis.up"]);
    await until(async () => told.includes(-1));
  });
});
