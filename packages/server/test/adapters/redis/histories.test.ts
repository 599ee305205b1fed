import type { HandedOut, SettleOutcome } from "@trivet/wire";
import { afterEach, describe, expect, test } from "vitest";
import { hasRedis, RedisServer, until } from "./redis-server.ts";
import { Bench, type Opened, storageAt } from "./support.ts";

async function settled(b: Bench, held: readonly HandedOut[]): Promise<readonly SettleOutcome[]> {
  const receipts = held.map(({ acquired, incarnation, partition, sequence }) => ({ acquired, incarnation, partition, sequence }));
  const how = { group: "g", settlement: "ack", delayMs: -1, reason: "" } as const;
  const result = await b.answer({ type: "settle", queue: b.queue, ...how, receipts });
  if (result.type !== "settled") throw new Error(JSON.stringify(result));
  return result.outcomes;
}
const sequences = (held: readonly HandedOut[]): number[] => held.map(({ sequence }) => sequence);

async function offsetOf(server: RedisServer): Promise<string> {
  const about = String(await server.ask("INFO", "replication"));
  return /^(?:slave|master)_repl_offset:(\d+)/m.exec(about)?.[1] ?? "";
}

/** As a fail-over makes it: from here on it is a primary, and hears nothing of the former one. */
async function promote(replica: RedisServer, primary: RedisServer): Promise<void> {
  await until(async () => {
    const about = String(await replica.ask("INFO", "replication"));
    return about.includes("master_link_status:up") && (await offsetOf(replica)) === (await offsetOf(primary));
  });
  await replica.ask("REPLICAOF", "NO", "ONE");
}

