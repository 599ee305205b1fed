import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { aliasLoop, type PlainQueue } from "../../src/driver/alias-loop.ts";
import { drainBacklog, fillBacklog } from "../../src/driver/backlog.ts";
import { Histogram } from "../../src/driver/histogram.ts";
import { decodeMessage, encodeMessage, messageBytes } from "../../src/driver/message.ts";
import { closedOperations, openOperations } from "../../src/driver/operations.ts";
import { roundTrips } from "../../src/driver/round-trips.ts";
import { SteadyStream } from "../../src/driver/steady-stream.ts";
import { monotonicMs, waitFor } from "../../src/waiting.ts";
import { FakeQueue } from "../fake-queue.ts";

describe("a message", () => {
  it("says what it is in a body of always the same size, of text only", () => {
    const numbers = fc.integer({ min: 0, max: 1e14 });
    fc.assert(
      fc.property(numbers, numbers, numbers, (id, key, place) => {
        const body = encodeMessage({ id, key, place });
        expect(body.byteLength).toBe(messageBytes);
        expect(decodeMessage(Buffer.from(Buffer.from(body).toString("utf8")))).toEqual({ id, key, place });
      }),
    );
  });

  it("is refused when no benchmark has produced it", () => {
    expect(() => decodeMessage(Buffer.alloc(7))).toThrow("7 bytes");
    expect(() => decodeMessage(Buffer.alloc(messageBytes, "x"))).toThrow("no benchmark");
  });
});

describe("loops over operations", () => {
  it("count what is answered in time, and what fails, with the first reason", async () => {
    let calls = 0;
    const result = await closedOperations(4, 60, async () => {
      await new Promise((resolve) => setImmediate(resolve));
      calls++;
      if (calls === 3) throw new Error("no leader");
    });
    expect(result).toMatchObject({ errors: 1, first_error: "no leader" });
    expect(result.completed).toBeGreaterThan(0);
    expect(result.completed).toBeLessThan(calls);
    expect(Histogram.from(result.latency).count).toBe(result.completed);
  });

  it("at a fixed rate count each answer from its due time, also of those that waited for a caller", async () => {
    let openAt: number | null = null;
    const result = await openOperations({ rate: 500, durationMs: 100, callers: 4 }, async () => {
      openAt ??= performance.now() + 150;
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, (openAt ?? 0) - performance.now())));
    });
    expect(result).toMatchObject({ completed: 50, errors: 0 });
    expect(Histogram.from(result.latency).summary().p50_ms).toBeGreaterThan(95);
    expect(result.max_backlog).toBeGreaterThan(0);
  });
});

const trip = { queue: "q", groups: ["workers"], keys: 0, inFlight: 32, credit: 8, durationMs: 80, rate: null };

