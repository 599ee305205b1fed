import { bytesCodec, connect, StaleReceiptError, type TrivetConnection } from "@trivet/client";
import { StorageAccess, type NodeHost } from "@trivet/engine";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { take } from "../../../client/test/take.ts";
import { scripted, serve, until, type Server } from "./harness.ts";
import { startQueueNode } from "./queue-node.ts";

let host: NodeHost;
let server: Server;
let outside: Server;
const urls: string[] = [];
const env = { QUEUE_MAX_DELIVERIES: "7", QUEUE_VISIBILITY_MS: "12345" };
beforeAll(async () => {
  host = await startQueueNode();
  server = await serve(host.api, { queues: host.queues, env });
  urls.push(`http://127.0.0.1:${await server.http.listen()}`);
  // The same messages behind the terms of a storage that has no shards of its own.
  const definitions: ConstructorParameters<typeof StorageAccess>[3] = {
    refresh: (timeoutMs, done) =>
      host.api.read("linearizable", timeoutMs, (read) => done(read.type === "ready" ? { type: "ready" } : read)),
    byNumber: (queue) => host.machine?.queueByNumber(queue) ?? null,
  };
  const access = new StorageAccess(host.queueStorage, host.ports.clock, () => host.api.groupTime(), definitions);
  outside = await serve(scripted(host.api, { shards: access }), { queues: host.queues, env });
  urls.push(`http://127.0.0.1:${await outside.http.listen()}`);
});
afterAll(async () => {
  await server.http.close(0);
  await outside.http.close(0);
  await new Promise<void>((resolve) => host.api.stop(resolve));
});

const connections: TrivetConnection[] = [];
afterEach(async () => {
  for (const connection of connections.splice(0)) await connection.close();
});
async function connected(at = 0): Promise<TrivetConnection> {
  const connection = await connect([urls[at] ?? ""], { commandTimeoutMs: 20_000, routing: "any" });
  connections.push(connection);
  return connection;
}
let queues = 0;
const fresh = (): string => `sdk/${++queues}`;