describe.skipIf(!hasRedis)("a Redis that goes on without the last steps of the one before", () => {
  const servers: RedisServer[] = [];
  const opened: Opened[] = [];
  afterEach(async () => {
    for (const { storage } of opened.splice(0)) await storage.close();
    for (const server of servers.splice(0)) await server.stop();
  });
  async function serve(...args: string[]): Promise<RedisServer> {
    const server = await RedisServer.start(args);
    servers.push(server);
    return server;
  }
  async function benchAt(server: RedisServer): Promise<Bench> {
    const one = await storageAt(server);
    opened.push(one);
    return new Bench(one.storage, 1);
  }
  const primaryServer = (): Promise<RedisServer> => serve("--repl-diskless-sync-delay", "0");
  /** Attached: the first one gives the primary a history of its own. */
  async function replicaOf(primary: RedisServer): Promise<RedisServer> {
    const replica = await serve("--replicaof", "127.0.0.1", String(primary.port));
    const line = new RegExp(`^slave\\d+:ip=[^,]*,port=${replica.port},state=online`, "m");
    await until(async () => line.test(String(await primary.ask("INFO", "replication"))));
    return replica;
  }

  test("gives none of their numbers again, and takes no receipt of a hand-out that it has not made", async () => {
    const primary = await primaryServer();
    const replica = await replicaOf(primary);
    const before = await benchAt(primary);
    expect(await before.produce({})).toEqual([1]);
    await promote(replica, primary);
    // Acknowledged, and lost with the primary: a message, and two hand-outs.
    const [lost = 0] = await before.produce({});
    const held = await before.consume({ consumer: "former" });
    expect(sequences(held)).toEqual([1, lost]);

    const after = await benchAt(replica);
    const [fresh = 0] = await after.produce({});
    expect(fresh).toBeGreaterThan(lost);
    const again = await after.consume({ consumer: "next" });
    expect(sequences(again)).toEqual([1, fresh]);
    // The first of them is of the same message, hand-out number and group.
    expect(again[0]).toMatchObject({ sequence: 1, acquired: held[0]?.acquired });
    expect(await settled(after, held)).not.toContain("settled");
    expect(await settled(after, again)).toEqual(["settled", "settled"]);
  });

  test("also of a partition that nothing had been put into when the last was heard of the one before", async () => {
    const primary = await primaryServer();
    const replica = await replicaOf(primary);
    const before = await benchAt(primary);
    await before.answer({ type: "create-group", queue: before.queue, partition: 0, group: "g", start: { type: "earliest" } });
    await promote(replica, primary);
    const lost = await before.produce({});
    const held = await before.consume({ consumer: "former" });
    expect([lost, sequences(held)]).toEqual([[1], [1]]);
    const after = await benchAt(replica);
    const fresh = await after.produce({});
    expect(fresh).not.toEqual(lost);
    const again = await after.consume({ consumer: "next" });
    expect(sequences(again)).toEqual(fresh);
    expect(await settled(after, held)).not.toContain("settled");
    expect(await settled(after, again)).toEqual(["settled"]);
  });

  test("also when it is the second one: numbers of the first successor, lost as well, do not come again", async () => {
    const primary = await primaryServer();
    const replicas = [await replicaOf(primary), await replicaOf(primary)];
    const before = await benchAt(primary);
    await before.produce({});
    for (const replica of replicas) await promote(replica, primary);
    const seen = await before.produce({}, {});
    for (const replica of replicas) {
      const after = await benchAt(replica);
      const held = await after.consume({ consumer: "c" });
      expect(sequences(held)).toEqual([1]);
      seen.push(...(await after.produce({}, {})));
    }
    expect(new Set(seen).size).toBe(6);
  });

  test("also when the clocks of both successors are behind: they know the same, and go on apart", async () => {
    const primary = await primaryServer();
    const replicas = [await replicaOf(primary), await replicaOf(primary)];
    const before = await benchAt(primary);
    await before.produce({});
    // The former primary's clock was an hour ahead.
    await primary.ask("HSET", "q:{orders-1:0}", "now", String(Date.now() + 3_600_000));
    for (const replica of replicas) await promote(replica, primary);
    const [first, second] = (await Promise.all(replicas.map(benchAt))) as [Bench, Bench];
    const held = await first.consume({ consumer: "c" });
    const again = await second.consume({ consumer: "d" });
    expect([sequences(held), sequences(again)]).toEqual([[1], [1]]);
    expect(await settled(second, held)).toEqual(["unknown"]);
    expect(await settled(second, again)).toEqual(["settled"]);
    const seen = await Promise.all([first, second].map((b) => b.produce({}, {}, {})));
    expect(new Set(seen.flat()).size).toBe(6);
  });

  test("also when its name could not be asked for at first: that is not taken for the first one", async () => {
    const server = await serve();
    const rules = ["on", ">secret", "~*", "&*", "+@all"];
    await server.ask("ACL", "SETUSER", "blind", ...rules, "-info");
    const blind = await storageAt(server, { username: "blind", password: "secret" });
    opened.push(blind);
    const b = new Bench(blind.storage, 1);
    expect(await b.produce({}, {})).toEqual([1, 2]);
    const held = await b.consume({ maxMessages: 1 });
    const seeing = await benchAt(server);
    const [fresh = 0] = await seeing.produce({});
    expect(fresh).toBeGreaterThan(1_000_000);
    // What was handed out before is what it was.
    expect(await settled(seeing, held)).toEqual(["settled"]);
    expect(await b.produce({})).toEqual([fresh + 1]);
  });

  test("tells a group from a former one of its name, as ever", async () => {
    const primary = await primaryServer();
    const replica = await replicaOf(primary);
    await (await benchAt(primary)).produce({}, {});
    await promote(replica, primary);
    const b = await benchAt(replica);
    await b.produce({});
    const held = await b.consume({ maxMessages: 1 });
    const keyed = { timeoutMs: 5_000, idempotency: { key: "k", fingerprint: "f" } };
    const first = await b.submit(b.consumption({ maxMessages: 1 }), keyed);
    expect(first).toMatchObject({ result: { messages: [{ sequence: 2 }] } });
    expect(await b.submit(b.consumption({ maxMessages: 1 }), keyed)).toMatchObject({
      result: (first as { readonly result: object }).result,
    });
    await b.answer({ type: "delete-group", queue: b.queue, partition: 0, group: "g" });
    const again = await b.consume({ maxMessages: 2 });
    expect(sequences(again)).toEqual([1, 2]);
    expect(await settled(b, held)).toEqual(["unknown"]);
    expect(await b.submit(b.consumption({ maxMessages: 1 }), keyed)).toMatchObject({ result: { type: "handed-out", messages: [] } });
    expect(await settled(b, again)).toEqual(["settled", "settled"]);
  });

  test("where it lost nothing, receipts and repeats of before are good", async () => {
    const server = await serve("--appendonly", "yes", "--appendfsync", "always");
    const b = await benchAt(server);
    const keyed = { timeoutMs: 5_000, idempotency: { key: "k", fingerprint: "f" } };
    await b.produce({}, {}, {});
    const held = await b.consume({ maxMessages: 1 });
    const first = await b.submit(b.consumption({ maxMessages: 1 }), keyed);
    await server.kill();
    await server.start();
    await until(async () => opened.every(({ storage }) => storage.isUp));
    expect(await b.submit(b.consumption({ maxMessages: 1 }), keyed)).toMatchObject({
      result: (first as { readonly result: object }).result,
    });
    const later = await b.consume();
    expect(sequences(later)).toEqual([3]);
    expect(await settled(b, [...held, ...later])).toEqual(["settled", "settled"]);
    // What it says of a number is the same for every node.
    const [fresh = 0] = await b.produce({});
    const other = await benchAt(server);
    expect(await other.produce({})).toEqual([fresh + 1]);
  });
});
