import { Prng } from "@trivet/core";
import { MemoryQueueStorage, type StorageCommand, type StorageReply } from "@trivet/engine";
import { type Receipt, settlements } from "@trivet/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NodeClock } from "../../../src/adapters/clock.ts";
import type { RedisQueueStorage } from "../../../src/adapters/redis/index.ts";
import { hasRedis, RedisServer } from "./redis-server.ts";
import { Bench, storageAt } from "./support.ts";

const rules = { maxMessages: 60, maxDeliveries: 3, maxAcquired: 6 };
const seeds = 12;
const steps = 150;
/** Never comes while the test runs: what is due when is another test's matter. */
const hour = 3_600_000;

type HeldReceipt = Omit<Receipt, "partition"> & { readonly group: string };

/** The same random commands to Redis and to the state machine of the embedded storage. */
class Play {
  private readonly random: Prng;
  private readonly benches: readonly [Bench, Bench];
  private readonly receipts: HeldReceipt[] = [];

  constructor(seed: number, redis: Bench, memory: Bench) {
    this.random = new Prng(seed);
    this.benches = [redis, memory];
  }

  async step(): Promise<void> {
    const answers = await this.both(this.command());
    if (answers.type === "handed-out") {
      for (const { acquired, incarnation, sequence } of answers.messages) {
        this.receipts.push({ group: this.group, sequence, acquired, incarnation });
      }
    }
  }

  async compare(): Promise<void> {
    // A deleted group is cleared by the commands that follow.
    await this.both({ type: "consumer-gone", queue: 0, consumer: "nobody", begun: null });
    await this.asked({ type: "stats", partition: 0 });
    for (const state of ["ready", "delayed", "dead"] as const) {
      await this.asked({ type: "browse", partition: 0, state, cursor: "", limit: 7 });
      await this.asked({ type: "browse", partition: 0, state, cursor: "", limit: 1000 });
    }
  }

  private group = "g";

  private command(): StorageCommand {
    const { random } = this;
    const place = { queue: 0, partition: 0 };
    const dice = random.below(100);
    if (dice < 30) return this.benches[0].production(this.batch());
    this.group = random.pick(["g", "g", "h"]);
    if (dice < 58) {
      const numbers = { maxMessages: random.between(1, 6), autoAck: random.chance(0.1) };
      return this.benches[0].consumption({ group: this.group, consumer: random.pick(["c1", "c2"]), ...numbers });
    }
    if (dice < 90) {
      const receipt = this.receipt();
      const settlement = random.chance(0.5) ? "ack" : random.pick(settlements);
      const delayMs = random.pick([-1, 0, hour]);
      const { group, ...name } = receipt;
      const receipts = [{ partition: 0, ...name }];
      return { type: "settle", queue: 0, group, settlement, delayMs, reason: "why", receipts };
    }
    if (dice < 93) {
      const begun = random.pick([
        null,
        { messages: 1, partitions: [0] },
        { messages: 2, partitions: [0] },
        { messages: 1, partitions: [] },
      ]);
      return { type: "consumer-gone", queue: 0, consumer: "c1", begun };
    }
    if (dice < 96) return { type: "redrive", ...place, sequences: [], limit: random.between(1, 3), bounded: true };
    if (dice < 97) return { type: "purge-queue", ...place, dead: random.chance(0.3) };
    if (dice < 98) return { type: "delete-group", ...place, group: random.pick(["g", "h", "late"]) };
    return { type: "create-group", ...place, group: "late", start: { type: "latest" } };
  }

  private batch(): Parameters<Bench["production"]>[0] {
    const { random } = this;
    return Array.from({ length: random.between(1, 4) }, () => ({
      key: random.pick(["", "a", "a", "b"]),
      priority: random.pick([0, 0, 1, 3]),
      delayMs: random.chance(0.1) ? random.between(1, 5) * hour : 0,
      dedupId: random.chance(0.2) ? random.pick(["x", "y", "z"]) : "",
      headers: random.chance(0.2) ? ([["content-type", "té|xt"]] as const) : [],
      body: Uint8Array.from({ length: random.below(4) }, () => random.below(256)),
    }));
  }

  private receipt(): HeldReceipt {
    const { random, receipts } = this;
    if (receipts.length === 0) return { group: "g", sequence: 1, acquired: 1, incarnation: 1 };
    const at = random.below(receipts.length);
    // Mostly used up, sometimes used twice.
    const receipt = random.chance(0.8) ? receipts.splice(at, 1)[0] : receipts[at];
    return receipt ?? { group: "g", sequence: 1, acquired: 1, incarnation: 1 };
  }

  private async both(command: StorageCommand): Promise<Awaited<ReturnType<Bench["answer"]>>> {
    const [redis, memory] = await Promise.all(
      this.benches.map((bench) => bench.answer("queue" in command ? { ...command, queue: bench.queue } : command)),
    );
    if (redis === undefined || memory === undefined) throw new Error("two answers were expected");
    expect(timeless(redis)).toEqual(timeless(memory));
    return redis;
  }

  private async asked(query: Record<string, unknown> & { readonly type: "stats" | "browse" }): Promise<void> {
    const [redis, memory] = await Promise.all(
      this.benches.map((bench) => bench.query({ ...query, queue: bench.queue } as Parameters<Bench["query"]>[0])),
    );
    expect(timeless(redis as StorageReply)).toEqual(timeless(memory as StorageReply));
  }
}

/** The two do not live by the same clock. */
function timeless(value: unknown): unknown {
  const times = new Set(["producedAt", "dueAt", "diedAt", "expiresAt", "oldestAt", "next"]);
  return JSON.parse(JSON.stringify(value, (key, item: unknown) => (times.has(key) ? Math.sign(Number(item)) : item)));
}

describe.skipIf(!hasRedis)("Redis and the state machine of the embedded storage", () => {
  let server: RedisServer;
  let storage: RedisQueueStorage;
  beforeAll(async () => {
    server = await RedisServer.start();
    storage = (await storageAt(server)).storage;
  }, 60_000);
  afterAll(async () => {
    await storage.close();
    await server.stop();
  });

  test("answer random commands alike", async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const memory = new Bench(new MemoryQueueStorage(new NodeClock()), seed, rules);
      const play = new Play(seed, new Bench(storage, seed, rules), memory);
      for (let step = 1; step <= steps; step++) {
        try {
          await play.step();
          if (step % 15 === 0) await play.compare();
        } catch (error) {
          throw new Error(`seed ${seed}, step ${step}`, { cause: error });
        }
      }
    }
  });
});
