import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RedisAck } from "../../../src/adapters/redis/options.ts";
import { partitionKeys } from "../../../src/adapters/redis/partition-keys.ts";
import { RedisCluster } from "./redis-cluster.ts";
import { hasRedis, type RedisServer, until } from "./redis-server.ts";
import { Bench, openStorage, type Opened } from "./support.ts";

/** Lost hand-outs come back soon. */
const visibilityMs = 1_000;
const producers = 3;
const consumers = 3;

/** Producers and consumers of one partition, each with one call at a time, that repeat what was not answered. */
class Load {
  readonly stored = new Set<string>();
  readonly settled = new Set<string>();
  /** Calls that ended, whichever way. */
  calls = 0;
  readonly ends = new Map<string, number>();
  private readonly bench: Bench;
  private readonly producing: readonly Promise<void>[];
  private readonly consuming: readonly Promise<void>[];
  private isOver = false;
  private isProducing = true;

  constructor(bench: Bench) {
    this.bench = bench;
    this.producing = Array.from({ length: producers }, (_, at) => this.produce(`p${at}`));
    this.consuming = Array.from({ length: consumers }, (_, at) => this.consume(`c${at}`));
  }

  /** Waits until so many more calls have ended: whatever state the cluster is in, it was tried. */
  async tried(calls: number): Promise<void> {
    const wanted = this.calls + calls;
    await until(async () => this.calls >= wanted);
  }

  /** Waits until so many more messages went the whole way. */
  async worked(messages: number): Promise<void> {
    const [stored, settled] = [this.stored.size + messages, this.settled.size + messages];
    await until(async () => this.stored.size >= stored && this.settled.size >= settled);
  }

  /** No more messages; ends when all that were stored are settled. */
  async drain(): Promise<void> {
    this.isProducing = false;
    await Promise.all(this.producing);
    await until(async () => [...this.stored].every((body) => this.settled.has(body)));
    this.isOver = true;
    await Promise.all(this.consuming);
  }

  /** Ends it, whatever is left. */
  async stop(): Promise<void> {
    this.isProducing = false;
    this.isOver = true;
    await Promise.all([...this.producing, ...this.consuming]);
  }

  private async insist(
    command: Parameters<Bench["submit"]>[0],
  ): Promise<ReturnType<Bench["answer"]> extends Promise<infer R> ? R | null : never> {
    for (;;) {
      const outcome = await this.bench.submit(command, { timeoutMs: 3_000 });
      this.calls += 1;
      const end = outcome.type === "unavailable" ? outcome.code : outcome.type;
      this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
      if (outcome.type === "answered") return outcome.result;
      if (this.isOver) return null;
    }
  }

  private async produce(name: string): Promise<void> {
    for (let number = 0; this.isProducing; number++) {
      const body = `${name}/${number}`;
      const message = { body: new TextEncoder().encode(body), key: `${name}${number % 3}`, dedupId: body };
      const result = await this.insist(this.bench.production([message]));
      if (result === null) return;
      expect(result.type).toBe("produced");
      this.stored.add(body);
    }
  }

  private async consume(consumer: string): Promise<void> {
    while (!this.isOver) {
      const result = await this.insist(this.bench.consumption({ consumer, maxMessages: 4, visibilityMs }));
      if (result?.type !== "handed-out") return;
      for (const { acquired, body, incarnation, sequence } of result.messages) {
        const settle = { type: "settle", queue: this.bench.queue, group: "g", settlement: "ack", delayMs: -1, reason: "" } as const;
        const told = await this.insist({ ...settle, receipts: [{ partition: 0, sequence, acquired, incarnation }] });
        const outcome = told?.type === "settled" ? told.outcomes[0] : null;
        const text = new TextDecoder().decode(body);
        // `unknown`: a repeat of one whose answer was lost. `stale`: it is somebody else's by now.
        if (outcome === "settled" || outcome === "unknown") this.settled.add(text);
      }
    }
  }
}