describe("round trips", () => {
  it("end when every group has acked, and leave nothing behind", async () => {
    const groups = ["a", "b", "c"];
    const queue = new FakeQueue(groups);
    const result = await roundTrips(queue, { ...trip, groups });
    expect(result.trips.completed).toBeGreaterThan(0);
    expect(result).toMatchObject({ duplicates: 0, overtaken: 0 });
    expect(result.trips.errors).toBe(0);
    expect(result.deliveries).toBe(queue.produced * groups.length);
    expect(queue.acked).toBe(result.deliveries);
  });

  it("see a message overtaken within its key, and one handed out twice", async () => {
    class Careless extends FakeQueue {
      #swaps = 0;
      override async produce(queue: string, body: Uint8Array, key: string | null): Promise<void> {
        this.#swaps++;
        // The second of its key is held back behind the third; each tenth comes twice.
        if (this.#swaps === 5) await new Promise((resolve) => setTimeout(resolve, 20));
        if (this.#swaps % 10 === 0) this.waiting.get("workers")?.push(body);
        await super.produce(queue, body, key);
      }
    }
    const result = await roundTrips(new Careless(), { ...trip, keys: 2 });
    expect(result.overtaken).toBeGreaterThan(0);
    expect(result.duplicates).toBeGreaterThan(0);
  });
});

const patience = { silenceMs: 5000, maxMs: 60_000 };
const filling = { queue: "q", from: 0, inFlight: 4, ...patience };
const draining = { queue: "q", group: "workers", from: 0, unsure: [], credit: 4, ...patience };

describe("the backlog", () => {
  it("is filled with exactly so many and drained to the last, and tells how far it is", async () => {
    const queue = new FakeQueue();
    const progress = { done: 7 };
    const filled = await fillBacklog(queue, { ...filling, from: 100, messages: 500, inFlight: 16 }, progress);
    expect(filled).toMatchObject({ produced: 500, begun: 500, unsure: [], errors: 0 });
    expect(progress.done).toBe(500);
    const drained = await drainBacklog(queue, { ...draining, from: 100, messages: 500, credit: 32 }, progress);
    expect(drained).toMatchObject({ acked: 500, lost: 0, undelivered: 0, duplicates: 0, errors: 0 });
    expect(progress.done).toBe(500);
  });

  it("tells what never came", async () => {
    const queue = new FakeQueue();
    await fillBacklog(queue, { ...filling, messages: 20 });
    queue.waiting.get("workers")?.splice(3, 2);
    const drained = await drainBacklog(queue, { ...draining, messages: 20, silenceMs: 50 });
    expect(drained).toMatchObject({ acked: 18, lost: 2, undelivered: 2 });
  });

  it("is as large as the time allows, and what its time is too short for is not called lost", async () => {
    const queue = new FakeQueue();
    const filled = await fillBacklog(queue, { ...filling, messages: 1e9, maxMs: 50 });
    expect(filled.produced).toBeGreaterThan(0);
    expect(filled).toMatchObject({ begun: filled.produced, unsure: [], errors: 0 });

    const slow = new FakeQueue();
    await fillBacklog(slow, { ...filling, messages: 20 });
    // What has not come when the time is over may come yet.
    slow.waiting.get("workers")?.splice(0, 1);
    const drained = await drainBacklog(slow, { ...draining, messages: 20, maxMs: 1 });
    expect(drained).toMatchObject({ lost: null, undelivered: 1, acked: 19 });
  });

  it("knows the messages that nobody has acknowledged: they may come, once, and need not", async () => {
    class Deaf extends FakeQueue {
      override async produce(queue: string, body: Uint8Array, key: string | null): Promise<void> {
        const { id } = decodeMessage(body);
        // It is told of neither; one is there all the same.
        if (id === 3) throw new Error("no leader");
        await super.produce(queue, body, key);
        if (id === 5) throw new Error("no answer");
      }
    }
    const queue = new Deaf();
    const filled = await fillBacklog(queue, { ...filling, messages: 8, inFlight: 8, maxMs: 200 });
    expect(filled.unsure.toSorted((a, b) => a - b)).toEqual([3, 5]);
    expect(filled).toMatchObject({ produced: 6, begun: 8, first_error: "no leader" });
    const drained = await drainBacklog(queue, { ...draining, messages: 8, unsure: filled.unsure, credit: 1000 });
    expect(drained).toMatchObject({ lost: 0, undelivered: 0 });
    // It was sent again and again, and is there as often.
    expect(drained.duplicates).toBeGreaterThan(0);
  });

  it("ends when nothing is answered any more, and the silence is its longest gap", async () => {
    class Silent extends FakeQueue {
      override produce(queue: string, body: Uint8Array, key: string | null): Promise<void> {
        return this.produced >= 10 ? Promise.reject(new Error("no leader")) : super.produce(queue, body, key);
      }
    }
    const filled = await fillBacklog(new Silent(), { ...filling, messages: 1000, inFlight: 1, silenceMs: 100 });
    expect(filled).toMatchObject({ produced: 10, begun: 11, unsure: [10] });
    expect(filled.longest_gap_ms).toBeGreaterThanOrEqual(100);
  });
});

describe("the steady stream of a fail-over", () => {
  it("sees the first message sent after the kill and the redelivery of the one in hand, and loses nothing", async () => {
    const queue = new FakeQueue();
    const stream = new SteadyStream(queue, { queue: "q", group: "workers", keys: 1, credit: 8, keyed: true });
    await stream.start();
    await stream.hold(5000);
    const before = queue.acked;
    await waitFor("a successor is acked", 5000, () => Promise.resolve(queue.acked > before ? true : null), 5);
    const killedAt = monotonicMs();
    const seen = await stream.afterKill(killedAt, 5000);
    expect(seen.first_consume_at_ms).toBeGreaterThan(killedAt);
    expect(seen.redelivered_at_ms).toBeGreaterThan(killedAt);
    const result = await stream.stop();
    expect(result).toMatchObject({ lost: 0, errors: 0 });
    // This queue hands out the successors of a message in hand, and the stream sees it.
    expect(result.overtaken).toBeGreaterThan(0);
    expect(result.acked).toBe(result.produced);
  });
});

function plain(lose: (id: number) => boolean): PlainQueue {
  const line: number[] = [];
  return {
    put: (id) => {
      if (!lose(id)) line.push(id);
      return Promise.resolve();
    },
    take: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      const id = line.shift();
      return id === undefined ? null : { id, token: String(id) };
    },
    acknowledge: () => Promise.resolve(),
  };
}

describe("the three plain calls", () => {
  it("account for every message", async () => {
    const result = await aliasLoop(
      plain(() => false),
      { queue: "q", workers: 4, durationMs: 50 },
    );
    expect(result.messages).toBeGreaterThan(0);
    expect(result).toMatchObject({ lost: 0, duplicates: 0, errors: 0 });
  });

  it("tell what was produced and never handed out", async () => {
    // Nothing is waited for beyond the queue's being empty for a while.
    const result = await aliasLoop(
      plain((id) => id === 1),
      { queue: "q", workers: 1, durationMs: 20 },
    );
    expect(result).toMatchObject({ lost: 1, duplicates: 0 });
  }, 15_000);
});
