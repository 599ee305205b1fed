import { afterEach, describe, expect, test } from "vitest";
import type { RedisAck, RedisQueueStorage } from "../../../src/adapters/redis/index.ts";
import { hasRedis, RedisServer, until } from "./redis-server.ts";
import { Bench, message, openStorage, storageAt } from "./support.ts";

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

  async function withReplica(): Promise<{ readonly primary: RedisServer; readonly replica: RedisServer }> {
    const primary = await serve("--repl-diskless-sync-delay", "0", "--appendonly", "yes", "--appendfsync", "always");
    const replica = await serve("--replicaof", "127.0.0.1", String(primary.port));
    await until(async () => String(await primary.ask("INFO", "replication")).includes("state=online"));
    return { primary, replica };
  }

  test("each produce may ask for its own, from the first on, whatever the node is set to", async () => {
    const { primary } = await withReplica();
    for (const usual of ["primary", "aof"] as const) {
      const { storage } = await storageAt(primary, { ack: usual });
      storages.push(storage);
      const b = new Bench(storage, 1);
      const asked = await Promise.all(
        (["replicas:1", "aof", "primary", undefined] as const).map(async (ack) => {
          const outcome = await b.submit(b.production([{}]), { timeoutMs: 10_000, ...(ack === undefined ? {} : { ack }) });
          return outcome.type === "answered" ? outcome.durability : JSON.stringify(outcome);
        }),
      );
      expect(asked).toEqual(["replicas:1", "aof", "primary", usual]);
      for (const ack of ["quorum", "memory"] as const) {
        expect(await b.submit(b.production([{}]), { timeoutMs: 10_000, ack })).toMatchObject({ result: { type: "malformed" } });
      }
    }
  });

  test("`aof` is not claimed where the file is not synced while it is written anew", async () => {
    const server = await serve("--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "yes");
    // From Redis 7.2 on the server says itself what it has synced.
    const isOld = /^redis_version:7\.0\./m.test(String(await server.ask("INFO", "server")));
    expect(await reached(server, "aof")).toEqual([isOld ? "primary" : "aof"]);
  });

  test.each<[RedisAck]>([["aof"], ["replicas:1"]])("a user that may not ask for %s is told once what it needs", async (ack) => {
    const { primary } = await withReplica();
    await primary
      .ask("ACL", "SETUSER", "blind", "on", ">secret", "~*", "&*", "+@all", "-wait", "-config", "-waitaof")
      .catch(() => primary.ask("ACL", "SETUSER", "blind", "on", ">secret", "~*", "&*", "+@all", "-wait", "-config"));
    const node = openStorage({ nodes: [{ host: "127.0.0.1", port: primary.port }], username: "blind", password: "secret" });
    storages.push(node.storage);
    await until(async () => node.storage.isUp);
    const b = new Bench(node.storage, 1);
    for (let time = 0; time < 2; time++) {
      expect(await b.submit(b.production([{}]), { timeoutMs: 10_000, ack })).toMatchObject({ type: "answered", durability: "primary" });
    }
    const told = node.telemetry.lines.filter(({ text }) => text.includes("grant it +wait"));
    expect(told).toMatchObject([{ level: "warn", event: "redis.settings" }]);
  });

  test("while no server answers, what is asked for more is refused as all is: at once", async () => {
    const server = await serve();
    const node = openStorage({ nodes: [{ host: "127.0.0.1", port: server.port }] });
    storages.push(node.storage);
    await until(async () => node.storage.isUp);
    await server.kill();
    await until(async () => !node.storage.isUp);
    const b = new Bench(node.storage, 1);
    const outcome = await b.submit(b.production([{}]), { timeoutMs: 60_000, ack: "replicas:1" });
    expect(outcome).toMatchObject({ type: "unavailable", code: "redis_unavailable" });
  });

  test("a repeat says of what it repeats what is so now, not what its own connection wrote", async () => {
    const { primary, replica } = await withReplica();
    const bench = async (): Promise<Bench> => {
      const { storage } = await storageAt(primary);
      storages.push(storage);
      return new Bench(storage, 1);
    };
    const [one, other] = [await bench(), await bench()];
    const idempotency = { key: "k", fingerprint: "f" };
    const repeats = [
      { production: one.production([message({ dedupId: "d" })]), options: { timeoutMs: 10_000 } },
      { production: one.production([message({})]), options: { timeoutMs: 10_000, idempotency } },
    ];
    // Each node's connections for it are there.
    for (const b of [one, other]) {
      expect(await b.submit(b.production([{}]), { timeoutMs: 10_000, ack: "replicas:1" })).toMatchObject({ durability: "replicas:1" });
    }
    replica.signal("SIGSTOP");
    for (const { options, production } of repeats) expect(await one.submit(production, options)).toMatchObject({ durability: "primary" });
    for (const { options, production } of repeats) {
      expect(await other.submit(production, { ...options, ack: "replicas:1" })).toMatchObject({ durability: "primary" });
    }
    replica.signal("SIGCONT");
    for (const { options, production } of repeats) {
      await until(async () => {
        const outcome = await other.submit(production, { ...options, ack: "replicas:1" });
        return outcome.type === "answered" && outcome.durability === "replicas:1";
      });
    }
    expect(await one.take()).toHaveLength(4);
  });
});