describe.skipIf(!hasRedis)("a slot with a partition moves from one node of a Redis Cluster to another", () => {
  let cluster: RedisCluster;
  const opened: Opened[] = [];
  let queues = 91_000;

  beforeAll(async () => {
    // The third node owns nothing at first, as one that was just added.
    cluster = await RedisCluster.start(3, 2);
  }, 60_000);
  afterAll(async () => {
    for (const { storage } of opened) await storage.close();
    await cluster.stop();
  });

  async function connect(ack: RedisAck = "primary"): Promise<Opened> {
    const one = openStorage({ mode: "cluster", nodes: cluster.nodes, ack });
    opened.push(one);
    await until(async () => one.storage.isUp);
    return one;
  }

  async function slotOf(bench: Bench): Promise<number> {
    return cluster.slotOf(partitionKeys("q", `orders-${bench.queue}`, 0)[0] ?? "");
  }

  function others(owner: RedisServer): readonly RedisServer[] {
    return cluster.servers.filter((server) => server !== owner);
  }

  test.each<[RedisAck]>([["primary"], ["aof"]])(
    "under load, again and again (acknowledged by %s): nothing acknowledged is lost, nothing is settled twice",
    async (ack) => {
      const { storage, telemetry } = await connect(ack);
      const bench = new Bench(storage, ++queues, { partitions: 1 });
      const slot = await slotOf(bench);
      const load = new Load(bench);
      try {
        await load.worked(20);
        for (let round = 0; round < 3; round++) {
          const from = await cluster.ownerOf(slot);
          // To the one that had nothing first.
          const to = others(from).at(round % 2 === 0 ? -1 : 0) as RedisServer;
          await cluster.move(slot, to, () => load.tried(2));
          expect([await cluster.ownerOf(slot), await cluster.keysIn(from, slot)]).toEqual([to, 0]);
          await load.worked(20);
        }
        await load.drain();
      } finally {
        await load.stop();
      }
      const reply = await bench.query({ type: "stats", queue: bench.queue, partition: 0 });
      const count = load.stored.size;
      expect(count).toBeGreaterThanOrEqual(100);
      expect(reply).toMatchObject({ type: "stats", stats: { produced: count, acked: count, messages: 0, died: 0, expired: 0, purged: 0 } });
      expect([...load.settled].filter((body) => !load.stored.has(body))).toEqual([]);
      // A slot that moves is no cluster that is away.
      expect(telemetry.lines.filter(({ event }) => event === "redis.down").map(({ text }) => text)).toEqual([]);
      // Of what was under way at a node that gave its last slot away nobody knows; it was repeated.
      expect([...load.ends.keys()].filter((end) => !["answered", "redis_unavailable", "unknown"].includes(end))).toEqual([]);
    },
    60_000,
  );

  test("ASK is followed: what has all its keys on the new node is served there before the slot is its own", async () => {
    const { storage } = await connect();
    const bench = new Bench(storage, ++queues, { partitions: 1 });
    const slot = await slotOf(bench);
    // Every kind of key: a dead letter, one for later, one in hand with another behind its key, one to be handed out again, a dedupe id.
    await bench.produce({}, { dedupId: "known" }, { key: "k" }, { key: "k" }, { delayMs: 600_000 });
    await bench.take(3);
    await bench.take(1);
    await bench.settle("dead", 1);
    await bench.settle("release", 2);
    const keys = partitionKeys("q", `orders-${bench.queue}`, 0);
    const owner = await cluster.ownerOf(slot);
    expect(await cluster.keysIn(owner, slot)).toBe(keys.length);
    const [to] = others(owner) as [RedisServer];
    // Each server has a history of its own: numbers go on, and not one by one.
    let last = 5;
    await cluster.move(slot, to, async (phase) => {
      if (phase === "half") {
        // Half of a partition is no partition: nothing happens to it, and callers are told to come again.
        const outcome = await bench.submit(bench.production([{}]), { timeoutMs: 3_000 });
        expect(outcome).toMatchObject({ type: "unavailable", code: "redis_unavailable" });
        return;
      }
      const [sequence = 0] = await bench.produce({});
      expect(sequence, phase).toBeGreaterThan(last);
      last = sequence;
    });
    expect(await cluster.keysIn(owner, slot)).toBe(0);
    expect(await bench.produce({ dedupId: "known" })).toEqual([2]);
    expect(await bench.settle("ack", 3)).toBe("settled");
    const reply = await bench.query({ type: "stats", queue: bench.queue, partition: 0 });
    expect(reply).toMatchObject({ stats: { produced: 8, acked: 1, died: 1, messages: 6, dead: 1, delayed: 1 } });
  });
});
