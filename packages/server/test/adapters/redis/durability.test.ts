import { afterEach, describe, expect, test } from "vitest";
import type { RedisAck, RedisQueueStorage } from "../../../src/adapters/redis/index.ts";
import { hasRedis, RedisServer, until } from "./redis-server.ts";
import { Bench, storageAt } from "./support.ts";

describe.skipIf(!hasRedis)("the durability of a produce on Redis", () => {
  const servers: RedisServer[] = [];
  const storages: RedisQueueStorage[] = [];
  afterEach(async () => {
    for (const storage of storages.splice(0)) await storage.close();
    for (const server of servers.splice(0)) await server.stop();
  });
  async function serve(...args: string[]): Promise<RedisServer> {
    const server = await RedisServer.start(args);
    servers.push(server);
    return server;
  }
  async function reached(server: RedisServer, ack: RedisAck): Promise<readonly string[]> {
    const { storage } = await storageAt(server, { ack });
    storages.push(storage);
    const b = new Bench(storage, 1);
    // The connection for confirmed writes is another one than that which is up already.
    await until(async () => (await b.submit(b.production([{}]))).type === "answered");
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => b.submit(b.production([{}]))));
    return [...new Set(outcomes.map((outcome) => (outcome.type === "answered" ? outcome.durability : outcome.type)))];
  }

  test("`aof` is reached where the file is synced before the answer, and not claimed where it is not", async () => {
    const always = await serve("--appendonly", "yes", "--appendfsync", "always");
    expect(await reached(always, "aof")).toEqual(["aof"]);
    expect(await reached(always, "primary")).toEqual(["primary"]);
    expect(await reached(await serve("--appendonly", "no"), "aof")).toEqual(["primary"]);
  });

  test("`replicas:n` says how many replicas have it, also when they are fewer", async () => {
    const primary = await serve("--repl-diskless-sync-delay", "0");
    expect(await reached(primary, "replicas:1")).toEqual(["primary"]);
    await serve("--replicaof", "127.0.0.1", String(primary.port));
    await until(async () => String(await primary.ask("INFO", "replication")).includes("state=online"));
    expect(await reached(primary, "replicas:1")).toEqual(["replicas:1"]);
    expect(await reached(primary, "replicas:2")).toEqual(["replicas:1"]);
  });
});
