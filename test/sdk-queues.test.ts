import { connect, type TrivetConnection, type Worker } from "@trivet/client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startCluster, type TestCluster } from "./support/cluster.ts";
import { ready, waitFor } from "./support/wait.ts";

/** Producers that go on, and workers that count what they get. */
interface Load {
  /** Bodies whose produce was answered. */
  readonly stored: Set<string>;
  readonly got: Map<string, number>;
  /** What failed, by code. */
  readonly failures: string[];
  finish(): Promise<void>;
}

function startLoad(producing: TrivetConnection, working: TrivetConnection): Load {
  const stored = new Set<string>();
  const got = new Map<string, number>();
  const failures: string[] = [];
  const ended = new AbortController();
  const producers = Array.from({ length: 8 }, async (_, producer) => {
    for (let n = 0; !ended.signal.aborted; n++) {
      const body = `${producer}/${n}`;
      try {
        await producing.queue<string>("load").produce(body, { key: `key-${producer}` });
        stored.add(body);
      } catch (error) {
        failures.push(String(error));
      }
    }
  });
  const worker: Worker<string> = working.queue<string>("load").worker(
    ({ body }) => {
      got.set(body, (got.get(body) ?? 0) + 1);
    },
    { group: "g", concurrency: 16 },
  );
  return {
    stored,
    got,
    failures,
    finish: async () => {
      ended.abort();
      await Promise.all(producers);
      await waitFor(
        "everything stored is worked on",
        () => {
          const missing = [...stored].filter((body) => !got.has(body));
          return missing.length === 0 ? ready(true) : `${missing.length} are missing`;
        },
        { deadlineMs: 60_000 },
      );
      await worker.stop();
    },
  };
}

/** What the holders of a lock write to. */
const of = (connection: TrivetConnection) => ({ queue: connection.queue<number>("ledger"), cache: connection.cache<number>("default") });

describe("the SDK's queues on real nodes", () => {
  let cluster: TestCluster;
  const connections: TrivetConnection[] = [];

  beforeEach(async () => {
    cluster = await startCluster({ nodes: 3 });
    const urls = cluster.nodes.map(({ url }) => url);
    for (let n = 0; n < 2; n++) connections.push(await connect(urls, { commandTimeoutMs: 60_000 }));
    await connections[0]?.queue("load").create({ partitions: 4, visibilityMs: 3_000 });
  });
  afterEach(async (test) => {
    await Promise.all(connections.splice(0).map((connection) => connection.close()));
    await cluster.destroy(test);
  });

  it("kill -9 of the node it is connected to: nothing acknowledged is lost, and each produce is stored once", async () => {
    const [producing, working] = connections;
    if (producing === undefined || working === undefined) throw new Error("no connections");
    const load = startLoad(producing, working);
    await waitFor("work goes on", () => (load.got.size > 50 ? ready(true) : `${load.got.size} got`), { deadlineMs: 60_000 });
    const leader = await cluster.leader();
    await leader.kill();
    const before = load.stored.size;
    await waitFor("work goes on without it", () => (load.stored.size > before + 50 ? ready(true) : `${load.stored.size - before} stored`), {
      deadlineMs: 60_000,
    });
    leader.start();
    await leader.waitUntilHealthy();
    await load.finish();
    expect(load.failures).toEqual([]);
    const known = new Set(load.stored);
    expect([...load.got.keys()].filter((body) => !known.has(body))).toEqual([]);
    const state = (await producing.queue("load").describe()) as {
      readonly totals: { readonly produced: number; readonly messages: number };
    };
    expect(state.totals).toMatchObject({ produced: load.stored.size, messages: 0 });
  });

  it("a group made before its consumers keeps everything from then on; a deleted one begins anew", async () => {
    const [producing, working] = connections;
    if (producing === undefined || working === undefined) throw new Error("no connections");
    const queue = producing.queue<number>("groups");
    await queue.createGroup("all");
    await queue.produceMany([1, 2, 3].map((body) => ({ body })));
    await queue.createGroup("late", { start: "latest" });
    await queue.produce(4);
    const taken = async (group: string, count: number): Promise<number[]> => {
      const bodies: number[] = [];
      for await (const message of working.queue<number>("groups").consume({ group })) {
        bodies.push(message.body);
        await message.ack();
        if (bodies.length === count) break;
      }
      return bodies.sort((a, b) => a - b);
    };
    expect(await taken("all", 4)).toEqual([1, 2, 3, 4]);
    expect(await taken("late", 1)).toEqual([4]);
    expect(await queue.createGroup("late")).toBe(false);
    expect(await queue.deleteGroup("late")).toBe(true);
    expect(await queue.createGroup("late", { start: "latest" })).toBe(true);
    await queue.produce(5);
    expect(await taken("late", 1)).toEqual([5]);
  });

  it("what a holder has raised its fence for no earlier one writes to, and the fence of a grant that is over is refused after a while (rule K5)", async () => {
    const [earlier, later] = connections;
    if (earlier === undefined || later === undefined) throw new Error("no connections");
    const first = await earlier.locks.acquire("ledger");
    const before = { name: "ledger", fence: first.fence };
    await of(earlier).queue.produce(1, { ifFence: first });
    await of(earlier).cache.set("ledger", 1, { ifFence: first });
    await first.release();
    const second = await later.locks.acquire("ledger");
    await of(later).queue.raiseFence(second);
    await of(later).cache.raiseFence("ledger", second);
    expect((await of(later).cache.get("ledger")).value).toBe(1);
    const behind = { code: "fence_behind", details: { lock: "ledger", highest: second.fence } };
    await expect(of(earlier).queue.produce(2, { ifFence: before })).rejects.toMatchObject(behind);
    await expect(of(earlier).cache.set("ledger", 2, { ifFence: before })).rejects.toMatchObject(behind);
    await expect(of(earlier).queue.raiseFence(before)).rejects.toMatchObject(behind);
    await of(later).queue.produce(3, { ifFence: second });
    await of(later).cache.set("ledger", 3, { ifFence: second });
    await second.release();
    // Nobody takes the lock after it: the floor passes its fence, and shards forget the lock.
    await waitFor(
      "the fence is behind",
      async () => {
        const error: unknown = await of(later)
          .queue.produce(4, { ifFence: { name: "ledger", fence: second.fence } })
          .then(
            () => null,
            (reason: unknown) => reason,
          );
        if (error === null) return "it was taken";
        expect(error).toMatchObject({ code: "fence_behind" });
        return ready(true);
      },
      { deadlineMs: 60_000 },
    );
    const third = await later.locks.acquire("ledger");
    await of(later).queue.produce(5, { ifFence: third });
    await third.release();
  });
});
