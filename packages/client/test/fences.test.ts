import { describe, expect, test } from "vitest";
import { cluster, connected, failure } from "./support.ts";

describe("fences of queues (K5)", () => {
  test("raised in every shard that has the queue, one is behind everywhere afterwards", async () => {
    const fake = await cluster();
    fake.shards.partitions = 3;
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    const [earlier, later] = [
      { name: "l", fence: 4n },
      { name: "l", fence: 5n },
    ];
    await queue.produce(1, { ifFence: earlier });
    await queue.raiseFence(later);
    expect([...fake.shards.fences]).toEqual(expect.arrayContaining([2, 3, 4].map((shard) => [`${shard}/l`, 5])));
    expect(fake.shards.count("raise-fence")).toBe(3);
    for (const key of ["a", "b", "c", "d"]) {
      expect(await failure(queue.produce(2, { key, ifFence: earlier }))).toMatchObject({ code: "fence_behind", details: { highest: 5n } });
      await queue.produce(3, { key, ifFence: later });
    }
    expect(await failure(queue.raiseFence(earlier))).toMatchObject({ code: "fence_behind", details: { lock: "l", highest: 5n } });
    await queue.raiseFence(later);
  });

  test("raised before anything is there, it makes the queue; in another of the name it is raised anew", async () => {
    const fake = await cluster();
    const trivet = await connected(fake);
    const queue = trivet.queue<number>("q");
    const lock = { name: "l", fence: 5n };
    await queue.raiseFence(lock);
    expect([...fake.shards.fences.keys()]).toEqual(["2/l"]);
    fake.shards.queues.delete("q");
    await trivet.queue("r").produce(1);
    fake.shards.queues.set("q", { queue: 2, partitions: 1, kept: [], produced: 0 });
    await queue.raiseFence(lock);
    expect([...fake.shards.fences.keys()]).toEqual(["2/l", "3/l"]);
  });

  test("what is no fence is not sent; a lost answer is asked for again", async () => {
    const fake = await cluster();
    const queue = (await connected(fake)).queue<number>("q");
    expect(await failure(queue.raiseFence({ name: "", fence: 1n }))).toMatchObject({ code: "bad_request" });
    expect(await failure(queue.raiseFence({ name: "l", fence: -1n }))).toMatchObject({ code: "bad_request" });
    fake.node(0).shardPolicies.push("drop-unanswered");
    await queue.raiseFence({ name: "l", fence: 1n });
    expect(fake.shards.count("raise-fence")).toBe(1);
  });
});

describe("fences of cached values (K5)", () => {
  test("raised for a key, an earlier one is behind, and what is stored stays", async () => {
    const fake = await cluster();
    const cache = (await connected(fake)).cache<number>("default");
    await fake.homes.put("k", "7");
    const [earlier, later] = [
      { name: "l", fence: 4n },
      { name: "l", fence: 5n },
    ];
    await cache.raiseFence("k", later);
    expect(fake.homes.fences.get("l")).toBe(5);
    expect((await cache.get("k")).value).toBe(7);
    expect(await failure(cache.set("k", 8, { ifFence: earlier }))).toMatchObject({ code: "fence_behind", details: { highest: 5n } });
    expect(await failure(cache.raiseFence("k", earlier))).toMatchObject({ code: "fence_behind" });
    await cache.set("k", 9, { ifFence: later });
    expect((await cache.get("k")).value).toBe(9);
    // Also of a key that is not there.
    await cache.raiseFence("none", later);
    expect((await cache.get("none")).found).toBe("absent");
  });

  test("also while the key's origin is away, and without loading anything", async () => {
    const fake = await cluster();
    fake.homes.origin = new Map();
    fake.homes.isOriginAway = true;
    const cache = (await connected(fake)).cache<number>("default");
    await cache.raiseFence("k", { name: "l", fence: 5n });
    expect(fake.homes.fences.get("l")).toBe(5);
    expect(fake.node(0).loads).toEqual([]);
  });
});