describe.each([
  [0, "shards"],
  [1, "a storage outside"],
])("queues over a real node (%d: %s)", (at) => {
  test("what is produced comes back in order, with all it was given, once it is acknowledged never again", async () => {
    const trivet = await connected(at);
    const orders = trivet.queue<{ readonly n: number }>(fresh());
    const produced = await orders.produceMany(
      Array.from({ length: 300 }, (_, n) => ({ body: { n }, key: `k${n % 3}`, headers: { trace: `t${n}` } })),
    );
    expect(produced.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 300 }, (_, n) => n + 1));
    const consumer = orders.consume({ group: "g", credit: 100 });
    const got: number[] = [];
    for await (const message of consumer) {
      expect(message.headers).toMatchObject({ trace: `t${message.body.n}`, "content-type": "application/json" });
      message.lease.assertHeld();
      expect(message.acquired).toBe(1);
      got.push(message.body.n);
      await message.ack();
      if (got.length === 300) break;
    }
    for (const key of [0, 1, 2]) expect(got.filter((n) => n % 3 === key)).toEqual(Array.from({ length: 100 }, (_, n) => n * 3 + key));
    await expect(orders.delete()).resolves.toBeUndefined();
  });

  test("a waiting consumer hears of a message at once, on every partition", async () => {
    const trivet = await connected(at);
    const name = fresh();
    const bytes = trivet.queue(name, { codec: bytesCodec });
    await trivet.queue(name).create({ partitions: 4 });
    const consumer = bytes.consume({ group: "g", credit: 8 });
    for (let n = 0; n < 12; n++) {
      const next = consumer.next();
      await bytes.produce(new Uint8Array([n]), { key: `key-${n}` });
      const result = await next;
      expect(result.done === true ? null : [...result.value.bytes]).toEqual([n]);
      if (result.done !== true) await result.value.ack();
    }
    await consumer.return();
  });

  test("nack counts a failure, release does not, dead ends it; leaving the loop releases the rest", async () => {
    const trivet = await connected(at);
    const queue = trivet.queue<string>(fresh());
    await queue.create({ backoffMs: 0 });
    await queue.produceMany([{ body: "a" }, { body: "b" }, { body: "c" }]);
    const consumer = queue.consume({ group: "g" });
    const [a, b, c] = await take(consumer, 3);
    await Promise.all([a?.nack({ reason: "no" }), b?.release(), c?.dead("poison")]);
    const again = await take(consumer, 2);
    expect(new Set(again.map(({ body, acquired, deliveries }) => `${body} ${acquired} ${deliveries}`))).toEqual(
      new Set(["a 2 1", "b 2 0"]),
    );
    await consumer.return();
    const other = queue.consume({ group: "g" });
    expect(new Set((await take(other, 2)).map(({ body, acquired }) => `${body} ${acquired}`))).toEqual(new Set(["a 3", "b 3"]));
    await other.return();
  });

  test("leases are extended while a message is worked on, and end when nobody extends them", async () => {
    const trivet = await connected(at);
    const queue = trivet.queue<string>(fresh());
    await queue.create({ visibilityMs: 400 });
    await queue.produce("m");
    const [kept] = await take(queue.consume({ group: "keep" }), 1);
    const [left] = await take(queue.consume({ group: "leave", autoExtend: false }), 1);
    // In the other group it is handed out again: its lease, as long and begun later, is over.
    const [again] = await take(queue.consume({ group: "leave", autoExtend: false }), 1);
    expect(again?.acquired).toBe(2);
    kept?.lease.assertHeld();
    await kept?.ack();
    expect(() => left?.lease.assertHeld()).toThrow(StaleReceiptError);
    await expect(left?.ack()).rejects.toMatchObject({ code: "receipt_stale" });
  });

  test("a dedupe id is stored once, a full queue says so, and a queue that is made again is found", async () => {
    const trivet = await connected(at);
    const name = fresh();
    const queue = trivet.queue<number>(name);
    await queue.create({ maxMessages: 2 });
    const first = await queue.produce(1, { dedupId: "x" });
    expect(await queue.produce(1, { dedupId: "x" })).toEqual({ ...first, duplicate: true });
    await queue.produce(2);
    await expect(queue.produce(3)).rejects.toMatchObject({ code: "queue_full" });
    await expect(queue.create()).rejects.toMatchObject({ code: "queue_exists" });
    await queue.delete();
    await expect(queue.update({ paused: true })).rejects.toMatchObject({ code: "queue_unknown" });
    expect(await queue.produce(4)).toMatchObject({ sequence: 1, duplicate: false });
  });

  test("a queue that is made gets the node's settings where nothing is said, one that is there keeps its own", async () => {
    const trivet = await connected(at);
    const queue = trivet.queue(fresh());
    const { settings } = await queue.create({ visibilityMs: 700 });
    expect(settings).toMatchObject({ partitions: 1, visibilityMs: 700, maxDeliveries: 7, maxMessages: 1_000_000 });
    expect((await queue.ensure({ maxDeliveries: 9 })).settings).toEqual({ ...settings, maxDeliveries: 9 });
    expect((await queue.update({ ttlMs: 5 })).settings).toEqual({ ...settings, maxDeliveries: 9, ttlMs: 5 });
    expect((await trivet.queue(fresh()).ensure()).settings).toMatchObject({ maxDeliveries: 7, visibilityMs: 12_345 });
  });

  test("a group that is deleted is gone, and deleting it again says that there was none", async () => {
    const trivet = await connected(at);
    const queue = trivet.queue<string>(fresh());
    await queue.create({ partitions: 3 });
    await expect(queue.createGroup("g")).resolves.toBe(true);
    await expect(queue.deleteGroup("g")).resolves.toBe(true);
    await expect(queue.deleteGroup("g")).resolves.toBe(false);
  });

  test("who waits for a queue that is not there hears of it when it is made", async () => {
    const trivet = await connected(at);
    const name = fresh();
    const next = trivet.queue<string>(name).consume({ group: "g" }).next();
    const maker = await connected(at);
    await maker.queue<string>(name).produce("first");
    expect(await next).toMatchObject({ done: false, value: { body: "first" } });
  });

  test("what a lost connection had in hand goes to others at once", async () => {
    const [losing, other] = [await connected(at), await connected(at)];
    const name = fresh();
    await losing.queue(name).create({ visibilityMs: 600_000 });
    await losing.queue<string>(name).produceMany([{ body: "a" }, { body: "b" }]);
    const lost = losing.queue<string>(name).consume({ group: "g" });
    await take(lost, 1);
    const next = other.queue<string>(name).consume({ group: "g" });
    const waiting = take(next, 2);
    // As a crash would: nothing is said.
    (losing as unknown as { readonly stream: { close(): void } }).stream.close();
    expect((await waiting).map(({ body, acquired }) => [body, acquired])).toEqual([
      ["a", 2],
      ["b", 2],
    ]);
    await next.return();
  });

  test("a worker acknowledges what its handler returns from, and gives back what it throws at", async () => {
    const trivet = await connected(at);
    const queue = trivet.queue<number>(fresh());
    await queue.create({ backoffMs: 0, maxDeliveries: 3 });
    await queue.produceMany(Array.from({ length: 50 }, (_, n) => ({ body: n, key: `${n}` })));
    const tries = new Map<number, number>();
    const errors: unknown[] = [];
    let busy = 0;
    let most = 0;
    const worker = queue.worker(
      async (message) => {
        most = Math.max(most, ++busy);
        await new Promise((resolve) => setImmediate(resolve));
        busy--;
        tries.set(message.body, (tries.get(message.body) ?? 0) + 1);
        if (message.body === 7 && tries.get(7) === 1) throw new Error("once");
      },
      { group: "g", concurrency: 8, onError: (error) => errors.push(error) },
    );
    await until(() => tries.size === 50 && tries.get(7) === 2, "all worked on");
    await worker.stop();
    expect([most <= 8, most > 1]).toEqual([true, true]);
    expect(errors).toEqual([new Error("once")]);
  });
});
