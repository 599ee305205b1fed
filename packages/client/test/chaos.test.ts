import { type Lock, type TrivetConnection } from "@trivet/client";
import { describe, expect, test } from "vitest";
import type { FakeCluster, FramePolicy } from "./fake-cluster.ts";
import { cluster, connected, until } from "./support.ts";

/** Small and good enough: Lehmer's generator. */
function random(seed: number): (below: number) => number {
  let state = (seed * 48_271 + 11) % 2_147_483_647;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}
const troubles: readonly FramePolicy[] = [
  "answer-twice",
  "drop-unread",
  "drop-unanswered",
  { refuse: "no_leader" },
  { refuse: "overloaded" },
];

/** Takes and gives back locks, checking that nobody else holds them meanwhile. */
async function worker(connection: TrivetConnection, holders: Map<string, number>, fences: Map<string, bigint>, id: number, rounds: number) {
  for (let round = 0; round < rounds; round++) {
    const name = `lock-${(id + round) % 3}`;
    const lock: Lock = await connection.locks.acquire(name, { waitMs: 60_000 });
    expect(holders.get(name), `${name} has one holder`).toBeUndefined();
    holders.set(name, id);
    expect(lock.fence > (fences.get(name) ?? 0n), "fences grow").toBe(true);
    fences.set(name, lock.fence);
    lock.assertHeld();
    holders.delete(name);
    await lock.release();
  }
}

/** Two frames of five meet with some fault. */
function trouble(fake: FakeCluster, seed: number): { readonly faults: () => number } {
  const pick = random(seed);
  let faults = 0;
  fake.chooseTrouble = () => {
    if (pick(5) > 1) return "answer";
    faults++;
    if (pick(6) === 0) fake.elect(fake.node(pick(fake.nodes.length)));
    return troubles[pick(troubles.length)] ?? "answer";
  };
  return { faults: () => faults };
}

describe("whatever happens to connections, nodes and answers", () => {
  test.each([1, 2, 3, 4])("locks exclude, fences grow and every command takes effect once (seed %d)", async (seed) => {
    const fake = await cluster(3);
    const connection = await connected(fake, { commandTimeoutMs: 30_000, sessionTtlMs: 60_000 });
    const [workers, rounds] = [8, 20];
    const holders = new Map<string, number>();
    const fences = new Map<string, bigint>();
    const { faults } = trouble(fake, seed);
    await Promise.all(Array.from({ length: workers }, (_, id) => worker(connection, holders, fences, id, rounds)));
    expect(faults()).toBeGreaterThan(20);
    const count = (type: string): number => fake.executed.filter((command) => command.type === type).length;
    expect([count("acquire"), count("release"), count("open-session")]).toEqual([workers * rounds, workers * rounds, 1]);
    expect(fake.locks.size).toBe(0);
  });
});

describe("whatever happens to connections and answers, for queues", () => {
  test.each([1, 2, 3, 4])("every message is stored once and acknowledged once (seed %d)", async (seed) => {
    const fake = await cluster(3);
    fake.shards.partitions = 3;
    const connection = await connected(fake, { commandTimeoutMs: 30_000 });
    const queue = connection.queue<number>("q");
    const pick = random(seed);
    let faults = 0;
    fake.chooseShardTrouble = () => {
      if (pick(5) > 1) return "answer";
      faults++;
      if (pick(8) === 0) fake.elect(fake.node(pick(fake.nodes.length)));
      return troubles[pick(troubles.length)] ?? "answer";
    };
    const total = 300;
    const acked: number[] = [];
    const worker = queue.worker(
      async (message) => {
        await message.ack();
        acked.push(message.body);
      },
      { concurrency: 8, credit: 20 },
    );
    for (let n = 0; n < total; n += 10) {
      await Promise.all(Array.from({ length: 10 }, (_, more) => queue.produce(n + more, { key: `k${more}` })));
    }
    await until(() => fake.shards.get("q").kept.length === 0, "all gone");
    await worker.stop();
    expect(faults).toBeGreaterThan(10);
    expect(fake.shards.get("q").produced).toBe(total);
    expect(acked.toSorted((a, b) => a - b)).toEqual(Array.from({ length: total }, (_, n) => n));
  });
});
