import type { StorageCommand } from "@trivet/engine";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RedisQueueStorage } from "../../../src/adapters/redis/index.ts";
import { partitionKeys } from "../../../src/adapters/redis/partition-keys.ts";
import { definitionText, type Request, requestOf, scripts } from "../../../src/adapters/redis/requests.ts";
import { hasRedis, RedisServer, until } from "./redis-server.ts";
import { Bench, definition, message, storageAt } from "./support.ts";

const key = (b: Bench, suffix: string): string => `q:{orders-${b.queue}:0}:${suffix}`;

describe.skipIf(!hasRedis)("RedisQueueStorage", () => {
  let server: RedisServer;
  let storage: RedisQueueStorage;
  /** Another node on the same Redis. */
  let other: RedisQueueStorage;
  let queues = 0;
  beforeAll(async () => {
    server = await RedisServer.start();
    storage = (await storageAt(server)).storage;
    other = (await storageAt(server)).storage;
  }, 60_000);
  afterAll(async () => {
    await storage.close();
    await other.close();
    await server.stop();
  });

  const bench = (fields: ConstructorParameters<typeof Bench>[2] = {}): Bench => new Bench(storage, ++queues, fields);
  /** The same queue as another node knows it. */
  const twin = (b: Bench): Bench => new Bench(other, b.queue);

  test("a person with redis-cli sees messages in streams, groups and who holds what", async () => {
    const b = bench();
    await b.produce({ body: Buffer.from("first"), key: "k" }, { body: Buffer.from("second"), key: "k" }, { priority: 2 });
    expect(await b.take(2, { consumer: "worker" })).toEqual([1, 3]);
    const entries = (await server.ask("XRANGE", key(b, "s0"), "-", "+")) as [string, string[]][];
    expect(entries.map(([id, fields]) => [id, fields.at(-1)])).toEqual([
      ["1-0", "first"],
      ["2-0", "second"],
    ]);
    expect(await server.ask("XPENDING", key(b, "s0"), "g")).toEqual([
      2,
      "1-0",
      "2-0",
      [
        ["(waiting)", "1"],
        ["worker", "1"],
      ],
    ]);
    expect(await server.ask("XPENDING", key(b, "s2"), "g")).toEqual([1, "3-0", "3-0", [["worker", "1"]]]);
  });

  test("what is settled leaves nothing behind in the streams", async () => {
    const b = bench();
    await b.produce({ key: "a" }, { key: "a" }, { priority: 3 }, { delayMs: 1 });
    await until(
      async () => (await b.take(10, { autoAck: true })).length === 0 && (await b.query({ type: "stats", queue: b.queue, partition: 0 })),
    );
    await b.answer({ type: "consumer-gone", queue: b.queue, consumer: "c", begun: null });
    for (const lane of ["s0", "s3"]) {
      expect(await server.ask("XLEN", key(b, lane))).toBe(0);
      expect(await server.ask("XPENDING", key(b, lane), "g")).toEqual([0, null, null, null]);
      // Consumers that are gone are not remembered by Redis either.
      expect(JSON.stringify(await server.ask("XINFO", "CONSUMERS", key(b, lane), "g"))).not.toContain('"c"');
    }
    for (const rest of ["delayed", "delayed:messages", "deliveries", "again", "parked", "keys", "deadlines"]) {
      expect([rest, await server.ask("EXISTS", key(b, rest))]).toEqual([rest, 0]);
    }
  });

  test("a group that somebody made by hand is no error", async () => {
    const b = bench();
    await server.ask("XGROUP", "CREATE", key(b, "s0"), "g", "$", "MKSTREAM");
    await b.produce({});
    expect(await b.take()).toEqual([1]);
  });

  test("no two nodes are handed the same message, and each message is handed out", async () => {
    const b = bench({ partitions: 1 });
    await Promise.all(Array.from({ length: 20 }, () => b.produce(...Array.from({ length: 10 }, () => ({})))));
    const nodes = [b, twin(b)];
    const taken = await Promise.all(Array.from({ length: 60 }, (_, at) => (nodes[at % 2] as Bench).take(5, { consumer: `c${at}` })));
    expect(taken.flat().sort((one, two) => one - two)).toEqual(Array.from({ length: 200 }, (_, at) => at + 1));
  });

  test("a node is told of what another node produced, of what is due and of leases that ran out", async () => {
    const b = bench();
    const there = twin(b);
    const told: string[] = [];
    const end = other.watchReady((queue, partition, group) => void told.push(`${queue}/${partition}/${group}`));
    const name = `${b.queue}/0/g`;
    expect(await there.take()).toEqual([]);
    await b.produce({});
    await until(async () => told.includes(name));
    expect(await there.take(1, { visibilityMs: 1_000 })).toEqual([1]);
    expect(await there.take()).toEqual([]);
    told.length = 0;
    await until(async () => told.includes(name));
    expect(await there.consume()).toMatchObject([{ sequence: 1, acquired: 2, deliveries: 0 }]);
    expect(await there.take()).toEqual([]);
    told.length = 0;
    await b.produce({ delayMs: 50 });
    await until(async () => told.includes(name));
    expect(await there.take()).toEqual([2]);
    end();
  });

  test("a lost message of the publishing is made up for by the pump", async () => {
    const b = bench();
    expect(await b.take()).toEqual([]);
    const told: string[] = [];
    const end = storage.watchReady((queue, partition, group) => void told.push(`${queue}/${partition}/${group}`));
    // As by a produce whose publishing nobody heard.
    await server.ask("CLIENT", "KILL", "TYPE", "pubsub");
    await b.produce({});
    await until(async () => told.includes("-1/-1/") || told.includes(`${b.queue}/0/g`));
    expect(await b.take()).toEqual([1]);
    end();
  });

  test("what a call with an idempotency key did is answered again, and not done again", async () => {
    const b = bench();
    const options = { timeoutMs: 5000, idempotency: { key: "k1", fingerprint: "f" } };
    const first = await b.submit(b.production([{}, {}]), options);
    expect(first).toMatchObject({ type: "answered", result: { messages: [{ sequence: 1 }, { sequence: 2 }] } });
    expect(await twin(b).submit(b.production([{}, {}]), options)).toMatchObject({ result: (first as { readonly result: object }).result });
    const changed = { ...options, idempotency: { key: "k1", fingerprint: "other" } };
    expect(await b.submit(b.production([{}]), changed)).toMatchObject({ result: { type: "refused", reason: "other-body" } });
    const consumption = { timeoutMs: 5000, idempotency: { key: "k2", fingerprint: "f" } };
    const handed = await b.submit(b.consumption({ maxMessages: 2 }), consumption);
    expect(handed).toMatchObject({ result: { messages: [{ sequence: 1 }, { sequence: 2 }] } });
    await b.settle("ack", 1);
    expect(await b.submit(b.consumption({ maxMessages: 2 }), consumption)).toMatchObject({
      result: { messages: [{ sequence: 2, acquired: 1 }] },
    });
    expect(await b.take()).toEqual([]);
  });

  test("what a call with an idempotency key did is told by its id, to any node", async () => {
    const b = bench();
    const keyed = async (key: string, command: StorageCommand): Promise<string> => {
      const outcome = await b.submit(command, { timeoutMs: 5000, idempotency: { key, fingerprint: "f" } });
      return outcome.type === "unavailable" ? outcome.type : outcome.requestId;
    };
    const settle = { type: "settle", queue: b.queue, group: "nobody", settlement: "ack", delayMs: -1, reason: "" } as const;
    const ids = [
      await keyed("a.0", b.production([{}, { dedupId: "d" }])),
      await keyed("b.0", b.consumption({ maxMessages: 1 })),
      await keyed("c.0", b.consumption({ autoAck: true })),
      await keyed("d.0", { ...settle, receipts: [{ partition: 0, sequence: 1, acquired: 1, incarnation: 1 }] }),
    ];
    const told = await Promise.all(ids.map((id) => twin(b).request(id)));
    const handOut = { type: "handed-out", leaseMs: 30_000, incarnation: 1 };
    expect(told).toEqual(
      [
        {
          type: "produced",
          partition: 0,
          messages: [
            { sequence: 1, duplicate: false },
            { sequence: 2, duplicate: false },
          ],
        },
        { ...handOut, more: true, messages: [{ sequence: 1, acquired: 1 }] },
        { ...handOut, more: false, messages: [] },
        { type: "no-group", group: "nobody" },
      ].map((answer) => ({ type: "shard-answered", answer })),
    );
    // Nothing is known of what has no answer; when none would be kept any more, that is said.
    const [produced = ""] = ids;
    expect(await b.request(produced.replace("a.0", "z.0"))).toEqual({ type: "pending" });
    expect(await b.request(produced.replace(/\.[0-9a-z]+\.a\.0$/, ".1.z.0"))).toEqual({ type: "gone" });
    expect(await b.request("redis.0123456789ab")).toEqual({ type: "invalid" });
    const unkeyed = await b.submit(b.production([{}]));
    expect(unkeyed.type === "answered" && (await b.request(unkeyed.requestId))).toEqual({ type: "invalid" });
  });

  test("a repeated consume is not answered with what the next group of the name holds", async () => {
    const b = bench();
    await b.produce({});
    const keyed = { timeoutMs: 5000, idempotency: { key: "k", fingerprint: "f" } };
    expect(await b.submit(b.consumption(), keyed)).toMatchObject({ result: { messages: [{ sequence: 1, acquired: 1, incarnation: 1 }] } });
    await b.answer({ type: "delete-group", queue: b.queue, partition: 0, group: "g" });
    expect(await b.consume()).toMatchObject([{ sequence: 1, acquired: 1, incarnation: 2 }]);
    expect(await b.submit(b.consumption(), keyed)).toMatchObject({ result: { type: "handed-out", messages: [] } });
  });

  test("a dropped queue leaves a mark, which no late node overcomes, and a newer one of its name begins anew", async () => {
    const name = "again{and}again";
    const b = bench({ name, partitions: 1 });
    const late = twin(b);
    late.configure({ name, partitions: 1 });
    late.configure({ name, partitions: 1 });
    await b.produce({}, { delayMs: 9_000 });
    await b.take(1);
    storage.configure(b.queue, null);
    const at = "q:{again%7Band%7Dagain:0}";
    await until(async () => (await server.ask("HGET", at, "gone")) === "1");
    expect(await server.ask("KEYS", `${at}*`)).toEqual([at]);
    expect(await late.submit(late.production([{}]))).toMatchObject({ result: { type: "not-configured" } });
    expect(await b.submit(b.production([{}]))).toMatchObject({ result: { type: "not-configured" } });
    const next = bench({ name, partitions: 1 });
    expect(await next.produce({})).toEqual([1]);
    expect(await next.take()).toEqual([1]);
    expect(await late.submit(late.production([{}]))).toMatchObject({ result: { type: "not-configured" } });
    // What it held is freed behind the scripts' back, however much it is.
    expect(String(await server.ask("INFO", "commandstats"))).not.toContain("cmdstat_del:");
  });

  test("of ids whose window is over no more are left than one script clears: until then it asks for the next one", async () => {
    // No node knows it, so nothing but this test calls.
    const fields = { ...definition, dedupeWindowMs: 1 };
    const keys = partitionKeys("q", "nobody's", 0);
    const run = async (name: "produce" | "pump", request: Request): Promise<number> => {
      const args = [definitionText(1, fields), JSON.stringify({ ...request.fields, partition: 0, channel: "q:ready" }), ...request.bytes];
      const reply = await scripts[name].run(keys, args, (words) => server.ask(...words.map(String)));
      return Number((reply as unknown[])[0]);
    };
    for (let batch = 0; batch < 4; batch++) {
      const messages = Array.from({ length: 1_024 }, (_, at) => message({ dedupId: `${batch}-${at}` }));
      await run("produce", requestOf({ type: "produce", queue: 1, partition: 0, version: 1, messages, ifFence: null }));
    }
    expect(await server.ask("HLEN", keys[7] ?? "")).toBeGreaterThan(256);
    while ((await run("pump", { fields: { tidy: false }, bytes: [] })) === 0);
    expect(await server.ask("HLEN", keys[7] ?? "")).toBeLessThan(256);
  });

  test("a purge looks at so many messages in one script, leased ones included, and goes on behind them", async () => {
    const b = bench({ partitions: 1 });
    for (let batch = 0; batch < 5; batch++) await b.produce(...Array.from({ length: 1_000 }, () => ({})));
    for (let leased = 0; leased < 5_000;) leased += (await b.take(1_000)).length;
    await b.produce({}, { priority: 2 }, { delayMs: 60_000 });
    const keys = partitionKeys("q", `orders-${b.queue}`, 0);
    const fields = JSON.stringify({ partition: 0, channel: "q:ready", dead: false, after: [0, 0] });
    const first = await scripts["purge-queue"].run(keys, [definitionText(b.queue, definition), fields], (args) =>
      server.ask(...args.map(String)),
    );
    expect(first).toEqual([expect.any(Number), ["counted", 1, [0, 4_097]]]);
    const purge = { type: "purge-queue", queue: b.queue, partition: 0, dead: false } as const;
    const keyed = { timeoutMs: 10_000, idempotency: { key: "purge", fingerprint: "f" } };
    expect(await b.submit(purge, keyed)).toMatchObject({ result: { type: "counted", count: 2 } });
    await b.produce({});
    // A repeat says the same and does nothing.
    expect(await b.submit(purge, keyed)).toMatchObject({ result: { type: "counted", count: 2 } });
    expect(await b.answer(purge)).toEqual({ type: "counted", count: 1 });
    expect(await b.query({ type: "stats", queue: b.queue, partition: 0 })).toMatchObject({ stats: { messages: 5_000, purged: 4 } });
  });

  test("what is kept of a call is told by its key, to any node", async () => {
    const b = bench();
    const there = twin(b);
    const place = { queue: there.queue, partition: 0 };
    const kept = (key: string): Promise<unknown> => new Promise((resolve) => other.kept(place, key, 5_000, resolve));
    const answer = { type: "produced", partition: 0, messages: [{ sequence: 1, duplicate: false }] };
    const keyed = { timeoutMs: 5_000, idempotency: { key: "lane/5", fingerprint: "" } };
    expect(await b.submit(b.production([{}]), keyed)).toMatchObject({ type: "answered", result: answer });
    expect(await kept("lane/5")).toEqual({ type: "shard-answered", answer });
    expect(await kept("lane/6")).toEqual({ type: "gone" });
  });

  test("the server knows the scripts before the first command: none of those sent together is overtaken", async () => {
    const fresh = await RedisServer.start();
    const { storage: alone } = await storageAt(fresh);
    const hashes = Object.values(scripts).map(({ hash }) => hash);
    expect(await fresh.ask("SCRIPT", "EXISTS", ...hashes)).toEqual(hashes.map(() => 1));
    await alone.close();
    await fresh.stop();
  });

  test("fences are refused", async () => {
    const b = bench();
    const fenced = b.production([{}], { ifFence: { lock: "l", fence: 1 } });
    expect(await b.submit(fenced)).toMatchObject({ type: "answered", result: { type: "malformed" } });
    expect(await b.submit({ type: "raise-fence", lock: "l", fence: 1 })).toMatchObject({ result: { type: "malformed" } });
  });

  test("receipts of several partitions are settled each where it belongs", async () => {
    const b = bench();
    await b.produce({});
    await b.answer(b.production([{}], { partition: 1 }));
    await b.take();
    await b.take(1, { partition: 1 });
    const receipts = [0, 1, 9].map((partition) => ({ partition, sequence: 1, acquired: 1, incarnation: 1 }));
    const settle = { type: "settle", queue: b.queue, group: "g", settlement: "ack", delayMs: -1, reason: "", receipts } as const;
    expect(await b.answer(settle)).toEqual({ type: "settled", outcomes: ["settled", "settled", "unknown"] });
  });

  test("a full queue refuses all of a batch and drops nothing, and no stream is cut", async () => {
    const b = bench({ maxMessages: 3, maxBytes: 8 });
    await b.produce({}, {});
    expect(await b.answer(b.production([{}, {}]))).toEqual({ type: "queue-full", limit: "messages", max: 3 });
    expect(await b.answer(b.production([{}]))).toEqual({ type: "queue-full", limit: "bytes", max: 8 });
    expect(await b.take()).toEqual([1, 2]);
  });

  test("what is unpaused is told", async () => {
    const b = bench({ paused: true });
    const told: string[] = [];
    const end = storage.watchReady((queue, partition, group) => void told.push(`${queue}/${partition}/${group}`));
    await b.produce({});
    expect(await b.take()).toEqual([]);
    b.configure({ paused: false });
    await until(async () => told.includes(`${b.queue}/-1/`));
    expect(await b.take()).toEqual([1]);
    end();
  });

  test("the pump of any node promotes, ends leases and tidies, as often as it likes", async () => {
    const b = bench({ partitions: 1, visibilityMs: 30 });
    await b.produce({}, { delayMs: 40 });
    await b.take(1, { consumer: "busy" });
    const keys = partitionKeys("q", `orders-${b.queue}`, 0);
    const text = definitionText(b.queue, { ...definition, visibilityMs: 30 });
    const fields = JSON.stringify({ partition: 0, channel: "q:ready", tidy: true });
    const pump = (): Promise<unknown> => scripts.pump.run(keys, [text, fields], (args) => server.ask(...args.map(String)));
    await until(async () => JSON.stringify(await pump()) === JSON.stringify([-1, ["pumped", ["g"]]]));
    expect(await Promise.all([pump(), pump(), pump()])).toEqual(Array.from({ length: 3 }, () => [-1, ["pumped", ["g"]]]));
    // Who was heard of within the hour is kept.
    expect(JSON.stringify(await server.ask("XINFO", "CONSUMERS", key(b, "s0"), "g"))).toContain("busy");
    expect(await b.consume()).toMatchObject([
      { sequence: 1, acquired: 2 },
      { sequence: 2, acquired: 1 },
    ]);
  });

  test("a server that has forgotten the scripts is sent them again", async () => {
    const b = bench();
    await b.produce({});
    await server.ask("SCRIPT", "FLUSH");
    expect(await b.take()).toEqual([1]);
  });
});
